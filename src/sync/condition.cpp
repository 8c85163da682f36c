#include "levity/sync/condition.hpp"

#include <cstdio>

#include "levity/base/assert.hpp"
#include "levity/task/detail/executor.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

class condition::wait_awaiter : public detail::queued_wait {
public:
  wait_awaiter(condition& on, mutex::guard& held) noexcept : queued_wait(reason_, on.list_), condition_(on), held_(held) {}
  wait_awaiter(wait_awaiter&& other) noexcept : wait_awaiter(other.condition_, other.held_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const { throw_if_refused(); }

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
    if (refused(record)) {
      held_.unlock();
      return false;
    }
    detail::prepare_wait(record, frame, *this);
    list_.lock.lock();
    stage_ = stage::waiting;
    list_.waiting.push_back(record.queue);
    list_.lock.unlock();
    // In line first, then out of the mutex: who changes what we wait for, under the mutex, finds us here.
    held_.unlock();
    return detail::commit_wait(record);
  }

  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
    std::snprintf(text, size, "condition %p", static_cast<const void*>(&static_cast<const wait_awaiter&>(self).condition_));
  }

  static const wait_reason reason_;

  condition& condition_;
  mutex::guard& held_;
};

const wait_reason condition::wait_awaiter::reason_{"condition", &queued_wait::take_back, nullptr, &wait_awaiter::describe};

task<> condition::wait(mutex::guard& held) {
  LEVITY_ASSERT(held, "a condition is waited for by who holds its mutex");
  mutex& owned = held.owned();
  co_await wait_awaiter{*this, held};
  try {
    held = co_await owned.lock();
  } catch (const cancelled&) {
    notify_one();  // we were notified for nothing
    throw;
  }
}

void condition::notify_one() noexcept {
  list_.lock.lock();
  detail::task_record* first = list_.hand_to_first();
  list_.lock.unlock();
  if (first != nullptr) detail::wake(*first);
}

void condition::notify_all() noexcept {
  list_.lock.lock();
  leaving_.splice_back(list_.waiting);
  list_.hand_to_all(leaving_);
}

}  // namespace levity
