#pragma once

// explored_watchdog: the watchdog of scenarios of the model lane. It has no thread of its own: a thread of the scenario looks,
// dozes and takes slots when it likes, by the watchdog's own functions, however short a task or a call has lasted.

#include <cstdint>

#include "sched/watchdog.hpp"

namespace levity::inline v0::detail {

struct explored_watchdog {
  watchdog& one;

  // Ready for calls and tasks that last, without a thread of its own.
  void prepare() {
    one.prepare();
    one.room_.store(static_cast<int>(one.spares_max()), std::memory_order_relaxed);
  }
  void prepare(worker& spare) {
    prepare();
    one.put_back(spare);
  }
  // One more that waits; null: no thread is to be had.
  worker* add_spare() noexcept {
    worker* const added = one.add_spare();
    if (added != nullptr) one.put_back(*added);
    return added;
  }
  [[nodiscard]] bool has_spare() noexcept {
    const system_guard guard{one.lock_};
    return !one.spares_.empty();
  }
  // As if it had never been ready: scheduler::join() waits for no thread of its.
  void forget() noexcept { one.state_.store(watchdog::state::absent, std::memory_order_relaxed); }
  bool take_from_task(worker& from) noexcept { return one.take_from_task(from); }
  bool take_from_call(worker& from, std::uint64_t call) noexcept { return one.take_from_call(from, call); }
  void look() noexcept { one.look(); }
  void doze() noexcept { one.pause(watchdog::state::dozing, doze_pace::pause_min_ns); }
  // It does not sleep where it dozes, for a hint has come meanwhile; but it does for a while where it is needed, and awake.
  void doze_off() noexcept {
    one.hinted_.store(1, std::memory_order_relaxed);
    doze();
  }
  void fall_asleep() noexcept { one.pause(watchdog::state::asleep, 0); }
  // It may have found itself needed, and be about to look after a while, for which nobody waits here.
  [[nodiscard]] bool rests_approx() const noexcept {
    const watchdog::state is = one.state_.load(std::memory_order_relaxed);
    return is == watchdog::state::dozing || is == watchdog::state::asleep;
  }
  // As if it had fallen into a doze long ago.
  void doze_already() noexcept { one.state_.store(watchdog::state::dozing, std::memory_order_relaxed); }
  void stop() noexcept {
    one.rouse(one.state_.exchange(watchdog::state::stopping, std::memory_order_relaxed));
  }
};

}  // namespace levity::detail
