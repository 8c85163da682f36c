#pragma once

// stall_teller: has a listener hear of stalled tasks, one after the other, on a thread that may take its time. To name a stack is
// to read the symbols of a program, tens of milliseconds the first time: the watchdog would see nobody meanwhile.
//
// What a listener has not heard yet waits here, up to `waiting_max`: what comes then is not told, for whoever is stuck among so
// many is told of again when it has lasted for ten times as long.
//
//   moved by    from -> to
//   tell()      at rest -> under way: a thread of the pool hears them all; the calling one does if there is none to be had
//   hear_all()  under way -> at rest: none is left

#include <array>
#include <cstddef>

#include "base/system_mutex.hpp"
#include "levity/task/detail/executor.hpp"
#include "sched/blocking.hpp"
#include "sched/stalled_task.hpp"

namespace levity::inline v0::detail {

/// Lives until the pool has ended.
class stall_teller : blocking_job {
public:
  static constexpr std::size_t waiting_max = 16;

  stall_teller(blocking_pool& threads, stall_listener* listener) noexcept
      : blocking_job{nullptr, &hear_all}, threads_(threads), listener_(listener) {}
  stall_teller(const stall_teller&) = delete;
  stall_teller& operator=(const stall_teller&) = delete;

  /// With a listener. False: so many are waiting that this one is not told.
  bool tell(const stalled_task& what) noexcept;

private:
  static void hear_all(blocking_job& job) noexcept;
  [[nodiscard]] bool take(stalled_task& into) noexcept;

  blocking_pool& threads_;
  stall_listener* const listener_;
  system_mutex lock_;
  std::array<stalled_task, waiting_max> waiting_;  // a ring, from first_ on; these are guarded by lock_
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  bool under_way_ = false;
};

}  // namespace levity::detail
