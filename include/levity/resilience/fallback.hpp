#pragma once

// fallback_chain: what is answered when the primary does not answer: another source, then another, at last something that is always
// there.
//
// Why a value: "try Redis, then what we have, then say so" written by hand at each call forgets the time (the primary takes all
// there is and the fallback has none), the mark (nobody sees that answers are old) and the counts.
//
// Time. Each rung but the primary has a slice, share and least, 20 % and 5 ms where nothing is said. With L left of the deadline
// around when rung i begins, it may take until
//
//   L - sum over later rungs j that take time of max(share_j * L, least_j)
//
// so of 1 s before two rungs the primary has 600 ms, the next at least 320 ms, the last at least 80 ms; and a rung that fails at
// once leaves nearly all. One for which nothing is left is skipped. Rungs that need no time (a value, a plain function) have no
// share, are asked whatever the time, also when the deadline has passed, and what comes before them ends `least` early, so that
// their answer still leaves in time. Without a deadline around, each has as long as it takes.
//
// Rejected: slices of a fixed length (right for one deadline); a chain that asks all at once (a load that never falls back to
// nothing).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/invoke.hpp"
#include "levity/resilience/call_error.hpp"
#include "levity/resilience/detail/attempt.hpp"
#include "levity/resilience/detail/tally.hpp"
#include "levity/resilience/detail/work.hpp"
#include "levity/task/task.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0 {

/// A value and how old it is: what a rung may return where it knows.
template <class T>
struct aged {
  T value;         ///< what there was
  duration age{};  ///< since when it may have changed
};

/// What is kept for a rung of the time that is left when one before it begins.
struct time_slice {
  double share = 0.20;                            ///< of what is left, from 0 to 1
  duration least = std::chrono::milliseconds(5);  ///< and not less than this
};

/// One way to an answer. `ask` is called with the arguments of the call and returns a value, an aged<T>, or an optional or expected
/// of either; or a task of one of these, or of a value. What it returns without a task needs no time.
template <class Ask>
struct rung {
  std::string_view name;  ///< for counts and marks; outlives the chain, as a literal does
  Ask ask;               ///< shared by all calls, so what it has must stand that
  time_slice slice;      ///< no matter where it needs no time, and for the primary, which has the rest

  /// With the slice that the others leave it; of the form `lv::rung{"redis", ask_redis}`.
  constexpr rung(std::string_view called, Ask how, time_slice kept = {}) : name(called), ask(std::move(how)), slice(kept) {}
};

/// An answer that is always there: the last rung.
template <class T>
struct constant_answer {
  T value;  ///< copied for each who asks
  /// Whatever was asked.
  template <class... Args>
  T operator()(const Args&...) const {
    return value;
  }
};
/// A rung of it: `lv::constant_rung("list", list_price)`.
template <class T>
[[nodiscard]] rung<constant_answer<T>> constant_rung(std::string_view name, T value) {
  return rung<constant_answer<T>>{name, constant_answer<T>{std::move(value)}};
}

/// An answer, and where it came from.
template <class T>
struct fallback_answer {
  T value;                ///< what the rung gave
  std::size_t rung = 0;   ///< 0: the primary
  std::string_view name;  ///< the rung's
  /// Since when it may have changed; empty where the rung did not say, as a constant does not.
  std::optional<duration> age{};

