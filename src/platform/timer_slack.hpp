#pragma once

#include <sys/prctl.h>

#include <cstdint>

namespace levity::inline v0::detail {

/// While it lives the sleeps of this thread may end up to `slack_ns` later than they are due, and so with some interrupt that comes
/// anyway: the timer of an earlier end would have to be set, and would interrupt somebody. After that they may what they might when
/// the thread began, as may those of the threads that it starts then. Two system calls.
class timer_slack {
public:
  explicit timer_slack(std::int64_t slack_ns) noexcept { ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(slack_ns)); }
  timer_slack(const timer_slack&) = delete;
  timer_slack& operator=(const timer_slack&) = delete;
  ~timer_slack() { ::prctl(PR_SET_TIMERSLACK, 0UL); }
};

}  // namespace levity::detail
