#pragma once

// limit_estimator: how many calls at once the other side works at, told by how long it takes.
//
// Up to its capacity a server answers in a time that does not depend on how many ask; above it every further call only makes all
// of them wait. The limit belongs where answers begin to take longer. Nobody tells where that is, and it moves.
//
// Windows. A window is the calls that begin in a stretch of time: R is the 90th percentile of their times, F the share that
// failed. It is judged when R is known, which is when the part of them that R names has ended and the others have been under way
// for longer: were it judged by those that end first, it would show the quick ones alone. One whose calls do not come back is
// judged after eight times the longer of B and the last R, by how long they have been under way. Each change of the limit begins a
// window, so it shows one limit and not two. Windows in which the limit was not in use say nothing about it, and do not move it.
//
//   baseline B   R as it is when our own calls do not wait for each other
//   slack        what R may be above B by chance: 1/sqrt(calls in the window)
//
//   R <= B * (1 + grow + slack / 2)     the limit grows by its square root, or an eighth of it
//   R >  B * (1 + fall + 3 * slack)     a trial
//   between                             it stays
//
// B follows R: quickly where R is clearly below it, slowly where both are alike or the limit is not in use, else by trials alone.
//
// Trials. That answers take longer need not be our doing: the server may have become slow for everybody, or calls dearer. A limit
// that falls whenever R is above an old B starves whoever has it, at 1 in the end, and one whose B drifts after R forgets what good
// was. So a fall is an experiment: the limit is halved, and the next window shows R' with U' calls inside, where there were U.
//
//   elasticity = log(R / R') / log(U / U')    1: we waited for ourselves; 0: the limit had nothing to do with it
//
//   at least 0.3   it helped. If R' is as B, the limit goes to where waiting begins, U * B / R (Little's law), else to half again
//   below          it did not: R' is the new B, and the limit goes back; after trials that helped, to where waiting begins
//
// In the same way F: a window with a larger share of failures begins a trial, and that share is what is usual from now on if fewer
// calls do not fail less. Besides, a trial is made after the first window, and each `trial_every` while the limit is in use, so
// that B is measured anew: after the first one because 20 calls at once may be ten times what the server can do. That costs a few
// windows at half of the limit, if the server needs all of it; so where R is long, trials are 20 R apart at least.
//
//   phase               moved by the end of a window
//   steady -> trial     R or F too high, or it is time; and the limit was in use
//   trial  -> trial     it helped, and is not enough
//   trial  -> steady    it was enough, or did not help, or the limit was not in use, when it goes back to where it was
//
// Observing. Who keeps to no limit can try none. Instead the calls of each window are compared with each other: b is the slope of
// log(time) over log(calls inside) since R is too high, each call against the mean of its own window. That is the elasticity,
// without a trial, for the server was the same for all of them. Where R is above B as it would be for a trial
//
//   b at least 0.3   the limit goes to where waiting begins: calls inside * mean time when B was measured / mean time
//   b below          R is the new B
//   b not known      it stays: so far there were always about as many calls inside
//
// And where more failed than is usual, and those had more calls beside them than the others, the limit goes to what these had.
//
// Rejected, by simulation (design/0028): the gradient against a moving average of R, which follows the congestion that it causes,
// to eleven times the capacity; Vegas' count of waiting calls against the least R ever seen, which uses a fifth of a server that
// has become four times slower for everybody; concurrency by throughput times the least mean (Little), which cannot tell a server
// that lost places from one that was asked less often.

#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/observe/histogram.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// How a limit_estimator works. What is out of bounds is clamped to them.
struct limit_estimator_options {
  unsigned initial = 20;      ///< the limit at first
  unsigned limit_min = 1;     ///< it never falls below; >= 1
  unsigned limit_max = 1000;  ///< it never grows beyond
  double quantile = 0.9;      ///< of the times of a window: what counts as R
  double grow = 0.1;          ///< R up to so much above the baseline lets the limit grow
  double fall = 0.25;         ///< R more than so much above it lets the limit fall
  double failures = 0.1;      ///< a share of failures so much above the usual one lets it fall, too
  duration window_min = 200ms;  ///< a window is no shorter,
  unsigned window_calls = 100;  ///< and has so many calls,
  duration window_max = 2s;     ///< or is so long and has twenty
  duration trial_every = 20s;   ///< how often the baseline is measured at a lower limit, at most
  bool observes = false;        ///< nobody keeps to the limit: there are no trials, and it is told by how calls differ
};

