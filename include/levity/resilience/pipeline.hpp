#pragma once

// pipeline: limits of time, admission, repetition and counting around a call, as one value.
//
//   auto calls = lv::pipeline(lv::total_timeout{3s}, lv::retrying{policy, budget}, limit, breaker, lv::attempt_timeout{1s});
//   auto answer = co_await calls.run(lv::repeatable::yes, [&] { return fetch(id); });
//
// The parts stand from the outside in. Those before `retrying` are met once a call, those behind it once an attempt. What learns
// from how long calls take stands behind it, or it takes the waits between attempts for the other side's:
//
//   call      admission of the parts before `retrying`, in order   refused: rejected
//   attempt   admission of the parts behind it, in order           refused: rejected; after an attempt, the outcome of that one
//             the work, until min(total, attempt) timeout
//             every permit of the attempt is told                  last: the outcome, or after a wait another attempt
//   end       every permit of the call is told, the call is counted
//
// What a permit is told
//
//   the work's outcome                        what its judge says
//   no answer in enough time                  failure; so for a value that came too late, which is returned all the same
//                                             (neutral where it had less)
//   no answer, with less time than that       neutral: the total timeout, a deadline further out or a cancellation came first
//   an exception of the work                  failure, and it passes through
//
// An exception is neutral where the task was cancelled, or where no attempt had begun for want of memory, say.
//
// Enough time is that of an attempt, or how long answers take as a rule: attempt_timeout::usual, or what 95 of 100 do not exceed,
// which is learnt from the answers. Callers that have less than an attempt may take would else never show that nobody answers any
// more; and callers that have less than an answer takes say nothing by giving up. Whoever was cancelled for another reason says
// nothing, ever.
//
// Where a part refuses, those before it are given their permits back, and what they took for the call (withdrawable_permit).
//
// One frame, for however many parts, and one timer an attempt: since nothing waits between attempts beyond the total timeout, that
// one matters only while an attempt runs, and the nearer of the two is the one that is armed. A part costs what its own
// words cost; the clock is read twice a call. What the frame holds of a part is its permit.
//
// Rejected: a task for each part (five frames, 6 to 9 ns each, and as many await chains in a dump); parts as objects with virtual
// calls (a permit that is no fixed type has to be allocated); timers armed only at the first wait inside (18 ns a call that does
// not wait, paid with a look in every wait of every task).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/resilience/admission.hpp"
#include "levity/resilience/call_error.hpp"
#include "levity/resilience/detail/attempt.hpp"
#include "levity/resilience/detail/latency_buckets.hpp"
#include "levity/resilience/detail/tally.hpp"
#include "levity/resilience/detail/usual_answer.hpp"
#include "levity/resilience/detail/work.hpp"
#include "levity/resilience/judgement.hpp"
#include "levity/resilience/retry_budget.hpp"
#include "levity/resilience/retry_policy.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/task.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {

/// A part of a pipeline: the call, all its attempts and the waits between them take no longer.
struct total_timeout {
  duration time;  ///< from its beginning
};

/// A part of a pipeline: one attempt takes no longer.
struct attempt_timeout {
  duration time;  ///< from its beginning
  /// How long an answer takes at most, as a rule: an attempt that had so long and no answer is a failure, though its caller's
  /// deadline ended it sooner than `time`. Zero: learnt from the answers; until sixteen are known, it is `time`. Of several the
  /// shortest counts.
  duration usual{};
};

/// A part of a pipeline: calls that fail are made again. Policy and budget outlive the pipeline.
struct retrying {
  retry_policy& policy;  ///< when
  retry_budget& budget;  ///< how much; the calls are counted in it
};

/// A part of a pipeline: what an outcome means, instead of default_judge. It is called with the std::expected<T, E> of an attempt.
template <class Judge>
struct judging {
  Judge judge;  ///< by any thread, as a const object
};
/// Of the form `lv::judging{[](const auto& outcome) -> lv::judgement { ... }}`.
template <class Judge>
judging(Judge) -> judging<Judge>;

/// How long the calls of a pipeline took that were made, and how they ended. Taken one after the other, so not of one moment.
struct pipeline_counts {
  std::uint64_t succeeded = 0;    ///< a value was returned
  std::uint64_t failed = 0;       ///< the work's own error was
  std::uint64_t timed_out = 0;    ///< no answer in time
  std::uint64_t rejected = 0;     ///< not made, for a part refused it
  std::uint64_t broken_off = 0;   ///< its task was cancelled, or the work threw
  std::uint64_t repetitions = 0;  ///< attempts after the first ones

