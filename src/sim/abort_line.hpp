#pragma once

// abort_line: what a process says that is aborted while a check runs, be it by an assertion of levity or of the program. It is
// written beforehand, for who handles a signal can write no more.

#include <string_view>

namespace levity::inline v0::sim {

/// While it lives SIGABRT is answered by its line, and then by whoever answered before. Of several at a time only the first speaks.
class abort_line {
public:
  abort_line();
  abort_line(const abort_line&) = delete;
  abort_line& operator=(const abort_line&) = delete;
  ~abort_line();

  /// From now on; what is too long is cut off. The thread that made it.
  void say(std::string_view line) noexcept;

private:
  bool speaks_ = false;
};

}  // namespace levity::sim
