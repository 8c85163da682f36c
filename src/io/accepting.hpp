#pragma once

#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

/// Says on standard error, once in a process, that connections are not accepted for the moment, and why.
void say_that_connections_wait(const io_error& why) noexcept;

}  // namespace levity::detail
