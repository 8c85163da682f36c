#pragma once

// signal_watch: SIGINT, SIGTERM and SIGQUIT of this process, for one thread to wait on.
//
// Blocks them for the calling thread, and so for every thread it starts, before any of those exists; restores the mask in the
// end: a SIGINT or SIGTERM that nobody waited for then means what it means without a runtime, a SIGQUIT asked for a dump of what is
// no longer there and means nothing. SIGPIPE is ignored meanwhile: a peer that went away is an error value.

#include <signal.h>

namespace levity::inline v0::detail {

/// From here on this thread is not told of a write into a pipe that nobody reads by a signal, only by EPIPE. Cheap after the
/// first call.
void keep_sigpipe_out() noexcept;

class signal_watch {
public:
  static constexpr int stopped = 0;

  /// Throws std::runtime_error when the process has no descriptors for it.
  signal_watch();
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

  /// The next signal, or `stopped` after stop().
  int wait() noexcept;
  /// Ends wait(). Any thread.
  void stop() noexcept;
  /// wait() waits again, after it has ended.
  void resume() noexcept;

private:
  void restore() noexcept;

  sigset_t before_;
  struct sigaction pipe_before_;
  int signal_fd_ = -1;
  int stop_fd_ = -1;
};

}  // namespace levity::detail
