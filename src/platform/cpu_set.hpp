#pragma once

// cpu_set: some of the machine's CPUs, by the kernel's numbers.
//
// As long as it has to be: a fixed cpu_set_t ends at 1,024 CPUs, and a kernel built for more refuses to say anything into one.

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levity::inline v0::detail {

class cpu_set {
public:
  /// More than any kernel is built for; a list that names a higher number is refused.
  static constexpr unsigned cpus_max = 1U << 16;

  cpu_set() = default;
  cpu_set(std::initializer_list<unsigned> cpus) {
    for (const unsigned cpu : cpus) insert(cpu);
  }
  /// The kernel's way to write a set: "0-3,8,10-11", empty for none. Nothing if `list` is not of this kind.
  static std::optional<cpu_set> parse(std::string_view list);
  /// Where the kernel lets the calling thread run now. Empty if it does not say.
  static cpu_set of_this_thread();
  /// Lets the calling thread run on these alone. 0, or errno: EINVAL if none of them is on line and allowed.
  [[nodiscard]] int apply_to_this_thread() const noexcept { return apply_to(0); }
  /// The same for a thread by its number, see gettid(2). ESRCH: it has ended.
  [[nodiscard]] int apply_to(int thread) const noexcept;

  /// `cpu` < cpus_max.
  void insert(unsigned cpu);
  [[nodiscard]] bool contains(unsigned cpu) const noexcept {
    return cpu / bits < words_.size() && (words_[cpu / bits] >> cpu % bits & 1) != 0;
  }
  [[nodiscard]] unsigned count() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return words_.empty(); }
  /// In ascending order.
  [[nodiscard]] std::vector<unsigned> numbers() const;
  /// As parse() reads it.
  [[nodiscard]] std::string to_string() const;

  /// Those that are in both.
  [[nodiscard]] cpu_set operator&(const cpu_set& other) const;
  friend bool operator==(const cpu_set&, const cpu_set&) = default;

private:
  using word = unsigned long;  // the kernel's
  static constexpr unsigned bits = 8 * sizeof(word);

  void trim() noexcept;

  std::vector<word> words_;  // the last one is not 0
};

}  // namespace levity::detail
