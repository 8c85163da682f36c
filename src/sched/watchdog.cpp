#include "sched/watchdog.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "levity/base/clock.hpp"
#include "platform/futex.hpp"
#include "platform/thread.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

bool watchdog::start() noexcept {
  const std::lock_guard guard{lock_};
  if (state_.load(std::memory_order_relaxed) != state::absent) return true;
  try {
    const unsigned spares = spares_max(owner_.size());
    seen_.resize(owner_.size() + spares);
    spares_.reserve(spares);
    slow_.reserve(owner_.size() + spares);
    state_.store(state::awake, std::memory_order_relaxed);
    thread_ = start_thread([this] { watch(); });
    return true;
  } catch (...) {
    state_.store(state::absent, std::memory_order_relaxed);
    return false;
  }
}

void watchdog::wake() noexcept {
  state expected = state::asleep;
  if (state_.compare_exchange_strong(expected, state::awake, std::memory_order_relaxed, std::memory_order_relaxed)) {
    futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
  }
}

void watchdog::stop() noexcept {
  std::thread ending;
  {
    const std::lock_guard guard{lock_};
    if (state_.load(std::memory_order_relaxed) == state::absent) return;
    state_.store(state::stopping, std::memory_order_relaxed);
    ending.swap(thread_);
  }
  futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
  ending.join();
}

void watchdog::offer_spare(worker& spare) noexcept {
  {
    const std::lock_guard guard{lock_};
    spares_.push_back(&spare);  // there is room for all
  }
  room_.fetch_add(1, std::memory_order_relaxed);
}

void watchdog::watch() noexcept {
  std::int64_t pause_ns = look_ns;
  std::int64_t due_ns = kernel_now_ns();
  unsigned quiet = 0;
  while (state_.load(std::memory_order_relaxed) != state::stopping) {
    retry();
    // A look that is left out says nothing of the calls, and so nothing of whether to sleep: on a machine where many come late
    // the watchdog would never.
    const bool judges = !times_.leave_out(due_ns, kernel_now_ns());
    if (judges) {
      moved_ = false;
      const bool pending = look();
      pause_ns = pending ? look_ns : std::min(2 * pause_ns, look_rarely_ns);
      quiet = pending || moved_ ? 0 : quiet + 1;
    }
    if (quiet >= looks_before_sleep) {
      quiet = 0;
      pause_ns = look_ns;
      fall_asleep();
      due_ns = kernel_now_ns();
    } else {
      const std::int64_t wait_ns = judges ? pause_ns : look_ns;
      due_ns = kernel_now_ns() + wait_ns;
      futex_wait_for(reinterpret_cast<const std::uint32_t*>(&state_), static_cast<std::uint32_t>(state::awake), wait_ns);
    }
  }
}

// True: there is a call that may turn out to be slow.
bool watchdog::look() noexcept {
  bool pending = false;
  std::size_t index = 0;
  owner_.each_worker([&](worker& each) {
    const std::uint64_t call = each.call_seen();
    const bool lasts = call == seen_[index];
    moved_ = moved_ || !lasts;
    seen_[index++] = call;
    if ((call & (worker::in_call_bit | worker::taken_bit)) != worker::in_call_bit) return;
    if (!lasts) {
      pending = true;
      return;
    }
    slow_.push_back({&each, call});
  });
  // Not inside the walk: a spare may be added.
  for (const slow_call& each : slow_) hand_over(*each.made_by, each.call);
  slow_.clear();
  return pending;
}

void watchdog::fall_asleep() noexcept {
  state expected = state::awake;
  if (!state_.compare_exchange_strong(expected, state::asleep, std::memory_order_relaxed, std::memory_order_relaxed)) return;
  full_fence();  // E180: a call that did not see us asleep is seen here.
  bool called = false;
  owner_.each_worker([&called](worker& each) {
    called = called || (each.call_seen() & (worker::in_call_bit | worker::taken_bit)) == worker::in_call_bit;
  });
  if (called) return wake();
  while (state_.load(std::memory_order_relaxed) == state::asleep) {
    futex_wait(reinterpret_cast<const std::uint32_t*>(&state_), static_cast<std::uint32_t>(state::asleep));
  }
}

void watchdog::hand_over(worker& from, std::uint64_t call) noexcept {
  worker* spare = nullptr;
  {
    const std::lock_guard guard{lock_};
    if (!spares_.empty()) {
      spare = spares_.back();
      spares_.pop_back();
    }
  }
  if (spare == nullptr) spare = add_spare();
  if (spare == nullptr) return;
  if (from.take_slot(call)) {
    room_.fetch_sub(1, std::memory_order_relaxed);
    owner_.move_slot(from, *spare);
  } else {
    const std::lock_guard guard{lock_};
    spares_.push_back(spare);
  }
}

// Null: no thread is to be had. Then calls are made by the pool, which waits for threads of its own, until one is; the call that
// wanted it strands what its worker holds, and is looked at again.
worker* watchdog::add_spare() noexcept {
  worker* const spare = owner_.add_spare();
  if (spare != nullptr) {
    room_.fetch_add(std::exchange(withheld_, 0), std::memory_order_relaxed);
    retry_pause_ns_ = retry_ns;
    retry_at_ns_.store(0, std::memory_order_relaxed);
    return spare;
  }
  if (retry_at_ns_.load(std::memory_order_relaxed) == 0) {
    std::fprintf(stderr, "levity: no thread to be had to replace one that a blocking call keeps; raise the limit of threads "
                         "(ulimit -u, pids.max)\n");
  }
  withheld_ += room_.exchange(0, std::memory_order_relaxed);
  retry_at_ns_.store(kernel_now_ns() + retry_pause_ns_, std::memory_order_relaxed);
  return nullptr;
}

// A spare in advance, when it is time to see whether there are threads again.
void watchdog::retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns == 0 || kernel_now_ns() < at_ns) return;
  retry_pause_ns_ = std::min(2 * retry_pause_ns_, retry_rarely_ns);
  worker* const spare = add_spare();
  if (spare == nullptr) return;
  const std::lock_guard guard{lock_};
  spares_.push_back(spare);  // room_ has counted it as one that could be started
}

// A call that cannot be made in place wakes the watchdog when a retry is due: a program that makes none is left alone.
bool watchdog::ask_for_retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns != 0 && kernel_now_ns() >= at_ns) wake();
  return false;
}

}  // namespace levity::detail