  /// Calls by how long they took, in buckets of an eighth of their length: those that succeeded, failed or timed out.
  std::array<std::uint64_t, detail::latency_buckets::count> latency{};
  /// All of these times together.
  duration latency_sum{};

  /// All that have ended.
  [[nodiscard]] std::uint64_t calls() const noexcept { return succeeded + failed + timed_out + rejected + broken_off; }
  /// The longest that bucket `index` of latency counts.
  [[nodiscard]] static duration latency_top(std::size_t index) noexcept { return detail::latency_buckets::top_of(index); }
  /// A time that at least this part (0 to 1) of these calls did not exceed, an eighth too long at most; zero where there were none.
  [[nodiscard]] duration latency_quantile(double part) const noexcept;
};

namespace detail {

template <class Part>
inline constexpr bool is_judging = false;
template <class Judge>
inline constexpr bool is_judging<judging<Judge>> = true;

template <class Part>
inline constexpr bool is_admission = admission_policy<std::remove_cvref_t<Part>>;

template <class Part>
concept pipeline_part = is_admission<Part> || is_judging<std::remove_cvref_t<Part>> ||
                        std::is_same_v<std::remove_cvref_t<Part>, total_timeout> ||
                        std::is_same_v<std::remove_cvref_t<Part>, attempt_timeout> ||
                        std::is_same_v<std::remove_cvref_t<Part>, retrying>;

// A policy that has a name is shared, by reference; anything else is kept.
template <class Part>
using kept_part = std::conditional_t<is_admission<Part> && std::is_lvalue_reference_v<Part>, Part, std::remove_cvref_t<Part>>;

template <std::size_t From, std::size_t To, class... Parts>
struct admission_places {
  static constexpr std::array<bool, sizeof...(Parts) + 1> admits{is_admission<Parts>..., false};
  static constexpr std::size_t count = static_cast<std::size_t>(std::count(admits.begin() + From, admits.begin() + To, true));

  static constexpr std::array<std::size_t, count> list() {
    std::array<std::size_t, count> all{};
    std::size_t next = 0;
    for (std::size_t i = From; i < To; i++) {
      if (admits[i]) all[next++] = i;
    }
    return all;
  }
  template <std::size_t... I>
  static constexpr auto sequence(std::index_sequence<I...>) {
    return std::index_sequence<list()[I]...>{};
  }
};

/// The positions from `From` to `To` of those parts that admit.
template <std::size_t From, std::size_t To, class... Parts>
using admission_positions = decltype(admission_places<From, To, Parts...>::sequence(
    std::make_index_sequence<admission_places<From, To, Parts...>::count>{}));

/// The permits of some parts, those at positions `At` of `Policies`. Dropped untold they are neutral.
template <class Policies, class At>
class permits;

template <class Policies, std::size_t... At>
class permits<Policies, std::index_sequence<At...>> {
public:
  /// Asks all in order, up to the first that refuses.
  [[nodiscard]] std::optional<rejection> admit([[maybe_unused]] Policies& policies, [[maybe_unused]] time_point now) noexcept {
    std::optional<rejection> refused;
    [&]<std::size_t... N>(std::index_sequence<N...>) {
      static_cast<void>((admit_one(std::get<At>(policies), std::get<N>(held_), now, refused) && ...));
    }(std::make_index_sequence<sizeof...(At)>{});
    if (refused) [[unlikely]] withdraw();
    return refused;
  }

  /// The call is not made: those that are held go, and what they paid comes back.
  void withdraw() noexcept {
    std::apply([](auto&... each) { (withdraw_one(each), ...); }, held_);
  }

  /// All of them are held.
  void record([[maybe_unused]] verdict said, [[maybe_unused]] time_point now) noexcept {
    std::apply([&](auto&... each) { (each->record(said, now), ...); }, held_);
  }

private:
  template <class Permit>
  static void withdraw_one(std::optional<Permit>& held) noexcept {
    if constexpr (withdrawable_permit<Permit>) {
      if (held) held->withdraw();
    }
    held.reset();
  }
  template <class Policy, class Permit>
  static bool admit_one(Policy& policy, std::optional<Permit>& into, time_point now, std::optional<rejection>& refused) noexcept {
    auto admitted = policy.try_admit(now);
    if (!admitted) [[unlikely]] {
      refused = admitted.error();
      return false;
    }
    into.emplace(std::move(*admitted));
    return true;
  }

