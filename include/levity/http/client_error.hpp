#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/http/refusal.hpp"

namespace levity::inline v0::http {

/// Why there is no answer, for a caller to act on. A status of 500 is an answer.
enum class client_failure : std::uint8_t {
  invalid_request,     ///< the URL, or a body that does not fit its announced length; nothing will make it work
  closed,              ///< the client was closed
  pool_exhausted,      ///< time passed, or too many wait, while all connections to the host were in use; nothing was sent
  unresolved,          ///< the name has no address, or nobody could say; nothing was sent
  unreachable,         ///< no connection came about; nothing was sent
  connection_lost,     ///< the connection ended before the answer; whether the request was carried out is unknown
  timed_out,           ///< the deadline passed after the request was sent, at least in part
  cancelled,           ///< the task was
  bad_answer,          ///< what came is no HTTP, or ended before its end
  answer_too_large,    ///< beyond the bound of the body, or of the head
  too_many_redirects,  ///< more than were allowed, or one that leads nowhere
};

/// The enumerator's name, for metrics and logs. Never empty.
[[nodiscard]] std::string_view to_string(client_failure what) noexcept;

/// Why there is no answer. A value; thread-safe as any value.
class client_error {
public:
  /// What happened, what the kernel or the parser had to say about it, and one sentence.
  client_error(client_failure what, io_error cause, refusal refused, std::string message) noexcept
      : message_(std::move(message)), cause_(cause), what_(what), refused_(refused) {}

  /// What a caller acts on.
  [[nodiscard]] client_failure failure() const noexcept { return what_; }
  /// What the system said; of kind other where it said nothing.
  [[nodiscard]] io_error cause() const noexcept { return cause_; }
  /// What was wrong with the answer; none unless bad_answer or answer_too_large.
  [[nodiscard]] refusal refused() const noexcept { return refused_; }
  /// One sentence: what happened, with whom, and what helps.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  /// Whether it is of that kind.
  friend bool operator==(const client_error& error, client_failure what) noexcept { return error.what_ == what; }

private:
  std::string message_;
  io_error cause_;
  client_failure what_;
  refusal refused_;
};

}  // namespace levity::http
