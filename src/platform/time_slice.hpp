#pragma once

#include <sys/types.h>

#include <cstdint>

namespace levity::inline v0::detail {

/// For how long a thread wants a processor once it is its turn. Its share of the processors stays what it is; but the kernel gives
/// whoever wakes up with a `brief` one a processor at once where threads with `usual` ones compute.
enum class time_slice : std::uint8_t {
  usual,  // the kernel's own choice, some milliseconds
  brief,  // 0.1 ms
};

/// What that thread, 0 for the calling one, asks for from now on, and the threads that it starts. Needs Linux 6.12 and no
/// privilege; elsewhere, and for real-time threads, nothing happens. 1 us.
void set_time_slice(pid_t thread, time_slice wanted) noexcept;

}  // namespace levity::detail