  std::tuple<std::optional<typename std::remove_cvref_t<std::tuple_element_t<At, Policies>>::permit>...> held_;
};

struct pipeline_tallies {
  std::array<tally, latency_buckets::count> latency;
  tally failed, timed_out, rejected, broken_off, repetitions;
  tally latency_sum_ns;

  void took(duration time) noexcept {
    latency[latency_buckets::index_of(time)].add();
    latency_sum_ns.add(static_cast<std::uint64_t>(std::max(time, duration::zero()).count()));
  }
  [[nodiscard]] pipeline_counts seen() const noexcept;
};

/// A call that has begun; broken off, if nobody says how it ended.
class open_call {
public:
  explicit open_call(pipeline_tallies& in) noexcept : in_(&in) {}
  open_call(const open_call&) = delete;
  open_call& operator=(const open_call&) = delete;
  ~open_call() {
    if (in_ != nullptr) [[unlikely]] in_->broken_off.add();
  }

  void rejected() noexcept { std::exchange(in_, nullptr)->rejected.add(); }
  void succeeded(duration took) noexcept { std::exchange(in_, nullptr)->took(took); }
  void failed(duration took, bool for_time) noexcept {
    (for_time ? in_->timed_out : in_->failed).add();
    succeeded(took);
  }

private:
  pipeline_tallies* in_;
};

}  // namespace detail

/// Limits of time, admission policies and repetition around calls, as one value: `lv::pipeline(part, part, ...)`, from the outside
/// in.
///
/// Parts: total_timeout, attempt_timeout, retrying, judging, and any admission_policy (a breaker, a limit). A policy that has a
/// name is referred to, outlives the pipeline, and may be shared by many; one that has none is kept. There is at most one retrying
/// and one judging; total_timeout stands before retrying, attempt_timeout behind it. Of several timeouts of a kind the shortest
/// counts.
///
/// Any thread may run calls through one pipeline; it is moved only while nobody does. What the parts do to a call, and what they
/// are told of it, stands in front of this file.
template <class... Parts>
class pipeline {
  static_assert((detail::pipeline_part<Parts> && ...),
                "a part of a pipeline is a total_timeout, an attempt_timeout, retrying, judging, or a policy that admits calls");

  static constexpr std::size_t size = sizeof...(Parts);
  template <class Part>
  static constexpr std::size_t first_of() {
    constexpr std::array<bool, size + 1> is{std::is_same_v<std::remove_cvref_t<Parts>, Part>..., true};
    return static_cast<std::size_t>(std::find(is.begin(), is.end(), true) - is.begin());
  }
  template <class Part>
  static constexpr std::size_t count_of = (std::size_t{0} + ... + (std::is_same_v<std::remove_cvref_t<Parts>, Part> ? 1 : 0));
  static constexpr std::array<bool, size + 1> judges{detail::is_judging<std::remove_cvref_t<Parts>>..., true};
  static constexpr auto judge_at = static_cast<std::size_t>(std::find(judges.begin(), judges.end(), true) - judges.begin());

  static constexpr std::size_t retry_at = first_of<retrying>();
  static constexpr bool repeats = retry_at < size;
  static_assert(count_of<retrying> <= 1, "a pipeline repeats calls in one place: repetitions of repetitions are a storm");
  static_assert(std::count(judges.begin(), judges.end(), true) <= 2, "a pipeline has one judge");
  static_assert(!repeats || [] {
    constexpr std::array<bool, size + 1> total{std::is_same_v<std::remove_cvref_t<Parts>, total_timeout>..., false};
    return std::find(total.begin() + retry_at, total.end(), true) == total.end();
  }(), "total_timeout stands before retrying; what limits one attempt is attempt_timeout");
  static_assert(!repeats || first_of<attempt_timeout>() > retry_at,
                "attempt_timeout stands behind retrying; what limits all attempts is total_timeout");

  using parts = std::tuple<Parts...>;
  using call_permits = detail::permits<parts, detail::admission_positions<0, retry_at, Parts...>>;
  using attempt_permits = detail::permits<parts, detail::admission_positions<retry_at, size, Parts...>>;

