#pragma once

// news_set: which of the reactors that another one attends to may have something for a poll, by number. Any thread puts numbers
// in, whoever polls takes them all out.
//
// Edges
//   E371  put -> take: what there was to find before it was told.

#include <array>
#include <bit>
#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

class news_set {
public:
  static constexpr unsigned number_max = 255;

  void put(unsigned number) noexcept {
    words_[number / 64].fetch_or(std::uint64_t{1} << (number % 64), std::memory_order_release);  // E371 release.
  }

  [[nodiscard]] bool empty_approx() const noexcept {
    std::uint64_t all = 0;
    for (const auto& each : words_) all |= each.load(std::memory_order_relaxed);
    return all == 0;
  }

  /// Calls `visit(number)` for each, lowest first; what is put in meanwhile may stay for the next time.
  template <class Visit>
  void take(Visit&& visit) noexcept {
    for (unsigned word = 0; word < words_.size(); word++) {
      if (words_[word].load(std::memory_order_relaxed) == 0) continue;
      std::uint64_t taken = words_[word].exchange(0, std::memory_order_acquire);  // E371 acquire.
      for (; taken != 0; taken &= taken - 1) visit(word * 64 + static_cast<unsigned>(std::countr_zero(taken)));
    }
  }

private:
  std::array<atomic<std::uint64_t>, (number_max + 1) / 64> words_{};
};

}  // namespace levity::detail
