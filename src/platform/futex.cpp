#include "platform/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#ifdef LEVITY_MODEL
#include "levity/base/explored_atomic.hpp"
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
// Of the threads of an exploration the kernel knows nothing; outside of one it is asked.
#define LEVITY_EXPLORED(call) \
  if (this_explorer != nullptr) return static_cast<void>(this_explorer->call)
#else
#define LEVITY_EXPLORED(call) static_cast<void>(0)
#endif

void futex_wait(const std::uint32_t* word, std::uint32_t expected) noexcept {
  LEVITY_EXPLORED(futex_wait(word, expected, false, std::source_location::current()));
  ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wait_for(const std::uint32_t* word, std::uint32_t expected, std::int64_t timeout_ns) noexcept {
  LEVITY_EXPLORED(futex_wait(word, expected, true, std::source_location::current()));
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &timeout, nullptr, 0);
}

void futex_wake_one(const std::uint32_t* word) noexcept {
  LEVITY_EXPLORED(futex_wake(word, false, std::source_location::current()));
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

void futex_wake_all(const std::uint32_t* word) noexcept {
  LEVITY_EXPLORED(futex_wake(word, true, std::source_location::current()));
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace levity::detail