/// A limit on calls at once that follows what the other side can do. Pure: it is told every call, and knows no clock.
/// Not thread-safe; adaptive_limit is. Memory is allocated once, some 30 KB.
class limit_estimator {
public:
  /// A call that has begun, as it is known again at its end.
  struct begun {
    time_point at{};              ///< when
    std::uint32_t window = 0;     ///< the one that it counts in; 0: none
    std::uint32_t inflight = 0;   ///< how many were under way then, itself among them
  };

  /// Knows nothing yet. Allocates, once: std::bad_alloc.
  explicit limit_estimator(limit_estimator_options options = {});

  /// A call begins; `inflight` are under way, itself among them. Each that is told here ends once. O(1).
  [[nodiscard]] begun begin(time_point now, unsigned inflight) noexcept;
  /// That call has ended, and came to `said`. True: the limit is another one now. A success counts with its time, a failure as one,
  /// and with its time where that is long; neutral not at all. O(1); some thousand ns at the end of a window.
  bool end(const begun& call, verdict said, time_point now) noexcept;

  /// How many calls may be under way.
  [[nodiscard]] unsigned limit() const noexcept { return static_cast<unsigned>(limit_); }
  /// How long calls take when they do not wait for each other; zero: not known yet.
  [[nodiscard]] duration baseline() const noexcept { return duration{static_cast<std::int64_t>(baseline_ns_)}; }
  /// How long they took in the last window that ended; zero: none has.
  [[nodiscard]] duration recent() const noexcept { return duration{static_cast<std::int64_t>(recent_ns_)}; }

  /// What has become of it.
  struct figures {
    std::uint64_t windows;       ///< that ended
    std::uint64_t grown;         ///< times that the limit grew
    std::uint64_t trials;        ///< times that it was lowered to see what that does
    std::uint64_t trials_helped;  ///< of those, the ones after which it stayed down; observing, the times that it fell
  };
  /// The figures so far.
  [[nodiscard]] figures look() const noexcept { return figures_; }

private:
  enum class trial : std::uint8_t { none, of_baseline, of_times, of_failures };
  struct level {
    double limit = 0;
    double used = 0;
    double took_ns = 0;
  };

  // What is known of a window at its end.
  struct seen_window {
    double used = 0;         // calls inside, at most
    double failed = 0;       // share
    double slack = 1;
    bool in_use = false;
    bool timed = false;
  };

  // Observing: sums over a window of x = log(calls inside) and y = log(time).
  struct spread {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0, inflight = 0;  // of those whose time counts
    double n_failed = 0, x_failed = 0, n_well = 0, x_well = 0, xx_all = 0;
    [[nodiscard]] double x_deviation() const noexcept;
  };
  // The same of each call against the mean of its window, over the windows since R is too high but the first.
  struct deviations {
    double n = 0, xx = 0, xy = 0, yy = 0;
    int windows = 0;
  };

  void begin_window(time_point from) noexcept;
  void close_window(time_point now) noexcept;
  [[nodiscard]] bool knows_times(time_point now) noexcept;
  bool end_window(time_point now) noexcept;
  void follow(bool in_use, double slack) noexcept;
  void begin_trial(trial why, double used, time_point now) noexcept;
  void end_trial(const seen_window& seen, time_point now) noexcept;
  void settle_between(const level& lower, const level& higher, time_point now) noexcept;
  void note_spread(const begun& call, double took_ns, bool failed) noexcept;
  void settle_unseen(const seen_window& seen, const spread& of, bool fails, bool slow, time_point now) noexcept;
  void plan_trial(time_point now) noexcept;
  bool set_limit(double to, time_point now) noexcept;

  limit_estimator_options options_;
  double limit_;
  double baseline_ns_ = 0;
  double recent_ns_ = 0;
  double usual_failures_ = 0;

  // The window.
  std::uint32_t number_ = 0;
  bool open_ = false;         // calls that begin are of it
  time_point window_from_{};
  time_point window_to_{};    // once it is closed
  time_point judged_from_{};  // once it is closed: from when on it is worth a look whether R is known
  histogram times_;           // of those that have ended
  double window_ns_ = 0;      // R of it
  std::uint64_t members_ = 0;
  std::uint64_t calls_ = 0;   // of them, that succeeded
  std::uint64_t failed_ = 0;
  unsigned inflight_max_ = 0;

  spread spread_;
  deviations dev_;
  double mean_ns_ = 0;            // of the last window
  double baseline_mean_ns_ = 0;   // of those by which the baseline is known

  // The trial: what was before it, and before that if the one before helped.
  trial trial_ = trial::none;
  level higher_{};
  level began_{};
  double failed_before_ = 0;
  time_point next_trial_{};

  figures figures_{};
};

}  // namespace levity
