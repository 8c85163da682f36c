#pragma once

// hedge: a second attempt beside one that takes long, and the first good answer of the two.
//
// Why: of a hundred calls a few meet a machine that collects garbage or a packet that was lost; asked a second time, another one
// answers at once (Dean and Barroso, The Tail at Scale, 2013). The second goes out when the first has taken longer than 95 of 100
// do, so it is load for a twentieth of the calls, and never for more: share_max bounds it, and the budget shared with retries does.
//
//   state                       moved by                                               guarded by
//   one    -> two               the second attempt, when its moment has come           contest.lock
//   one    -> decided           the first attempt ends, well or not                    contest.lock
//   two    -> decided           the attempt that first ends well, or the last to end   contest.lock
//
// Both attempts are tasks of one scope. Who decides writes the result, and cancels the scope; the loser ends its waits, is joined,
// and what it returns is dropped. The result is read after the join, which orders it (E30).
//
// What the tracker is told: how long attempts took that ended well, and the first attempt's time so far where the second was
// faster. That one took at least so long; without it the slow ones would be missing, the quantile fall, and more be hedged. The
// time of a second attempt that lost says nothing: it was cut short early.
//
// Rejected: a fixed delay (2 s are a year where p95 is 8 ms); when_any() of the call and a delayed one (a first attempt that fails
// would wait for the second's moment, and become a retry that nobody decided on).

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/detail/attempt.hpp"
#include "levity/resilience/detail/work.hpp"
#include "levity/resilience/latency_tracker.hpp"
#include "levity/resilience/retry_budget.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/detail/call_site.hpp"
#include "levity/task/scope.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {

/// The calls of one route that may be hedged: how long they take, and how many were asked twice. All who call it share one.
///
/// Any thread. It is told the time; no allocation; 9 KB.
class hedged_route {
public:
  /// When a second attempt begins, and how often. What is out of bounds is clamped to them.
  struct options {
    double quantile = 0.95;  ///< a second attempt begins when the first takes longer than this part of all
    double share_max = 0.05;                              ///< second attempts by calls, over ten seconds
    duration delay_min = std::chrono::milliseconds(1);    ///< and not before
    duration delay_max = std::chrono::seconds(10);        ///< nor later
    latency_tracker::options latency{};                   ///< over which time p95 is that of now
  };
  /// What was counted, since it was made. Taken one after the other, so not of one moment.
  struct counts {
    std::uint64_t calls;    ///< begun
    std::uint64_t hedged;   ///< second attempts begun
    std::uint64_t won;      ///< of them, those whose answer counted
    std::uint64_t refused;  ///< second attempts that a budget did not grant
  };

  /// With a share of its own alone.
  hedged_route() noexcept : hedged_route(options{}) {}
  /// The same with other figures.
  explicit hedged_route(const options& how) noexcept;
  /// Second attempts are taken from `shared`, too: the budget of the retries around them, where the calls are counted. It outlives
  /// the route.
  explicit hedged_route(retry_budget& shared) noexcept : hedged_route(shared, options{}) {}
  /// The same with other figures.
  hedged_route(retry_budget& shared, const options& how) noexcept;
  hedged_route(const hedged_route&) = delete;
  hedged_route& operator=(const hedged_route&) = delete;

  /// A call begins. After how long a second attempt should: empty while too few calls are known. Worked out anew every 67 ms.
  [[nodiscard]] std::optional<duration> begin_call(time_point now) noexcept;
  /// Whether a second attempt may begin; it is counted if so.
  [[nodiscard]] bool try_hedge(time_point now) noexcept;
  /// What try_hedge() granted at `granted_at` did not begin after all.
  void take_back(time_point granted_at) noexcept;
  /// An attempt that counts took so long.
  void record(duration took, time_point now) noexcept { latency_.record(took, now); }
  /// The second attempt's answer was the one.
  void second_won() noexcept { won_.fetch_add(1, std::memory_order_relaxed); }

  /// What it has counted, for metrics.
  [[nodiscard]] counts counted() const noexcept;
  /// How long attempts take.
  [[nodiscard]] const latency_tracker& latency() const noexcept { return latency_; }

private:
  hedged_route(retry_budget* shared, const options& how) noexcept;

  options how_;           // constant after construction, like the next
  retry_budget* shared_;  // null: none
  retry_budget own_;
  latency_tracker latency_;
  // Statistics, and the delay with the time of which it is: relaxed, nothing is published through them.
  atomic<std::uint64_t> delay_{0};  // time, in units of 67 ms, above; below, the delay in units of 1,024 ns, and one: 0 is none
  atomic<std::uint64_t> calls_{0};
  atomic<std::uint64_t> hedged_{0};
  atomic<std::uint64_t> won_{0};
  atomic<std::uint64_t> refused_{0};
};

