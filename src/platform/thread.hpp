#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "platform/affinity.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

/// A thread that runs `work`, with the affinity that the calling one had before it was narrowed. Throws std::system_error when the
/// kernel, or a plan of faults, refuses one.
template <class F>
[[nodiscard]] std::thread start_thread(F work) {
  if (kernel::strikes(kernel::call::thread)) throw std::system_error(errno, std::generic_category(), "starting a thread");
  return std::thread([work = std::move(work), wide = wide_affinity()]() mutable {
    if (wide != nullptr) static_cast<void>(wide->apply_to_this_thread());
    work();
  });
}

}  // namespace levity::detail
