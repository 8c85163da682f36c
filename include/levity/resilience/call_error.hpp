#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "levity/resilience/judgement.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/retry_stop.hpp"

namespace levity::inline v0 {

/// Which of a call's own limits passed.
enum class call_timeout : std::uint8_t {
  attempt,  ///< one attempt took longer than an attempt may
  total,    ///< all of it took longer than the call may
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(call_timeout which) noexcept;

/// Why a call that went through policies came to nothing: it was not made, it took too long, or it was made and failed.
template <class E>
class call_error {
public:
  /// The error of the work itself.
  using error_type = E;

  /// A policy kept it back.
  call_error(const rejection& refused) noexcept : of_(std::in_place_index<0>, refused) {}
  /// No answer in time.
  call_error(call_timeout passed) noexcept : of_(std::in_place_index<1>, passed) {}
  /// What the work returned.
  explicit call_error(std::in_place_t, E failed) : of_(std::in_place_index<2>, std::move(failed)) {}

  /// Why it was not made; null where it was.
  [[nodiscard]] const rejection* rejected() const noexcept { return std::get_if<0>(&of_); }
  /// Which limit it was that passed; null where none did.
  [[nodiscard]] const call_timeout* timed_out() const noexcept { return std::get_if<1>(&of_); }
  /// The work's own error; null where there is none.
  [[nodiscard]] const E* failed() const noexcept { return std::get_if<2>(&of_); }
  /// To take it out.
  [[nodiscard]] E* failed() noexcept { return std::get_if<2>(&of_); }

  /// How many attempts were made; 0: it was refused, or nobody counted.
  [[nodiscard]] std::uint32_t attempts() const noexcept { return attempts_; }
  /// Why there was no further one.
  [[nodiscard]] retry_stop stopped_by() const noexcept { return stopped_by_; }
  /// For who makes the attempts: says how many, and why there are no more.
  void note_attempts(std::uint32_t made, retry_stop why) noexcept {
    attempts_ = made;
    stopped_by_ = why;
  }

  /// For what stands around this call: a refusal says nothing about the other side, and is not repeated; no answer in time is a
  /// failure; the rest is what default_judge makes of the work's error.
  [[nodiscard]] judgement judge() const noexcept {
    if (const rejection* const refused = rejected()) return {verdict::neutral, false, refused->retry_after};
    if (timed_out() != nullptr) return {verdict::failure, true, {}};
    return default_judge::of_error(*failed());
  }

  /// One sentence. What the work's error says of itself (`message()`), if it does; and how many attempts there were, and why no
  /// more: "(1 attempt, no more: budget_spent)". Not of one that nobody wanted repeated. Allocates.
  [[nodiscard]] std::string message() const {
    std::string text = cause();
    if (attempts_ > 1 || (attempts_ == 1 && stopped_by_ != retry_stop::not_repeatable)) {
      text += " (" + std::to_string(attempts_) + (attempts_ == 1 ? " attempt" : " attempts") +
              ", no more: " + std::string(to_string(stopped_by_)) + ")";
    }
    return text;
  }

  /// Equal when they have the same cause, however many attempts there were.
  friend bool operator==(const call_error& one, const call_error& other) { return one.of_ == other.of_; }

private:
  [[nodiscard]] std::string cause() const {
    if (const rejection* const refused = rejected()) return refused->message();
    if (const call_timeout* const passed = timed_out()) {
      return *passed == call_timeout::attempt ? "no answer within the time that one attempt may take"
                                              : "no answer within the time that the call may take";
    }
    if constexpr (requires(const E& error) { std::string(error.message()); }) {
      return std::string(failed()->message());
    } else {
      return "the call was made, and failed";
    }
  }

  std::variant<rejection, call_timeout, E> of_;
  std::uint32_t attempts_ = 0;
  retry_stop stopped_by_ = retry_stop::final;
};

}  // namespace levity
