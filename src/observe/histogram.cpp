#include "levity/observe/histogram.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

namespace levity::inline v0 {

namespace {

void append_number(std::string& out, auto number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

void append_field(std::string& out, std::string_view name, auto number) {
  out.append("\"").append(name).append("\":");
  append_number(out, number);
}

}  // namespace

histogram::histogram(histogram_range range) : range_(range) {
  range_.digits = std::clamp(range_.digits, 1, 4);
  range_.lowest = std::clamp(range_.lowest, std::uint64_t{1}, std::uint64_t{1} << 40);
  range_.highest = std::max(range_.highest, range_.lowest * 2);

  std::uint64_t resolution = 1;
  for (int digit = 0; digit < range_.digits; ++digit) resolution *= 10;
  const std::uint64_t half = std::bit_ceil(resolution);
  linear_mask_ = half * 2 - 1;
  linear_bits_ = static_cast<unsigned>(std::bit_width(linear_mask_));
  unit_shift_ = static_cast<unsigned>(std::bit_width(range_.lowest)) - 1;
  counts_.resize(index_of(range_.highest) + 1);
}

bool histogram::merge(const histogram& other) noexcept {
  if (range_ != other.range_) return false;
  for (std::size_t index = 0; index < counts_.size(); ++index) counts_[index] += other.counts_[index];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  return true;
}

void histogram::clear() noexcept {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = 0;
  sum_ = 0.0;
  min_ = ~std::uint64_t{0};
  max_ = 0;
}

std::uint64_t histogram::low_of(std::size_t index) const noexcept {
  const std::size_t half = std::size_t{1} << (linear_bits_ - 1);
  if (index < 2 * half) return static_cast<std::uint64_t>(index) << unit_shift_;
  const std::size_t shift = index / half - 1;
  return static_cast<std::uint64_t>(index - shift * half) << (shift + unit_shift_);
}

std::uint64_t histogram::high_of(std::size_t index) const noexcept { return low_of(index + 1) - 1; }

std::uint64_t histogram::bucket_low(std::uint64_t value) const noexcept {
  return low_of(index_of(std::min(value, range_.highest)));
}

std::uint64_t histogram::bucket_high(std::uint64_t value) const noexcept {
  return high_of(index_of(std::min(value, range_.highest)));
}

std::uint64_t histogram::value_at(double quantile) const noexcept {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const std::uint64_t rank = std::clamp(static_cast<std::uint64_t>(wanted), std::uint64_t{1}, count_);
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    seen += counts_[index];
    if (seen >= rank) return std::clamp(high_of(index), min_, max_);
  }
  return max_;
}

std::uint64_t histogram::count_at_or_below(std::uint64_t value) const noexcept {
  const std::size_t last = index_of(std::min(value, range_.highest));
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index <= last; ++index) seen += counts_[index];
  return seen;
}

std::string histogram::to_json(bool with_buckets) const {
  static constexpr std::array<std::pair<std::string_view, double>, 5> percentiles{
      {{"50", 0.5}, {"90", 0.9}, {"99", 0.99}, {"99.9", 0.999}, {"99.99", 0.9999}}};
  std::string out = "{";
  append_field(out, "count", count_);
  out += ',';
  append_field(out, "min", min());
  out += ',';
  append_field(out, "mean", mean());
  out += ',';
  append_field(out, "max", max_);
  out += ",\"percentiles\":{";
  for (const auto& [name, quantile] : percentiles) {
    if (out.back() != '{') out += ',';
    append_field(out, name, value_at(quantile));
  }
  out += '}';
  if (with_buckets) {
    out += ",\"buckets\":[";
    for_each([&](std::uint64_t low, std::uint64_t, std::uint64_t times) {
      if (out.back() != '[') out += ',';
      out += '[';
      append_number(out, low);
      out += ',';
      append_number(out, times);
      out += ']';
    });
    out += ']';
  }
  out += '}';
  return out;
}

}  // namespace levity
