#pragma once

#include <concepts>
#include <expected>

#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"
#include "levity/resilience/verdict_of.hpp"

namespace levity::inline v0 {

/// What the outcome of one attempt means to what stands around it.
struct judgement {
  /// For breakers and limits.
  verdict said = verdict::success;
  /// Another attempt may come to something better. Whether the call may be made twice at all is the caller's to say.
  bool may_repeat = false;
  /// How long the other side asked to be left alone; zero: it did not.
  duration retry_after{};

  friend bool operator==(const judgement&, const judgement&) noexcept = default;
};

/// An error that knows what it means: `judgement judge() const noexcept`.
template <class E>
concept judges_itself = requires(const E& error) {
  { error.judge() } noexcept -> std::same_as<judgement>;
};

/// What is made of an outcome where the user says nothing: a value is a success; an error that judges itself is what it says; a
/// call that was refused on this side, or broken off, says nothing about the other and is not repeated; an io_error is what
/// verdict_of() says, and repeated where that is failure; any other error is a failure that another attempt may mend.
struct default_judge {
  /// Of what an attempt came to.
  template <class T, class E>
  [[nodiscard]] judgement operator()(const std::expected<T, E>& outcome) const noexcept {
    if (outcome.has_value()) [[likely]] return {};
    return of_error(outcome.error());
  }

  /// The same of an error alone.
  template <class E>
  [[nodiscard]] static judgement of_error(const E& error) noexcept {
    if constexpr (judges_itself<E>) {
      return error.judge();
    } else if constexpr (std::same_as<E, rejection>) {
      return {verdict::neutral, false, error.retry_after};
    } else if constexpr (std::same_as<E, io_error>) {
      // What this side lacked or asked wrongly is no better a moment later.
      const verdict said = verdict_of(error);
      return {said, said == verdict::failure, {}};
    } else {
      return {verdict::failure, true, {}};
    }
  }
};

/// What may stand for default_judge: called with the outcome of an attempt.
template <class Judge, class Outcome>
concept judge_of = requires(const Judge& judge, const Outcome& outcome) {
  { judge(outcome) } -> std::convertible_to<judgement>;
};

}  // namespace levity
