#pragma once

// Whether two series of counts differ by more than chance: what a canary is judged by. Pure functions; no allocation.

#include <cstdint>
#include <span>

namespace levity::inline v0::service {

/// The probability that, were `a` no worse than `b`, at least `a_hits` of all hits would have fallen on `a`: Fisher's exact test,
/// one-sided (R. A. Fisher 1922), by the hypergeometric distribution. 1 where one side has no samples. Hits are at most the totals.
/// Exact to about 10^-7 of its value for totals of 10^6, and to 10^-4 for 10^9. O(standard deviations of the hits).
[[nodiscard]] double fisher_greater(std::uint64_t a_hits, std::uint64_t a_total, std::uint64_t b_hits,
                                    std::uint64_t b_total) noexcept;

/// How the samples of one side lie among those of the other.
struct rank_comparison {
  double p = 1;          ///< the probability of ranks so high, were both sides alike
  double greater = 0.5;  ///< the probability that a sample of `a` is greater than one of `b`, ties counted half
};

/// Whether samples of `a` tend to be greater than those of `b`: the test of Mann and Whitney (1947), one-sided, on counts in the
/// same bins, of which a later one means greater values. Samples of one bin are ties, for which the variance is corrected; by the
/// normal distribution with a correction for continuity, good from about ten samples a side. Both of one size. O(bins).
[[nodiscard]] rank_comparison mann_whitney_greater(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept;

}  // namespace levity::service
