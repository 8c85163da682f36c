#pragma once

// weakening: lines of the source whose operations count as relaxed, and whose fences and barriers as nothing. So an edge is taken
// away without a new build: LEVITY_MODEL_WEAKEN=sched/deque.hpp:82,sched/parking.cpp:110-112=release before a program of the lane.
//
// A path stands for every file whose name ends with it, at a slash. A range of lines is for operations that are written on several.
// Behind = stands which half alone an order loses, in the words of the comments at edges: release, acquire or seq_cst; `failure`,
// that is what a compare_exchange acquires where it fails; or `nothing`, to count only. Who is seq_cst and loses one of the first
// two keeps the other.

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/explored_atomic.hpp"

namespace levity::inline v0::model::detail {

/// What is taken away of an order: some of its halves.
struct taken_halves {
  bool release = false;
  bool acquire = false;
  bool seq_cst = false;
  bool failure = false;

  explicit operator bool() const noexcept { return release || acquire || seq_cst || failure; }
  /// What is left of an order.
  [[nodiscard]] std::memory_order of(std::memory_order order) const noexcept;
  /// The same of an exchange that fails.
  [[nodiscard]] std::memory_order of_failure(std::memory_order order) const noexcept {
    return failure ? std::memory_order_relaxed : order;
  }
};

class weakening {
public:
  struct place {
    std::string path;
    std::uint32_t first;
    std::uint32_t last;
    taken_halves taken;
    std::uint64_t made = 0;  // how often an operation there was, since forget()
  };

  /// Of the environment.
  static weakening& of_environment();

  /// Empty: the list is read. Otherwise what is wrong with it, in one sentence.
  std::string read(std::string_view list);

  /// What the operation at `where` loses; counts it.
  [[nodiscard]] taken_halves at(std::source_location where) noexcept {
    return places_.empty() ? taken_halves{} : look_up(where);
  }

  [[nodiscard]] const std::vector<place>& places() const noexcept { return places_; }
  /// Begins to count anew.
  void forget() noexcept;
  /// The counts are what they were.
  void recall(const std::vector<place>& then) noexcept { places_ = then; }

private:
  struct file {
    const char* name;  // as the compiler has it: compared by address
    std::vector<std::size_t> places;
  };

  taken_halves look_up(std::source_location where) noexcept;

  std::vector<place> places_;
  std::vector<file> files_;
};

}  // namespace levity::model::detail
