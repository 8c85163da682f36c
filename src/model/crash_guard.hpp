#pragma once

// crash_guard: while it lives, a fault of the thread that made it (a wild pointer, a division by 0, an abort) calls a function,
// on a stack of its own. If that goes on elsewhere, all is well; if it returns, the fault takes its course. So explored code that
// crashes is told with its interleaving.

#include <csignal>
#include <cstddef>
#include <memory>

namespace levity::inline v0::model::detail {

class crash_guard {
public:
  /// `crashed(name)`: the name of the signal. One guard at a time.
  explicit crash_guard(void (*crashed)(const char* name));
  crash_guard(const crash_guard&) = delete;
  crash_guard& operator=(const crash_guard&) = delete;
  ~crash_guard();

private:
  static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  static constexpr std::size_t stack_bytes = std::size_t{128} << 10;

  std::unique_ptr<char[]> stack_;
  stack_t stack_before_{};
  struct sigaction before_[5]{};
};

}  // namespace levity::model::detail
