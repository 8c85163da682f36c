#pragma once

// abort_line: what a process says that comes to its end while a check runs: aborted by an assertion of levity or of the program, by
// a wild pointer, by exit() in a program. It is written beforehand, for who handles a signal can write no more; but for host and
// time, which change with each turn and are put in between when it is said.

#include <cstdint>
#include <string>
#include <string_view>

namespace levity::inline v0::sim {

/// While it lives its line answers exit(), SIGABRT, and, where nobody else does, SIGSEGV, SIGBUS, SIGFPE and SIGILL; then comes
/// whoever answered before. Of several at a time only the first speaks. The handlers run on a stack of their own on the thread that
/// made it.
class abort_line {
public:
  abort_line();
  abort_line(const abort_line&) = delete;
  abort_line& operator=(const abort_line&) = delete;
  ~abort_line();

  /// From now on `before`, the place, and `behind`; what is too long is cut off. The thread that made it, as for runs().
  void say(std::string_view before, std::string_view behind) noexcept;
  /// Where the process is from now on: on that host, whose name stays where it is, at that age of its world; null: on none.
  void runs(const std::string* host, std::int64_t age_ns) noexcept;

private:
  bool speaks_ = false;
};

}  // namespace levity::sim
