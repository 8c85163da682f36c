#pragma once

#include "levity/base/error.hpp"
#include "levity/http/client_error.hpp"
#include "levity/http/refusal.hpp"

namespace levity::inline v0::http::detail {

// How a step of a request ended. Well, or why not; the sentence is made only when it leaves the client.
struct step_result {
  bool failed = false;
  client_failure what = client_failure::cancelled;
  refusal refused = refusal::none;
  io_error cause{io_failure::other};
};

[[nodiscard]] inline step_result failed_step(client_failure what, io_error cause = io_error{io_failure::other},
                                             refusal refused = refusal::none) noexcept {
  return {true, what, refused, cause};
}

// What an I/O error means: the task was cancelled, or `otherwise`.
[[nodiscard]] inline step_result failed_io(io_error cause, client_failure otherwise) noexcept {
  return failed_step(cause == io_failure::cancelled ? client_failure::cancelled : otherwise, cause);
}

}  // namespace levity::http::detail
