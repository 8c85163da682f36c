#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "levity/resilience/judgement.hpp"
#include "levity/resilience/rejection.hpp"

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

  /// For what stands around this call: a refusal says nothing about the other side, and is not repeated; no answer in time is a
  /// failure; the rest is what default_judge makes of the work's error.
  [[nodiscard]] judgement judge() const noexcept {
    if (const rejection* const refused = rejected()) return {verdict::neutral, false, refused->retry_after};
    if (timed_out() != nullptr) return {verdict::failure, true, {}};
    return default_judge::of_error(*failed());
  }

  /// One sentence. What the work's error says of itself (`message()`), if it does. Allocates.
  [[nodiscard]] std::string message() const {
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

  friend bool operator==(const call_error&, const call_error&) = default;

private:
  std::variant<rejection, call_timeout, E> of_;
};

}  // namespace levity