  template <class Outcome>
  using result_for = std::expected<typename Outcome::value_type, call_error<typename Outcome::error_type>>;

public:
  /// Of the parts in order; see the guide below, by which a policy that has a name is referred to.
  explicit pipeline(std::type_identity_t<Parts>... in_order) noexcept : parts_(std::forward<Parts>(in_order)...) {
    const auto shorten = [this](const auto& part) {
      using kind = std::remove_cvref_t<decltype(part)>;
      if constexpr (std::is_same_v<kind, total_timeout>) total_ = std::min(total_, part.time);
      if constexpr (std::is_same_v<kind, attempt_timeout>) {
        attempt_ = std::min(attempt_, part.time);
        if (part.usual > duration::zero()) usual_ = std::min(usual_, part.usual);
      }
    };
    std::apply([&](const auto&... each) { (shorten(each), ...); }, parts_);
  }

  /// Makes the call: `std::expected<T, call_error<E>>`, where `work()` gives a new task<std::expected<T, E>> for each attempt, one
  /// after the other. The caller says whether it may be made twice; where the pipeline does not repeat, that may be left out.
  ///
  /// `work` lives in the call's frame, so a coroutine that it is may capture. A cancellation of the task around passes through as
  /// `cancelled`, or as what the work returns for it, and is not repeated; so does a deadline further out. What the work throws
  /// passes through, and is not repeated. The pipeline outlives the call.
  ///
  /// One frame, and the work's; no other memory. Five parts that have nothing to say cost some 130 ns.
  template <class Work>
    requires detail::repeatable_work<std::decay_t<Work>>
  task<result_for<detail::outcome_of<std::decay_t<Work>>>> run(repeatable may_repeat, Work&& work) {
    detail::check_callable<Work>();
    return run_kept<std::decay_t<Work>>(may_repeat, std::forward<Work>(work));
  }

  /// The same for a pipeline that does not repeat.
  template <class Work>
    requires detail::repeatable_work<std::decay_t<Work>>
  [[nodiscard("co_await the call")]] auto run(Work&& work) {
    static_assert(!repeats, "this pipeline repeats calls, so say whether this one may be made twice: "
                            "run(lv::repeatable::yes, work), or run(lv::repeatable::no, work)");
    return run(repeatable::no, std::forward<Work>(work));
  }

