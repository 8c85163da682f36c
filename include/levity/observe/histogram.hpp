// histogram.hpp -- counts durations (or any unsigned quantity) in fixed memory, with a bounded relative error.
//
// Why: a latency distribution has to be kept from nanoseconds to an hour without keeping every sample, and its p99.99 must
// still be right to three digits. A logarithm per sample is too slow, linear buckets are too many.
//
// Algorithm: the log-linear layout of the High Dynamic Range histogram (Gil Tene, HdrHistogram, public domain, 2012).
// Values below 2*half are counted one by one. Above, every power of two is cut into `half` equal buckets, where `half` is
// the smallest power of two with 1/half <= 10^-digits (1024 for three digits), so that
//
//   bucket width <= value / half                                                  (the error bound; the tests prove it)
//   index(v)      = shift * half + (v >> shift),  shift = bit_width(v | (2*half - 1)) - bit_width(2*half - 1)
//
// Rejected: t-digest and other sketches (cheaper memory, but their error at p99.99 depends on the data and merging is not
// exact); atomic counters (a histogram has one writer; merge gives the sum).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace levity::inline v0 {

/// What a histogram can tell apart. All fields are in the unit of the samples (the runtime uses nanoseconds).
struct histogram_range {
  std::uint64_t lowest = 1;                      ///< smallest difference worth keeping; >= 1
  std::uint64_t highest = 3'600'000'000'000ULL;  ///< larger samples are counted as this one (one hour in nanoseconds)
  int digits = 3;                                ///< significant decimal digits, 1..4

  friend bool operator==(const histogram_range&, const histogram_range&) = default;
};

/// A log-linear histogram. One writer at a time, not thread-safe; each writer keeps its own and a reader merges copies.
/// Memory is allocated once, in the constructor: about 270 KB for the default range.
class histogram {
public:
  /// The default range: one nanosecond to one hour, three digits.
  histogram() : histogram(histogram_range{}) {}

  /// Fields outside of their bounds are clamped to them.
  explicit histogram(histogram_range range);

  /// Counts one sample. O(1), no allocation. A sample above `highest` is counted as `highest`.
  void record(std::uint64_t value) noexcept { record(value, 1); }

  /// Counts `times` equal samples.
  void record(std::uint64_t value, std::uint64_t times) noexcept {
    value = value < range_.highest ? value : range_.highest;
    counts_[index_of(value)] += times;
    count_ += times;
    sum_ += static_cast<double>(value) * static_cast<double>(times);
    min_ = value < min_ ? value : min_;
    max_ = value > max_ ? value : max_;
  }

  /// Adds everything `other` has counted; exact. Both must have been made with the same range: returns false otherwise
  /// and changes nothing.
  [[nodiscard]] bool merge(const histogram& other) noexcept;

  /// Forgets all samples, keeps the memory.
  void clear() noexcept;

  /// What it can tell apart, as it was clamped.
  [[nodiscard]] const histogram_range& range() const noexcept { return range_; }
  /// Samples so far.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }  ///< exact
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }                    ///< exact up to `highest`
  /// 0 when empty. Of the samples as they were recorded, but for the rounding of double.
  [[nodiscard]] double mean() const noexcept { return count_ == 0 ? 0.0 : sum_ / static_cast<double>(count_); }

  /// The smallest value v such that at least `quantile` (0..1) of the samples are <= v, rounded up by at most
  /// v / 10^digits and never above max(). 0 when empty. O(buckets).
  [[nodiscard]] std::uint64_t value_at(double quantile) const noexcept;

  /// How many samples are in buckets that end at or below `value`, plus those of the bucket that holds it. O(buckets).
  [[nodiscard]] std::uint64_t count_at_or_below(std::uint64_t value) const noexcept;

  /// The lowest value that shares a bucket with `value`.
  [[nodiscard]] std::uint64_t bucket_low(std::uint64_t value) const noexcept;
  /// The highest one.
  [[nodiscard]] std::uint64_t bucket_high(std::uint64_t value) const noexcept;

  /// Calls `visit(low, high, count)` for every bucket that is not empty, in rising order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t index = 0; index < counts_.size(); ++index)
      if (counts_[index] != 0) visit(low_of(index), high_of(index), counts_[index]);
  }

  /// {"count":n,"min":..,"mean":..,"max":..,"percentiles":{"50":..,"90":..,"99":..,"99.9":..,"99.99":..},
  ///  "buckets":[[low,count],...]}; buckets that are empty are left out, and all of them when `with_buckets` is false.
  [[nodiscard]] std::string to_json(bool with_buckets = true) const;

private:
  [[nodiscard]] std::size_t index_of(std::uint64_t value) const noexcept {
    const std::uint64_t units = value >> unit_shift_;
    const auto shift = static_cast<unsigned>(std::bit_width(units | linear_mask_)) - linear_bits_;
    return (static_cast<std::size_t>(shift) << (linear_bits_ - 1)) + static_cast<std::size_t>(units >> shift);
  }
  [[nodiscard]] std::uint64_t low_of(std::size_t index) const noexcept;
  [[nodiscard]] std::uint64_t high_of(std::size_t index) const noexcept;

  histogram_range range_;      // constant after construction, like the next three
  unsigned unit_shift_ = 0;    // log2 of `lowest`, rounded down
  unsigned linear_bits_ = 0;   // log2 of the number of buckets that are counted one by one
  std::uint64_t linear_mask_ = 0;

  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::uint64_t min_ = ~std::uint64_t{0};
  std::uint64_t max_ = 0;
  double sum_ = 0.0;
};

}  // namespace levity
