#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

/// A thread that runs `work`. Throws std::system_error when the kernel, or a plan of faults, refuses one.
template <class F>
[[nodiscard]] std::thread start_thread(F work) {
  if (kernel::strikes(kernel::call::thread)) throw std::system_error(errno, std::generic_category(), "starting a thread");
  return std::thread(std::move(work));
}

}  // namespace levity::detail
