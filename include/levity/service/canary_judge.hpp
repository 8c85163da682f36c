#pragma once

// canary_judge: whether a new version may go on taking traffic beside the old one, by what both have done so far.
//
// Why: who looks at two error rates every minute will sooner or later see one that is "significantly" worse by chance: at p < 0.01
// a look, 9 of 100 canaries as good as stable do not outlive twenty looks. So what is bounded here is the probability that such a
// canary is *ever* rolled back, over all looks of a rollout: `p_max`.
//
//   state          moved by
//   watching       look()   while nothing is wrong; steps of the ramp follow each other here
//   -> rolled_back look()   a test says that the canary is worse; once
//   -> finished    look()   the last step, 100 %, has been reached
//
// Tests, all one-sided, on requests that came after the step began:
//   errors   Fisher's exact test on failed of all
//   latency  Mann and Whitney's on the bins of successful calls
//   tail     Fisher's on how many are among the slowest hundredth of both sides together, to the nearest bin: a version of which
//            one call in fifty hangs is hardly seen by ranks
// each wants a difference that matters (options) besides: with enough samples any difference is significant.
//
// Two families of looks share the budget of a step, A = p_max / steps, in halves:
//   windows     the samples since the last window, as soon as there are enough: they see what begins late.
//               window k spends A/2 * 6 / (pi k)^2, and the sum over all k is A/2
//   cumulative  all samples of the step, whenever their number has doubled: they see what is small and lasts.
//               doubling j spends A/2 * 2^-j, j = 1, 2, ...: A/2 in all
// and a look gives each of its three tests a third. By Bonferroni the sum bounds the probability, however the looks depend on each
// other. A canary that fails outright has p below 10^-30 at 500 samples: the strictness costs nothing where it matters.
//
// Rejected: p < 0.01 at each look (93 false alarms in 1,000 rollouts of 20 looks; as above 7); a sequential probability ratio test
// (wants the size of the fault beforehand); comparing p99 of both sides (says nothing about chance).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/service/latency_bins.hpp"

namespace levity::inline v0::service {

/// What one version has done so far. Counts only ever grow.
struct canary_counts {
  std::uint64_t requests = 0;  ///< that ended with success or failure
  std::uint64_t errors = 0;    ///< of these, with failure
  latency_bins latency;        ///< how long the successful ones took
};

/// When a canary is rolled back, and when it gets more.
struct judge_options {
  double p_max = 0.01;                                ///< that a canary as good as stable is rolled back, ever; 0..1
  std::uint64_t samples_min = 500;                    ///< of the canary, and of stable, before anything is decided
  duration window_min = std::chrono::seconds(10);     ///< the shortest window
  double error_rate_margin = 0.001;                   ///< a canary whose error rate is higher by less is let be
  double slower_min = 0.53;                           ///< how probable it must be that a canary's call is the slower one of two
  double tail_factor_min = 1.5;                       ///< by how much more of its calls must be among the slowest hundredth
  /// The canary's shares in percent, one after the other; empty: the share stays what it is. Rising, above 0 to 100.
  std::vector<double> ramp_percent{};
  duration step_min = std::chrono::minutes(5);        ///< how long each lasts at least
};

/// What a look came to.
enum class judged : std::uint8_t {
  too_few,      ///< not enough new samples for a test
  healthy,      ///< tested, and nothing is wrong
  advanced,     ///< the same, and the canary gets the next share of the ramp
  finished,     ///< the same, and it was the last step
  rolled_back,  ///< it is worse: no more traffic for it. Said once
  ended,        ///< finished or rolled back before
};

/// Which test a canary failed.
enum class canary_fault : std::uint8_t {
  none,     ///< none
  errors,   ///< more of its calls fail
  latency,  ///< its calls take longer
  tail,     ///< more of its calls are very slow
};

/// The enumerator's name, for logs and metrics.
[[nodiscard]] std::string_view to_string(judged what) noexcept;
[[nodiscard]] std::string_view to_string(canary_fault which) noexcept;

/// A judgement with its reasons. A value.
struct canary_ruling {
  judged what = judged::too_few;             ///< what is to be done
  canary_fault fault = canary_fault::none;   ///< what it was rolled back for
  double p = 1;                              ///< of the test that was nearest to its bound
  double p_bound = 0;                        ///< the bound of that test
  canary_counts canary;                      ///< what was compared; empty when too few
  canary_counts stable;                      ///< with what
  double percent = 0;  ///< the share that the canary is to have from now on; 0 without a ramp unless rolled back

  /// One sentence for a log. Allocates.
  [[nodiscard]] std::string message() const;
};

/// The state machine. One thread at a time; it reads no clock and allocates nothing after it was made.
class canary_judge {
public:
  /// Begins to watch. Options out of their bounds are clamped to them.
  explicit canary_judge(judge_options options, time_point now);

  /// Looks at what both have done by now, counted from any moment on: the first look only notes where both stand. O(bins), and for
  /// errors in the millions some 10 us. `now` does not go back.
  canary_ruling look(const canary_counts& canary, const canary_counts& stable, time_point now);

  /// From now on as if it had just been made: for a rollout that is tried again.
  void restart(time_point now) noexcept;

  /// The share that the ramp gives the canary now, in percent; 0 when rolled back; negative: there is no ramp.
  [[nodiscard]] double percent() const noexcept;
  /// Whether it was rolled back.
  [[nodiscard]] bool rolled_back() const noexcept { return state_ == state::rolled_back; }

private:
  enum class state : std::uint8_t { watching, rolled_back, finished };
  struct both {
    canary_counts canary, stable;
  };

  void begin_step(const both& so_far, time_point now) noexcept;
  bool test(const both& counts, double bound, canary_ruling& ruling) const noexcept;

  judge_options options_;
  state state_ = state::watching;
  bool begun_ = false;          // there was a look
  std::size_t step_ = 0;        // of the ramp
  std::uint64_t windows_ = 0;   // tested in this step
  std::uint64_t doublings_ = 0;
  std::uint64_t next_cumulative_ = 0;  // samples of the canary at which all of the step are tested
  both step_base_, window_base_;
  time_point step_began_, window_began_;
};

}  // namespace levity::service
