#pragma once

// thread_sign: what another thread of this process is doing, as far as the kernel tells.

#include <pthread.h>
#include <sys/types.h>

#include <cstdint>
#include <ctime>

namespace levity::inline v0::detail {

/// Names a thread for those who look at it from outside, also when it has ended.
struct thread_sign {
  pid_t id = 0;  // 0: nobody
  clockid_t clock{};

  /// Of the calling thread.
  static thread_sign here() noexcept;

  /// The processor time that it has used; -1 if it has ended. Any thread; about a microsecond.
  [[nodiscard]] std::int64_t cpu_ns() const noexcept;
  /// Its state as in proc_pid_stat(5): 'R' runs or waits for a processor, 'S' sleeps, 'D' waits for a disk; '?' where /proc tells
  /// nothing. Any thread; some microseconds.
  [[nodiscard]] char state() const noexcept;
};

}  // namespace levity::detail
