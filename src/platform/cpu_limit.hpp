#pragma once

// cpu_limit: how many CPUs this process may use, now and when that changes.
//
//   cpus = min(|allowed|, ceil(quota)), at least 1
//
//   allowed   the affinity mask that its thread had in the beginning, or, when that was all that the cpuset left, the cpuset's CPUs
//             as they are now. A narrower mask was somebody's wish: it holds as far as the cpuset leaves anything of it
//   quota     the tightest of its cgroups
//
// How it follows. A write to the file of a quota or a cpuset is an event of inotify, on cgroups of both versions: the watches
// stand on those files of every group from the own one to the root, and between two changes nothing runs, not even a timer. The
// limit has taken effect when the event comes: the kernel tells after the write has been carried out.
//
// What no event tells: that the process was moved to another group, that a CPU went off line, and anything at all where the
// user has no inotify instance left (128 by default), or a look found no descriptor for the files; is_followed() says so. All are
// seen by the next refresh(), so a runtime that wakes anyway after a long sleep may call it: some file reads, 50 us. A look that
// cannot be made changes nothing: the limit and the watches stay what they were.
//
// The order in refresh() is: drain the events, set the watches, read. A write that comes later than the read is an event that
// was not drained, so the descriptor is readable again; nothing is lost between the steps.
//
// Rejected: reading the files every second, as other runtimes do (a process that does nothing wakes up), or only at the start (a
// container that is given more, or less, would never know); the affinity mask of whichever thread asks (that of a pinned worker
// is its node's).

#include <functional>
#include <string>
#include <vector>

#include "platform/cgroup.hpp"
#include "platform/cpu_set.hpp"

namespace levity::inline v0::detail {

/// One thread at a time.
class cpu_limit {
public:
  /// `proc` is a folder like /proc/self; `allowed` where the program's threads may run in the beginning.
  explicit cpu_limit(std::string proc = cgroups::own_process, cpu_set allowed = cpu_set::of_this_thread());
  cpu_limit(const cpu_limit&) = delete;
  cpu_limit& operator=(const cpu_limit&) = delete;
  ~cpu_limit();

  /// As of the last refresh.
  [[nodiscard]] unsigned cpus() const noexcept { return cpus_; }
  /// What cpus() will never be above, if no CPU comes that the machine does not have on line at the first look that can be made.
  [[nodiscard]] unsigned highest() const noexcept { return highest_; }
  /// Which CPUs they may be; how many of them at once the quota says.
  [[nodiscard]] const cpu_set& allowed() const noexcept { return allowed_now_; }
  /// Readable when something was written that may have changed the limit; call refresh() then. -1 if there is no inotify yet: a
  /// later refresh() tries again. Non-blocking, close-on-exec; stays this object's.
  [[nodiscard]] int pollable_fd() const noexcept { return events_fd_; }
  /// Whether every change of a quota or cpuset makes the descriptor readable, from the last refresh on.
  [[nodiscard]] bool is_followed() const noexcept { return is_followed_; }

  /// Looks anew. True: cpus() or allowed() has changed. Without memory or descriptors for that everything stays as it was.
  bool refresh() noexcept;
  /// Called by refresh() when it has changed something, with cpus().
  std::function<void(unsigned)> on_change;

private:
  struct watched {
    std::string file;
    int number;  // of the watch; -1 if there is no such file
  };

  void drain() noexcept;
  void watch(const std::vector<std::string>& files);
  bool read(const cgroups& from);

  const std::string proc_;
  const cpu_set allowed_first_;
  bool is_known_ = false;        // a look has been made
  bool is_narrowed_ = false;     // the first mask left out CPUs that the cpuset had
  cpu_set allowed_now_;
  unsigned cpus_ = 1;
  unsigned highest_ = 1;
  int events_fd_ = -1;
  bool is_followed_ = false;
  std::vector<watched> watches_;
};

}  // namespace levity::detail