  /// Whether it is not the primary's.
  [[nodiscard]] bool is_degraded() const noexcept { return rung != 0; }
  /// For a header that tells users so, `X-Levity-Degraded: redis; age=12`, in whole seconds, or `list` alone where no age is known;
  /// empty where it is the primary's.
  [[nodiscard]] std::string degraded_text() const {
    if (!is_degraded()) return {};
    std::string text(name);
    if (age) {
      text += "; age=";
      text += std::to_string(std::max<std::int64_t>(age->count(), 0) / 1'000'000'000);
    }
    return text;
  }
};

/// What became of the asking of one rung. Taken one after the other, so not of one moment.
struct rung_counts {
  std::string_view name;    ///< the rung's
  std::uint64_t answered;   ///< its answer was the one
  std::uint64_t failed;     ///< it had none, or threw
  std::uint64_t timed_out;  ///< it had none in its time
  std::uint64_t skipped;    ///< no time was left for it
};

namespace detail {

template <class T>
struct answer_parts {
  using value = T;
};
template <class T>
struct answer_parts<aged<T>> : answer_parts<T> {};
template <class T>
struct answer_parts<std::optional<T>> : answer_parts<T> {};
template <class T, class E>
struct answer_parts<std::expected<T, E>> : answer_parts<T> {};
template <class T>
struct answer_parts<task<T>> : answer_parts<T> {};

// The error of a primary, and of a chain.
template <class T>
struct error_parts {
  using error = std::monostate;  // of what has none: only its time can have passed
};
template <class T, class E>
struct error_parts<std::expected<T, E>> {
  using error = E;
};
template <class T>
struct error_parts<task<T>> : error_parts<T> {};

// Whether there is an error wherever a primary has no value, or none can be told at all.
template <class T>
inline constexpr bool may_be_empty = false;
template <class T>
inline constexpr bool may_be_empty<aged<T>> = may_be_empty<T>;
template <class T>
inline constexpr bool may_be_empty<std::optional<T>> = true;
template <class T, class E>
inline constexpr bool may_be_empty<std::expected<T, E>> = true;
template <class T>
inline constexpr bool says_why_it_is_empty = true;
template <class T, class E>
inline constexpr bool says_why_it_is_empty<std::expected<T, E>> = !may_be_empty<T>;
template <class T>
inline constexpr bool says_why_it_is_empty<task<T>> = says_why_it_is_empty<T>;

template <class E>
struct as_call_error {
  using type = call_error<E>;
};
template <class E>
struct as_call_error<call_error<E>> {
  using type = call_error<E>;
};

template <class T>
struct given_answer {
  std::optional<T> value;
  std::optional<duration> age;
};

// Whatever form a rung gave its answer: the value, if there is one.
template <class T, class Given>
void take_answer(given_answer<T>& into, Given&& given) {
  using form = std::remove_cvref_t<Given>;
  if constexpr (requires { given.has_value(); *given; }) {
    if (given.has_value()) take_answer(into, *std::forward<Given>(given));
  } else if constexpr (!std::is_same_v<form, T> && requires { given.age; given.value; }) {
    into.value.emplace(std::forward<Given>(given).value);
    into.age = given.age;
  } else {
    into.value.emplace(std::forward<Given>(given));
  }
}

// Whether it can be told without arguments that an ask gives a task. Of one that is a template it cannot.
template <class Ask>
concept gives_task = is_task<typename decltype(std::function(std::declval<Ask>()))::result_type>::value;

/// Which errors of the primary are an answer: "there is no such order" is no reason to look into an old cache.
struct no_error_stands {
  template <class E>
  constexpr bool operator()(const E&) const noexcept {
    return false;
  }
};

}  // namespace detail

/// Errors of the primary for which `is_answer(error)` is true are returned as they are, and no further rung is asked.
template <class IsAnswer>
struct stands {
  IsAnswer is_answer;  ///< called with the error, a const reference
};
/// Of the form `lv::stands{[](error of) { return of == error::not_found; }}`.
template <class IsAnswer>
stands(IsAnswer) -> stands<IsAnswer>;

/// A chain of rungs; made by fallback(). Any thread; moved only while nobody uses it.
template <class Stands, class... Asks>
class fallback_chain {
  static constexpr std::size_t size = sizeof...(Asks);
  static_assert(size > 0, "a chain has at least its primary");
  template <std::size_t I, class... Args>
  using given_by = std::invoke_result_t<std::tuple_element_t<I, std::tuple<Asks...>>&, Args&...>;
  template <class... Args>
  using value_for = typename detail::answer_parts<given_by<0, Args...>>::value;
  template <class... Args>
  using error_for = typename detail::as_call_error<typename detail::error_parts<given_by<0, Args...>>::error>::type;

public:
  /// What fallback() makes. The shares of the rungs after the primary that take time are below 1 together.
  fallback_chain(Stands is_answer, rung<Asks>... rungs) : is_answer_(std::move(is_answer)), rungs_(std::move(rungs)...) {
    double kept = 0;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((kept += I > 0 && detail::gives_task<Asks> ? std::get<I>(rungs_).slice.share : 0), ...);
    }(std::index_sequence_for<Asks...>{});
    LEVITY_ASSERT(kept < 1, "the shares of the rungs after the primary come to 1 or more and leave the primary no time");
  }

