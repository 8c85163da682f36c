#pragma once

// latency_tracker: how long calls take just now, told by those of the last seconds.
//
// A ring of eight cells of time, each with a set of counters (latency_buckets). A sample goes into the cell of its moment; who
// finds that cell to be an old one empties it first. A quantile is read from the cells that lie within the window.
//
//   cell           moved by
//   old -> empty    record(), under `lock`; its number is written last
//   counts          record(); any thread
//
// All of it is relaxed: who reads the number before the zeros adds to a counter that is emptied after, and the sample is lost.
// That can happen when a cell begins, every 1.3 s, to who records just then. Told one thing after the other it is exact, and its
// tests do so.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/detail/latency_buckets.hpp"

namespace levity::inline v0 {

/// The quantiles of a latency over the last seconds, in fixed memory (7.3 KB).
///
/// Any thread. It is told the time. record() is one addition and allocates nothing; a quantile reads 1,800 counters.
/// The error is at most an eighth of the value, upwards; below 2 us it is 256 ns. Longest latency told apart: 137 s.
class latency_tracker {
public:
  /// How far back it looks. What is out of bounds is clamped to them.
  struct options {
    duration window = std::chrono::seconds(10);  ///< from 80 ms to 1 h; what is older is forgotten
    std::uint32_t samples_min = 50;              ///< fewer say nothing
  };

  /// Knows nothing yet.
  latency_tracker() noexcept : latency_tracker(options{}) {}
  /// The same with other figures.
  explicit latency_tracker(const options& how) noexcept;
  latency_tracker(const latency_tracker&) = delete;
  latency_tracker& operator=(const latency_tracker&) = delete;

  /// A call that ended at `now` took so long.
  void record(duration took, time_point now) noexcept;

  /// A time that at least this part (0 to 1) of the samples within the window did not exceed; empty where they are fewer than
  /// samples_min.
  [[nodiscard]] std::optional<duration> quantile(double part, time_point now) const noexcept;

  /// Samples within the window. O(counters).
  [[nodiscard]] std::uint64_t samples(time_point now) const noexcept;

  /// As it was clamped.
  [[nodiscard]] const options& how() const noexcept { return how_; }

private:
  static constexpr std::size_t cells = 8;
  struct cell {
    atomic<std::uint64_t> number{0};
    std::array<atomic<std::uint32_t>, detail::latency_buckets::count> counts{};
  };

  [[nodiscard]] std::uint64_t number_of(time_point now) const noexcept;
  void begin(cell& of, std::uint64_t number) noexcept;
  [[nodiscard]] bool is_within(const cell& of, std::uint64_t now) const noexcept;

  options how_;          // constant after construction, like the next
  std::uint64_t cell_ns_;
  detail::spin_lock lock_;  // guards a cell's beginning
  std::array<cell, cells> cells_;
};

}  // namespace levity
