#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/resilience/judgement.hpp"
#include "levity/resilience/retry_budget.hpp"
#include "levity/resilience/retry_stop.hpp"

namespace levity::inline v0 {

/// Whether a call may be made a second time though the first may have had its effect: a read, or a write under a key that the other
/// side knows again. Only the caller knows.
enum class repeatable : bool { no, yes };

/// When a call that failed is made again: at most twice, after a random part of 25 ms, then of 50 ms and so on up to 1 s ("full
/// jitter", as AWS's SDKs do: callers that failed together do not come back together), not before the other side wants it, and
/// never at a time when nobody waits for the answer any more.
///
/// Any thread. It looks at no clock; deciding asks the budget, which walks 80 words, and else costs next to nothing.
class retry_policy {
public:
  /// How often and how fast.
  struct options {
    int repetitions_max = 2;                                 ///< attempts after the first one
    duration base = std::chrono::milliseconds(25);           ///< the most to wait before the first repetition; then twice as much
    duration cap = std::chrono::seconds(1);                  ///< and never more
    duration retry_after_max = std::chrono::seconds(30);     ///< who asks to be left alone for longer is not asked again
    /// Where the waits are drawn from. Empty: lv::random_seed(), else every process of a fleet would draw the same.
    std::optional<std::uint64_t> seed;
  };
  /// What was decided, since it was made. Taken one after the other, so not of one moment.
  struct counts {
    std::uint64_t repeated;          ///< waits given out
    std::uint64_t repetitions_used;  ///< calls given up for retry_stop::repetitions_used
    std::uint64_t past_deadline;     ///< for retry_stop::past_deadline
    std::uint64_t asked_to_wait;     ///< for retry_stop::asked_to_wait
    std::uint64_t budget_spent;      ///< for retry_stop::budget_spent
  };

  /// Two repetitions, up to 25 and 50 ms after the attempt before.
  retry_policy() : retry_policy(options{}) {}
  /// Negative numbers count as none.
  explicit retry_policy(const options& how);
  retry_policy(const retry_policy&) = delete;
  retry_policy& operator=(const retry_policy&) = delete;

  /// How long to wait before repetition `number`, counted from 0, of an attempt that was judged so; or why it is not made. `due` is
  /// when the call's result is no longer wanted. What is granted is spent from the budget.
  [[nodiscard]] std::expected<duration, retry_stop> decide(int number, const judgement& of, time_point now,
                                                           std::optional<time_point> due, retry_budget& budget) noexcept;

  /// The most that is waited before repetition `number`: min(cap, base * 2^number).
  [[nodiscard]] duration backoff_max(int number) const noexcept;
  /// A wait between nothing and that, each as likely as the other.
  [[nodiscard]] duration draw_backoff(int number) noexcept;

  /// What it has counted, for metrics.
  [[nodiscard]] counts counted() const noexcept;
  /// As it was clamped.
  [[nodiscard]] const options& how() const noexcept { return how_; }

private:
  options how_;         // constant after construction, like the next
  std::uint64_t seed_;
  // Statistics, and the numbers of draws: relaxed, nothing is published through them.
  atomic<std::uint64_t> draws_{0};
  atomic<std::uint64_t> repeated_{0};
  atomic<std::uint64_t> repetitions_used_{0};
  atomic<std::uint64_t> past_deadline_{0};
  atomic<std::uint64_t> asked_to_wait_{0};
  atomic<std::uint64_t> budget_spent_{0};
};

}  // namespace levity
