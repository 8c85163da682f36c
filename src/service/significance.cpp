#include "levity/service/significance.hpp"

#include <math.h>

#include <algorithm>
#include <cmath>

namespace levity::inline v0::service {
namespace {

// std::lgamma writes a global.
double log_factorial(std::uint64_t n) noexcept {
  int sign = 0;
  return ::lgamma_r(static_cast<double>(n) + 1, &sign);
}

double log_choose(std::uint64_t n, std::uint64_t k) noexcept { return log_factorial(n) - log_factorial(k) - log_factorial(n - k); }

}  // namespace

double fisher_greater(std::uint64_t a_hits, std::uint64_t a_total, std::uint64_t b_hits, std::uint64_t b_total) noexcept {
  if (a_total == 0 || b_total == 0) return 1;
  const std::uint64_t all = a_total + b_total;
  const std::uint64_t hits = a_hits + b_hits;
  if (a_hits == 0) return 1;
  // X = hits that fall on `a`; P(X = k) = C(a_total, k) C(b_total, hits - k) / C(all, hits). Its neighbours follow by a ratio:
  //   P(k + 1) / P(k) = (a_total - k)(hits - k) / ((k + 1)(b_total - hits + k + 1))
  const double at = log_choose(a_total, a_hits) + log_choose(b_total, b_hits) - log_choose(all, hits);
  const std::uint64_t highest = std::min(a_total, hits);
  const std::uint64_t lowest = hits > b_total ? hits - b_total : 0;
  const double total = static_cast<double>(a_total), of_b = static_cast<double>(b_total), both = static_cast<double>(hits);
  // Towards the side on which the mean is not, the terms fall: the sum there ends soon.
  const bool above_mean = static_cast<double>(a_hits) * static_cast<double>(all) >= total * both;
  double sum = above_mean ? 1 : 0, term = 1;
  if (above_mean) {
    for (std::uint64_t k = a_hits; k < highest && term > sum * 1e-17; k++) {
      const auto x = static_cast<double>(k);
      term *= (total - x) * (both - x) / ((x + 1) * (of_b - both + x + 1));
      sum += term;
    }
    return std::min(1.0, sum * std::exp(at));
  }
  for (std::uint64_t k = a_hits; k > lowest && (sum == 0 || term > sum * 1e-17); k--) {
    const auto x = static_cast<double>(k);
    term *= x * (of_b - both + x) / ((total - x + 1) * (both - x + 1));
    sum += term;
  }
  return std::max(0.0, 1 - sum * std::exp(at));
}

rank_comparison mann_whitney_greater(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) noexcept {
  double of_a = 0, of_b = 0, u = 0, ties = 0;
  for (std::size_t bin = 0; bin < a.size() && bin < b.size(); bin++) {
    const auto here_a = static_cast<double>(a[bin]), here_b = static_cast<double>(b[bin]);
    u += here_a * (of_b + here_b / 2);  // the samples of b that lie below, and half of those beside
    of_a += here_a;
    of_b += here_b;
    const double tied = here_a + here_b;
    ties += tied * (tied * tied - 1);
  }
  if (of_a == 0 || of_b == 0) return {};
  const double pairs = of_a * of_b, all = of_a + of_b;
  const double variance = pairs / 12 * (all + 1 - ties / (all * (all - 1)));
  rank_comparison seen{1, u / pairs};
  if (variance > 0) seen.p = std::erfc((u - pairs / 2 - 0.5) / std::sqrt(2 * variance)) / 2;
  return seen;
}

}  // namespace levity::service