  /// Asks the primary, then rung after rung until one answers: `std::expected<fallback_answer<T>, call_error<E>>`, with T and E of
  /// the primary. When none answers, the error is the primary's, for that is what has to be mended.
  ///
  /// What a rung throws passes through, counted as failed, and no further rung is asked, the primary being no exception: what is
  /// thrown is a fault of the program, and an old answer would hide it. A rung that is to be passed over says so in its result. So
  /// does cancellation pass through, counted as nothing. The arguments are kept in this call's frame, and each rung is given them
  /// as lvalues. The chain outlives the call. Two frames, one more for each further rung that is asked, and what the rungs take.
  template <class... Args>
  task<std::expected<fallback_answer<value_for<Args...>>, error_for<Args...>>> run(Args... args) {
    static_assert(detail::says_why_it_is_empty<std::remove_cvref_t<given_by<0, Args...>>>,
                  "a primary that gives an expected has a value in it, or an error: an optional or expected inside, when empty, "
                  "leaves none to return");
    state<value_for<Args...>, error_for<Args...>> at;
    if (const auto due = current_deadline()) at.due_ns = due->time_since_epoch().count();
    co_await ask_from<0>(at, args...);
    if (at.given.value) {
      co_return fallback_answer<value_for<Args...>>{std::move(*at.given.value), at.rung, at.name, at.given.age};
    }
    LEVITY_ASSERT(at.failure.has_value(), "a primary that had no answer left an error");
    co_return std::unexpected(std::move(*at.failure));
  }

  /// What became of each rung, in order.
  [[nodiscard]] std::array<rung_counts, size> counted() const noexcept {
    std::array<rung_counts, size> all;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((all[I] = {std::get<I>(rungs_).name, tallies_[I].answered.seen(), tallies_[I].failed.seen(), tallies_[I].timed_out.seen(),
                  tallies_[I].skipped.seen()}),
       ...);
    }(std::index_sequence_for<Asks...>{});
    return all;
  }

