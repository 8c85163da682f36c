#pragma once

// thread_sign: names a thread of this process for those who look at it from outside, also when it has ended.

#include <pthread.h>
#include <sys/types.h>

#include <cstdint>
#include <ctime>

namespace levity::inline v0::detail {

struct thread_sign {
  pid_t id = 0;  // 0: nobody
  clockid_t clock{};

  /// Of the calling thread.
  static thread_sign here() noexcept;
  /// The processor time that it has used since it began, up to now, also while it runs. 0.12 us. Negative: it has ended.
  [[nodiscard]] std::int64_t cpu_ns() const noexcept;
};

}  // namespace levity::detail
