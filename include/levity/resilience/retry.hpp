#pragma once

#include <type_traits>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/resilience/detail/attempt.hpp"
#include "levity/resilience/detail/work.hpp"
#include "levity/resilience/judgement.hpp"
#include "levity/resilience/retry_budget.hpp"
#include "levity/resilience/retry_policy.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {
namespace detail {

template <class Work, class Judge>
task<outcome_of<Work>> retry_kept(retry_policy& policy, retry_budget& budget, Work work, Judge judge) {
  using outcome = detail::outcome_of<Work>;
  budget.count_request(clock::now());
  for (int number = 0;; number++) {
    detail::attempt_end end;
    outcome came = co_await detail::attempt(detail::deadline_guard::never_ns, end, work());
    const judgement said = judge(std::as_const(came));
    if (!said.may_repeat || end.outside != cancel_reason::none) co_return came;
    const time_point now = clock::now();
    const auto wait = policy.decide(number, said, now, current_deadline(), budget);
    if (!wait) co_return came;
    try {
      co_await sleep(*wait);
    } catch (...) {
      budget.take_back(now);  // cancelled: it is not made
      throw;
    }
  }
}

}  // namespace detail

/// Makes the call, and makes it again while its outcome says that this may help, the policy has repetitions left, the budget grants
/// one and there is time for it before the deadline around it. Returns the last outcome, as `work` gave it.
///
///     lv::retry_budget budget;                   // one for each dependency
///     lv::retry_policy policy;
///     auto order = co_await lv::retry(policy, budget, [&] { return fetch(id); });
///
/// Who writes this says that the call may be made twice. `work` is called once an attempt, one attempt after the other, each time
/// for a new task<std::expected<T, E>>; it lives in this call's frame. `judge` tells what an outcome means, default_judge where
/// nothing is said. The call is counted in the budget when it begins, repetitions when they are granted;
/// one whose wait is cancelled is given back.
///
/// A cancellation passes through, and ends a wait between attempts with `cancelled`; when it comes during an attempt that returns
/// an error for it, that error is returned and nothing repeated. So with a deadline around it. What `work` throws passes through
/// and is not repeated. Policy and budget outlive the call. One frame, and one look at the clock where the first attempt succeeds.
template <class Work, class Judge = default_judge>
  requires detail::repeatable_work<std::decay_t<Work>> && judge_of<std::decay_t<Judge>, detail::outcome_of<std::decay_t<Work>>>
task<detail::outcome_of<std::decay_t<Work>>> retry(retry_policy& policy, retry_budget& budget, Work&& work, Judge&& judge = {}) {
  detail::check_callable<Work>();
  detail::check_callable<Judge>();
  return detail::retry_kept<std::decay_t<Work>, std::decay_t<Judge>>(policy, budget, std::forward<Work>(work),
                                                                     std::forward<Judge>(judge));
}

}  // namespace levity
