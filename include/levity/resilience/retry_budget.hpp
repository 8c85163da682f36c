#pragma once

// retry_budget: how much of a dependency's load may be repetitions.
//
// Why: three attempts at every call are three times the load on a service that is down, and the next one below it gets nine times
// as much. A budget makes a storm impossible: what is repeated stays a small part of what is asked anyway, however much fails.
//
// Time is cut into cells, a power of two of nanoseconds between window/32 and window/16 (0.54 s of 10 s), so that finding the
// cell is a shift. With S(n) the last n cells, the one that runs among them,
//
//   requests  counted over S(floor(window / cell)),      never more than the window
//   spent     counted over S(ceil(window / cell) + 1),   never less than it
//   granted   <=>  spent + 1 <= share_max * requests   or   spent in the last second < per_second_min
//
// The last second has cells of its own, of 2^26 ns: S(16) is from 1.007 s to 1.074 s long. In those of the window it would be up
// to 1.6 s of 10, and minutes of an hour.
//
// So what is granted by the share alone obeys, at every moment at which one is granted, spent <= share_max * requests within the
// last `window`. Walk backwards from the last grant in steps of a window: the windows do not overlap and cover every grant, so over
// any run
//
//   all repetitions <= share_max * all requests + per_second_min * seconds
//
// A request is counted when it begins: one that hangs for ten seconds has been load for ten seconds, and counting ends would
// starve the budget just when it is needed.
//
// state             moved by
//   requests_[i]    cell number and count in one word; any thread, relaxed: nothing is published through it
//   spent_[i]       try_spend(), take_back()   under lock_; rare, for a call has failed before. So second_[i]
//
// Rejected: a bucket of tokens that successes fill (a low and even load earns nothing for hours, and a full bucket is a storm of
// 500); a share of what is in flight (while a service hangs, all that is in flight is what hangs, and it grows).

#include <array>
#include <cstddef>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/policy_mode.hpp"

namespace levity::inline v0 {

/// How much of all calls to one dependency may be repeated calls: by default a tenth, over the last ten seconds, and always three a
/// second. Retries and hedges draw from the same budget; all who call the dependency share one.
///
/// Any thread. It is told the time, and a time that is older than another thread's by less than a cell (window/16) costs nothing.
/// Counting takes one read-modify-write of a word; spending walks 80 words under a spin lock. No allocation; 1.9 KB.
class retry_budget {
public:
  /// How large it is.
  struct options {
    double share_max = 0.10;                    ///< repetitions by requests, from 0 to 1
    duration window = std::chrono::seconds(10);  ///< over which they are counted, from 1 s to 1 h
    std::uint32_t per_second_min = 3;           ///< granted whatever the share says, so that a quiet caller may repeat, too
    policy_mode mode = policy_mode::enforce;    ///< observe: grants all, and counts what it would have refused
  };
  /// What was counted. Taken one after the other, so not of one moment.
  struct counts {
    std::uint64_t requests_in_window;  ///< as they count for the share
    std::uint64_t spent_in_window;     ///< as they count against it
    std::uint64_t spent;    ///< since it was made, without what was taken back and, observed, what is in `refused`
    std::uint64_t refused;  ///< since it was made; with policy_mode::observe those that would have been
  };

  /// A tenth over ten seconds, and three a second.
  retry_budget() noexcept : retry_budget(options{}) {}
  /// Options out of their bounds are clamped to them.
  explicit retry_budget(const options& how) noexcept;
  retry_budget(const retry_budget&) = delete;
  retry_budget& operator=(const retry_budget&) = delete;

  /// A call begins, its repetitions not counted: before it is sent.
  void count_request(time_point now) noexcept {
    const std::uint64_t cell = cell_of(now);
    atomic<std::uint64_t>& word = requests_[cell % cells_max];
    // A thread that is late by more than all cells adds to a newer one: it is a request all the same.
    if (word.load(std::memory_order_relaxed) >> tag_shift == (cell & tag_mask)) [[likely]] {
      word.fetch_add(1, std::memory_order_relaxed);
    } else {
      begin_cell(word, cell);
    }
  }

  /// Asks for one repetition, and counts it. False: the budget is spent.
  [[nodiscard]] bool try_spend(time_point now) noexcept;
  /// Gives back what try_spend() granted at `spent_at` and was not used.
  void take_back(time_point spent_at) noexcept;

  /// What it has counted, for metrics. O(64).
  [[nodiscard]] counts counts_at(time_point now) const noexcept;
  /// As it was clamped.
  [[nodiscard]] const options& how() const noexcept { return how_; }

private:
  static constexpr std::size_t cells_max = 64;
  static constexpr int second_shift = 26;
  static constexpr std::uint64_t second_cells = 16;
  static constexpr int tag_shift = 32;  // the number of the cell above, the count below
  static constexpr std::uint64_t tag_mask = 0xffff'ffff;

  struct spent_cell {
    std::uint64_t number = 0;
    std::uint64_t count = 0;
  };

  // From 1 on, so that a word that was never written belongs to no cell.
  static std::uint64_t cell_of(time_point now, int shift) noexcept {
    return (static_cast<std::uint64_t>(now.time_since_epoch().count()) >> shift) + 1;
  }
  [[nodiscard]] std::uint64_t cell_of(time_point now) const noexcept { return cell_of(now, cell_shift_); }
  static void begin_cell(atomic<std::uint64_t>& word, std::uint64_t cell) noexcept;
  [[nodiscard]] std::uint64_t requests_over(std::uint64_t cells, std::uint64_t newest) const noexcept;

  options how_;  // constant after construction, like the next three
  int cell_shift_;
  std::uint64_t request_cells_;
  std::uint64_t spent_cells_;

  std::array<atomic<std::uint64_t>, cells_max> requests_{};  // shared; see above

  mutable detail::spin_lock lock_;  // guards the rest
  std::array<spent_cell, cells_max> spent_{};
  std::array<spent_cell, second_cells> second_{};
  std::uint64_t newest_spent_ = 0;
  std::uint64_t newest_of_second_ = 0;
  std::uint64_t spent_total_ = 0;
  std::uint64_t refused_total_ = 0;
};

}  // namespace levity
