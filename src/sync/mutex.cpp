#include "levity/sync/mutex.hpp"

#include <cstdio>

#include "levity/task/detail/executor.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

const wait_reason mutex::lock_awaiter::reason_{"mutex lock", &queued_wait::take_back, &lock_awaiter::settle,
                                               &lock_awaiter::describe};

mutex::guard mutex::try_lock() noexcept {
  const detail::task_record* here = detail::current_run().current;
  return take(here != nullptr ? here->id : 0) ? guard{*this} : guard{};
}

void mutex::hand_over() noexcept {
  list_.lock.lock();
  detail::task_record* next = list_.hand_to_first();
  if (next == nullptr) {
    word_.store(state::free, std::memory_order_release);  // E50 release.
  } else {
    // Relaxed: under the lock, and only the owner, which is us or already the next one, moves a word that is not free.
    if (list_.waiting.empty()) word_.store(state::held, std::memory_order_relaxed);
    owner_.store(next->id, std::memory_order_relaxed);
  }
  list_.lock.unlock();
  if (next != nullptr) detail::wake(*next);
}

std::size_t mutex::waiters_approx() noexcept {
  std::size_t count = 0;
  list_.lock.lock();
  for (auto* link = list_.waiting.front(); link != nullptr && link != list_.waiting.end(); link = link->next) count++;
  list_.lock.unlock();
  return count;
}

bool mutex::lock_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  return detail::begin_attempt(*this, frame, record);
}

bool mutex::lock_awaiter::attempt(detail::task_record& record) noexcept {
  if (refused(record)) return true;
  if (mutex_.take(record.id)) [[likely]] {
    stage_ = stage::handed;
    return true;
  }
  list_.lock.lock();
  for (;;) {
    state seen = mutex_.word_.load(std::memory_order_relaxed);
    if (seen == state::contended) break;
    if (seen == state::held) {
      // Relaxed: the owner that finds it contended takes the lock that we hold.
      if (mutex_.word_.compare_exchange_weak(seen, state::contended, std::memory_order_relaxed,
                                             std::memory_order_relaxed)) {
        break;
      }
    } else if (mutex_.take(record.id)) {
      list_.lock.unlock();
      stage_ = stage::handed;
      return true;
    }
  }
  return park(record);
}

bool mutex::lock_awaiter::settle(detail::waiter& self, detail::task_record& record) noexcept {
  auto& lock = static_cast<lock_awaiter&>(self);
  return lock.stage_ != stage::fresh || lock.attempt(record);
}

void mutex::lock_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  const mutex& wanted = static_cast<const lock_awaiter&>(self).mutex_;
  std::snprintf(text, size, "mutex %p held by task %u", static_cast<const void*>(&wanted),
                wanted.owner_.load(std::memory_order_relaxed));
}

}  // namespace levity