  /// What became of the calls so far.
  [[nodiscard]] pipeline_counts counted() const noexcept { return tallies_.seen(); }

private:
  template <class Work>
  task<result_for<detail::outcome_of<Work>>> run_kept(repeatable may_repeat, Work work) {
    using outcome = detail::outcome_of<Work>;
    using result = result_for<outcome>;
    using error = typename result::error_type;

    const time_point began = clock::now();
    detail::open_call open(tallies_);
    call_permits held;
    const auto as_refused = [](const rejection& why) {
      error kept(why);
      kept.note_attempts(0, retry_stop::refused);
      return result(std::unexpect, std::move(kept));
    };
    if (const std::optional<rejection> refused = held.admit(parts_, began)) [[unlikely]] {
      open.rejected();
      co_return as_refused(*refused);
    }
    const std::int64_t total_due_ns = detail::due_after(began, total_);

    time_point now = began;
    time_point granted;          // when the repetition was that is about to be made
    std::optional<result> last;  // of the attempt before
    judgement said;
    retry_stop stopped_by = retry_stop::not_repeatable;
    int number = 0;
    for (;; number++) {
      attempt_permits own;
      if (const std::optional<rejection> refused = own.admit(parts_, now)) [[unlikely]] {
        if (!last) {
          held.withdraw();
          open.rejected();
          co_return as_refused(*refused);
        }
        // A repetition that is not admitted is not made: what the attempt before came to stands.
        if constexpr (repeats) std::get<retry_at>(parts_).budget.take_back(granted);
        stopped_by = retry_stop::refused;
        number--;
        break;
      }
      if (number > 0) {
        tallies_.repetitions.add();
      } else if constexpr (repeats) {
        // Not before: a call that is refused is no load, and earns no repetitions.
        std::get<retry_at>(parts_).budget.count_request(now);
      }

      const time_point attempt_began = now;
      const std::int64_t attempt_due_ns = detail::due_after(now, attempt_);
      const std::int64_t due_ns = std::min(total_due_ns, attempt_due_ns);
      detail::attempt_end end;
      bool is_late = false;
      // What it is that an attempt had so long, and no answer in time.
      const auto without_answer = [&](duration had) noexcept {
        if (had >= std::min(total_, attempt_)) return verdict::failure;
        const bool was_enough = had >= (usual_ != duration::max() ? usual_ : answers_.seen());
        answers_.did_not_come_within(had);
        return was_enough ? verdict::failure : verdict::neutral;
      };
      const auto when_late = [&]() noexcept {  // of the time that it was given; else it ended it itself
        return end.passed ? without_answer(duration{due_ns} - attempt_began.time_since_epoch()) : verdict::failure;
      };
      const auto when_ended = [&]() noexcept {  // from further out
        return end.outside == cancel_reason::deadline ? without_answer(now - attempt_began) : verdict::neutral;
      };
      try {
        outcome came = co_await detail::attempt(due_ns, end, work());
        now = clock::now();
        said = judge(came);
        if (end.passed) [[unlikely]] said.said = when_late();
        if (came.has_value() && !said.may_repeat) [[likely]] {
          if (!end.passed) [[likely]] answers_.came_after(now - attempt_began);
          own.record(said.said, now);
          held.record(said.said, now);
          open.succeeded(now - began);
          co_return as_result<result>(std::move(came));
        }
        is_late = end.passed && !came.has_value();
        if (!is_late) last.emplace(as_result<result>(std::move(came)));
      } catch (const cancelled& why) {
        now = clock::now();
        if (!end.is_own(why)) {
          const verdict ended = when_ended();
          own.record(ended, now);
          held.record(ended, now);
          throw;
        }
        is_late = true;
      } catch (...) {
        now = clock::now();
        // One that was told to end, or that had nothing to begin with, says nothing about the other side.
        const verdict thrown = end.begun && end.outside == cancel_reason::none ? verdict::failure : when_ended();
        own.record(thrown, now);
        held.record(thrown, now);
        throw;
      }
      if (is_late) {
        const bool is_total = end.passed && total_due_ns <= attempt_due_ns;
        said = {when_late(), !is_total, {}};
        last.emplace(std::unexpect, error(is_total ? call_timeout::total : call_timeout::attempt));
      }
      if (end.outside != cancel_reason::none) {
        said = {last->has_value() ? said.said : when_ended(), false, {}};
        stopped_by = retry_stop::cancelled;
      } else if (repeats && may_repeat == repeatable::yes && !said.may_repeat) {
        // Too late and not to be repeated is only what had the time of the whole call.
        stopped_by = is_late ? retry_stop::past_deadline : retry_stop::final;
      }
      own.record(said.said, now);
      if constexpr (repeats) {
        if (may_repeat == repeatable::yes && said.may_repeat) {
          retrying& again = std::get<retry_at>(parts_);
          const auto wait = again.policy.decide(number, said, now, nearer_of(total_due_ns), again.budget);
          if (!wait) stopped_by = wait.error();
          if (wait) {
            granted = now;
            try {
              co_await sleep(*wait);
            } catch (...) {
              again.budget.take_back(granted);  // cancelled: it is not made
              throw;
            }
            now = clock::now();
            continue;
          }
        }
      }
      break;
    }
    held.record(said.said, now);
    if (last->has_value()) {
      open.succeeded(now - began);
    } else {
      last->error().note_attempts(static_cast<std::uint32_t>(number + 1), stopped_by);
      open.failed(now - began, last->error().timed_out() != nullptr);
    }
    co_return std::move(*last);
  }

  template <class Outcome>
  [[nodiscard]] judgement judge(const Outcome& of) const {
    if constexpr (judge_at < size) {
      return std::get<judge_at>(parts_).judge(of);
    } else {
      return default_judge{}(of);
    }
  }

  template <class Result, class Outcome>
  static Result as_result(Outcome&& came) {
    if (!came.has_value()) return Result(std::unexpect, std::in_place, std::move(came).error());
    if constexpr (std::is_void_v<typename Result::value_type>) {
      return Result();
    } else {
      return Result(std::in_place, *std::move(came));
    }
  }

  static std::optional<time_point> nearer_of(std::int64_t total_due_ns) noexcept {
    const time_point around = current_deadline().value_or(time_point::max());
    const time_point nearest = std::min(around, time_point{duration{total_due_ns}});
    return nearest == time_point::max() ? std::nullopt : std::optional(nearest);
  }

  parts parts_;  // constant after construction, like the next three
  duration total_ = duration::max();
  duration attempt_ = duration::max();
  duration usual_ = duration::max();
  // Written by all calls; the many words of its histogram lie between them and those above.
  detail::pipeline_tallies tallies_;
  detail::usual_answer answers_;
};

/// `lv::pipeline(part, part, ...)`: what has a name and admits calls is referred to, everything else kept.
template <class... Parts>
pipeline(Parts&&...) -> pipeline<detail::kept_part<Parts&&>...>;

}  // namespace levity
