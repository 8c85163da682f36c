#pragma once

#include <unistd.h>

#include <stdexcept>
#include <string>

#include "platform/bounded_writer.hpp"

namespace levity::inline v0::detail {

/// On standard error, in one line.
inline void print_refusal(const std::runtime_error& why) {
  constexpr int patience_ms = 100;
  bounded_writer(STDERR_FILENO, patience_ms).write(std::string(why.what()) + '\n');
}

/// Tells why lv::run() could not start. In a test program that is a failure of the test, whose task has not run.
inline void (*tell_refusal)(const std::runtime_error&) = print_refusal;

}  // namespace levity::detail
