#include "platform/cpu_set.hpp"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

std::optional<cpu_set> cpu_set::parse(std::string_view list) {
  while (!list.empty() && (list.back() == '\n' || list.back() == ' ')) list.remove_suffix(1);
  cpu_set read;
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at != end) {
    unsigned first = 0;
    auto [next, wrong] = std::from_chars(at, end, first);
    if (wrong != std::errc{}) return std::nullopt;
    unsigned last = first;
    if (next != end && *next == '-') {
      const auto range = std::from_chars(next + 1, end, last);
      if (range.ec != std::errc{} || last < first) return std::nullopt;
      next = range.ptr;
    }
    if (last >= cpus_max) return std::nullopt;
    for (unsigned cpu = first; cpu <= last; cpu++) read.insert(cpu);
    if (next != end) {
      if (*next != ',' || next + 1 == end) return std::nullopt;
      next++;
    }
    at = next;
  }
  return read;
}

cpu_set cpu_set::of_this_thread() {
  cpu_set allowed;
  for (unsigned cpus = 1024; cpus <= cpus_max; cpus *= 2) {
    allowed.words_.assign(cpus / bits, 0);
    auto* const mask = reinterpret_cast<cpu_set_t*>(allowed.words_.data());
    if (::sched_getaffinity(0, cpus / 8, mask) == 0) {
      allowed.trim();
      return allowed;
    }
    if (errno != EINVAL) break;  // EINVAL: the kernel's masks are longer
  }
  return {};
}

int cpu_set::apply_to(int thread) const noexcept {
  if (empty()) return EINVAL;
  const auto* const mask = reinterpret_cast<const cpu_set_t*>(words_.data());
  return ::sched_setaffinity(thread, words_.size() * sizeof(word), mask) == 0 ? 0 : errno;
}

void cpu_set::insert(unsigned cpu) {
  LEVITY_ASSERT(cpu < cpus_max, "no kernel has so many CPUs");
  if (cpu / bits >= words_.size()) words_.resize(cpu / bits + 1);
  words_[cpu / bits] |= word{1} << cpu % bits;
}

unsigned cpu_set::count() const noexcept {
  unsigned sum = 0;
  for (const word each : words_) sum += static_cast<unsigned>(std::popcount(each));
  return sum;
}

std::vector<unsigned> cpu_set::numbers() const {
  std::vector<unsigned> all;
  for (unsigned i = 0; i < words_.size(); i++) {
    for (word left = words_[i]; left != 0; left &= left - 1) {
      all.push_back(i * bits + static_cast<unsigned>(std::countr_zero(left)));
    }
  }
  return all;
}

std::string cpu_set::to_string() const {
  const std::vector<unsigned> all = numbers();
  std::string text;
  for (std::size_t first = 0; first < all.size();) {
    std::size_t last = first;
    while (last + 1 < all.size() && all[last + 1] == all[last] + 1) last++;
    if (!text.empty()) text += ',';
    text += std::to_string(all[first]);
    if (last > first) text += '-' + std::to_string(all[last]);
    first = last + 1;
  }
  return text;
}

cpu_set cpu_set::operator&(const cpu_set& other) const {
  cpu_set both;
  both.words_.resize(std::min(words_.size(), other.words_.size()));
  for (std::size_t i = 0; i < both.words_.size(); i++) both.words_[i] = words_[i] & other.words_[i];
  both.trim();
  return both;
}

void cpu_set::trim() noexcept {
  while (!words_.empty() && words_.back() == 0) words_.pop_back();
}

}  // namespace levity::detail