namespace detail {

/// Which of two attempts decides.
class hedge_contest {
public:
  /// The second attempt is about to begin. False: the first has decided.
  [[nodiscard]] bool may_begin() noexcept {
    lock_.lock();
    if (!decided_) running_++;
    const bool begins = !decided_;
    lock_.unlock();
    return begins;
  }
  /// An attempt that runs has ended. True: it decides.
  [[nodiscard]] bool ends(bool well) noexcept {
    lock_.lock();
    const bool decides = !decided_ && (well || running_ == 1);
    running_--;
    decided_ = decided_ || decides;
    lock_.unlock();
    return decides;
  }

private:
  spin_lock lock_;  // guards the rest
  int running_ = 1;
  bool decided_ = false;
};

template <class R>
struct hedged_call {
  hedged_route& route;
  scope& attempts;
  hedge_contest contest;
  result_slot<R> result;   // of who decides
  std::int64_t due_ns;     // of the deadline around the call: tasks of their own do not see it
};

template <class R>
task<> hedge_attempt(hedged_call<R>& call, task<R> work, bool is_second) {
  const time_point began = clock::now();
  attempt_end end;
  bool decides = false;
  try {
    R came = co_await attempt(call.due_ns, end, std::move(work));
    const time_point now = clock::now();
    const bool well = came.has_value();
    decides = call.contest.ends(well);
    const bool was_slower = !is_second && end.outside == cancel_reason::lost_race;
    if (well ? decides || !is_second : was_slower) call.route.record(now - began, now);
    if (!decides) co_return;
    if (is_second && well) call.route.second_won();
    call.result.set_value(std::move(came));
  } catch (...) {
    if (!is_second && end.outside == cancel_reason::lost_race) {
      const time_point now = clock::now();
      call.route.record(now - began, now);
    }
    // Who has decided may fail yet, when its value is moved.
    if (!decides && !call.contest.ends(false)) co_return;
    call.result.set_failure(std::current_exception());
  }
  call.attempts.cancel(cancel_reason::lost_race);
}

template <class R, class Work>
task<> hedge_later(hedged_call<R>& call, Work& work, time_point begins) {
  co_await sleep_until(begins);
  const time_point granted = clock::now();
  if (!call.route.try_hedge(granted)) co_return;
  std::optional<task<R>> second;
  try {
    second.emplace(work());
  } catch (...) {
    // Not begun, so the first decides: its answer is not to be lost for what a second one lacked.
  }
  // Asked last: from then on the first, should it fail, leaves the decision to this one.
  if (!second || !call.contest.may_begin()) {
    call.route.take_back(granted);
    co_return;
  }
  co_await hedge_attempt(call, *std::move(second), true);
}

template <class Work>
task<outcome_of<Work>> hedge_kept(hedged_route& route, Work work) {
  using outcome = detail::outcome_of<Work>;
  const time_point began = clock::now();
  const std::optional<duration> delay = route.begin_call(began);
  if (!delay) {
    outcome came = co_await work();
    const time_point now = clock::now();
    if (came.has_value()) route.record(now - began, now);
    co_return came;
  }
  const std::source_location site = co_await detail::call_site{};
  scope attempts{on_failure::keep_going, "hedge"};
  const time_point due = current_deadline().value_or(time_point::max());
  detail::hedged_call<outcome> call{route, attempts, {}, {}, due.time_since_epoch().count()};
  std::exception_ptr not_started;
  try {
    attempts.adopt_frame(detail::hedge_attempt(call, work(), false), "hedge", site);
    attempts.adopt_frame(detail::hedge_later(call, work, began + *delay), "hedge", site);
  } catch (...) {
    // Out of memory, or work() itself. An attempt that runs already uses what lives in this frame: it ends first.
    not_started = std::current_exception();
    attempts.cancel();
  }
  co_await attempts.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  co_return call.result.take();
}

}  // namespace detail

/// Makes the call, and once more beside it when it takes longer than nearly all calls of this route do; the first good answer of
/// the two is returned, the other attempt is told to end (cancel_reason::lost_race) and has ended. An attempt that fails leaves the
/// other to decide; one that fails before the second began is the answer: repeating is for retry().
///
///     lv::hedged_route prices;                   // one for each route
///     auto price = co_await lv::hedge(prices, [&] { return fetch_price(article); });
///
/// Who writes this says that the call may be made twice at once. `work` gives a new task<std::expected<T, E>> each time and is not
/// called twice at a time; it lives in this call's frame. What an attempt that decides throws is thrown; when `work` throws instead
/// of giving a second task, the first attempt decides. When the task around is
/// cancelled, or its deadline passes, so are both attempts, and the call ends as the last of them does; each sees the deadline as
/// current_deadline(). While too few calls are known the call is made within the caller's own task; else in two tasks of one scope.
template <class Work>
  requires detail::repeatable_work<std::decay_t<Work>>
task<detail::outcome_of<std::decay_t<Work>>> hedge(hedged_route& route, Work&& work) {
  detail::check_callable<Work>();
  return detail::hedge_kept<std::decay_t<Work>>(route, std::forward<Work>(work));
}

}  // namespace levity
