#pragma once

#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

/// Whether an accept that failed so is tried again after a while: a lack, or a rule that forbids it at the moment.
bool passes_by_itself(const io_error& why) noexcept;

/// Says on standard error, once in a process, that connections are not accepted for the moment, and why.
void say_that_connections_wait(const io_error& why) noexcept;

}  // namespace levity::detail
