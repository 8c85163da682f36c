#pragma once

#include <algorithm>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

/// How long an answer takes at most, as a rule: of a hundred answers lately some 95 came sooner. Each that took longer moves it up
/// by one part in 64, each that did not down by a nineteenth of that. One word: the time above, how many answers are known below.
/// Relaxed, and a loss of one of two at the same time is none. What holds some can be moved while nobody uses it.
class usual_answer {
public:
  usual_answer() noexcept = default;
  usual_answer(usual_answer&& other) noexcept : word_(other.word_.load(std::memory_order_relaxed)) {}
  usual_answer& operator=(usual_answer&&) = delete;

  /// An answer came after so long.
  void came_after(duration took) noexcept {
    const std::uint64_t seen = word_.load(std::memory_order_relaxed);
    const std::uint64_t ns = ns_of(took);
    const std::uint64_t usual = seen >> known_bits;
    if ((seen & known_mask) < known_least) {
      put(std::max(usual, ns), (seen & known_mask) + 1);
    } else if (ns > usual) {
      put(std::min(ns, up(usual)), known_least);
    } else if (const std::uint64_t lower = usual - usual / (64 * 19); lower >= ns && lower != usual) {
      put(lower, known_least);
    }
  }
  /// None had come after so long. Were these left out, only the quick ones would be known where callers wait for no others.
  void did_not_come_within(duration given) noexcept {
    const std::uint64_t seen = word_.load(std::memory_order_relaxed);
    const std::uint64_t usual = seen >> known_bits;
    if ((seen & known_mask) == known_least && ns_of(given) >= usual) put(up(usual), known_least);
  }

  /// duration::max(): fewer answers are known than show it.
  [[nodiscard]] duration seen() const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    return (word & known_mask) < known_least ? duration::max() : duration{static_cast<duration::rep>(word >> known_bits)};
  }

private:
  static constexpr int known_bits = 5;
  static constexpr std::uint64_t known_mask = (1U << known_bits) - 1;
  static constexpr std::uint64_t known_least = 16;
  static constexpr std::uint64_t ns_max = std::uint64_t{1} << 58;

  static std::uint64_t ns_of(duration took) noexcept {
    return std::min(static_cast<std::uint64_t>(std::max<duration::rep>(took.count(), 1)), ns_max);
  }
  static std::uint64_t up(std::uint64_t usual) noexcept { return std::min(usual + usual / 64 + 1, ns_max); }
  void put(std::uint64_t ns, std::uint64_t known) noexcept { word_.store(ns << known_bits | known, std::memory_order_relaxed); }

  atomic<std::uint64_t> word_{0};
};

}  // namespace levity::detail