private:
  struct rung_tallies {
    detail::tally answered, failed, timed_out, skipped;
  };

  template <class T, class E>
  struct state {
    detail::given_answer<T> given;
    std::size_t rung = 0;
    std::string_view name;
    std::optional<E> failure;  // of the primary
    bool is_over = false;      // no further rung is to be asked
    std::int64_t due_ns = detail::deadline_guard::never_ns;
  };

  // What the rungs after I are kept of `left`.
  template <std::size_t I, class... Args>
  [[nodiscard]] duration kept_after([[maybe_unused]] duration left) const noexcept {
    duration kept{};
    const auto keep = [&]<std::size_t J>(std::integral_constant<std::size_t, J>) {
      if constexpr (J > I && detail::is_task<given_by<J, Args...>>::value) {
        const time_slice& slice = std::get<J>(rungs_).slice;
        kept += std::max(duration{static_cast<duration::rep>(static_cast<double>(left.count()) * slice.share)}, slice.least);
      }
    };
    [&]<std::size_t... J>(std::index_sequence<J...>) {
      (keep(std::integral_constant<std::size_t, J>{}), ...);
    }(std::index_sequence_for<Asks...>{});
    if constexpr (I + 1 < size) {
      if (kept == duration::zero()) kept = std::get<I + 1>(rungs_).slice.least;
    }
    return kept;
  }

  // Until when rung I may take; at or before `now`: there is nothing left for it.
  template <std::size_t I, class... Args>
  [[nodiscard]] std::int64_t due_of(std::int64_t around_ns, time_point now) const noexcept {
    if (around_ns == detail::deadline_guard::never_ns) return around_ns;
    const duration left{around_ns - now.time_since_epoch().count()};
    return around_ns - (left > duration::zero() ? kept_after<I, Args...>(left).count() : 0);
  }

  // Whatever a rung gave. An error of the primary is kept, and may be the answer.
  template <std::size_t I, class T, class E, class Given>
  void take(state<T, E>& at, Given&& given) {
    if constexpr (I == 0 && requires { given.error(); }) {
      if (!given.has_value()) {
        at.is_over = is_answer_(std::as_const(given.error()));
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(given.error())>, E>) {
          at.failure.emplace(std::forward<Given>(given).error());
        } else {
          at.failure.emplace(std::in_place, std::forward<Given>(given).error());
        }
        return;
      }
    }
    detail::take_answer(at.given, std::forward<Given>(given));
    if constexpr (I == 0 && std::is_constructible_v<E, std::in_place_t, std::monostate>) {
      if (!at.given.value) at.failure.emplace(std::in_place, std::monostate{});
    }
  }

  template <std::size_t I, class T, class E, class... Args>
  task<> ask_from(state<T, E>& at, Args&... args) {
    auto& here = std::get<I>(rungs_);
    rung_tallies& tallies = tallies_[I];
    std::optional<call_timeout> late;
    if constexpr (detail::is_task<given_by<I, Args...>>::value) {
      const time_point now = clock::now();
      const std::int64_t due_ns = due_of<I, Args...>(at.due_ns, now);
      if (due_ns <= now.time_since_epoch().count()) {
        late = call_timeout::total;
        tallies.skipped.add();
      } else {
        detail::attempt_end end;
        try {
          auto came = co_await detail::attempt(due_ns, end, detail::invoke(here.ask, args...));
          take<I>(at, std::move(came));
          // An error is what became of the waits inside when time was up. A cancelled call is over, whatever is left to ask.
          if (!at.given.value && end.passed) late = call_timeout::attempt;
          if (end.outside != cancel_reason::none && end.outside != cancel_reason::deadline) at.is_over = true;
        } catch (const cancelled& why) {
          const bool goes_on = end.outside == cancel_reason::deadline && I + 1 < size;
          if (!end.is_own(why) && !(goes_on && why.reason() == cancel_reason::deadline)) throw;
          late = call_timeout::attempt;
        } catch (...) {
          tallies.failed.add();
          throw;
        }
        if (late) tallies.timed_out.add();
      }
    } else {
      try {
        take<I>(at, detail::invoke(here.ask, args...));
      } catch (...) {
        tallies.failed.add();
        throw;
      }
    }
    if (at.given.value) {
      tallies.answered.add();
      at.rung = I;
      at.name = here.name;
      co_return;
    }
    if (!late) tallies.failed.add();
    if constexpr (I == 0) {
      if (late) at.failure.emplace(*late);
    }
    if constexpr (I + 1 < size) {
      if (!at.is_over) co_await ask_from<I + 1>(at, args...);
    }
  }

  [[no_unique_address]] Stands is_answer_;
  std::tuple<rung<Asks>...> rungs_;
  std::array<rung_tallies, size> tallies_{};
};

/// A chain: the primary first, at last something that is always there, if possible.
///
///     auto price = lv::fallback(lv::rung{"primary", ask_pricing},  // task<std::expected<price, io_error>>(article)
///                               lv::rung{"redis", ask_redis},      // task<std::expected<lv::aged<price>, redis_error>>
///                               lv::rung{"stale", last_known},     // std::optional<lv::aged<price>>
///                               lv::constant_rung("list", list_price));
///     auto answer = co_await price.run(article);
///     if (answer && answer->is_degraded()) response.set("X-Levity-Degraded", answer->degraded_text());
template <class... Asks>
[[nodiscard]] fallback_chain<detail::no_error_stands, Asks...> fallback(rung<Asks>... rungs) {
  return {detail::no_error_stands{}, std::move(rungs)...};
}

/// The same where some errors of the primary are answers.
template <class IsAnswer, class... Asks>
[[nodiscard]] fallback_chain<IsAnswer, Asks...> fallback(stands<IsAnswer> errors, rung<Asks>... rungs) {
  return {std::move(errors.is_answer), std::move(rungs)...};
}

}  // namespace levity
