#pragma once

// unix_wait: the wait of a Unix socket for something of which no event tells (room in a backlog, room at a receiver that one is not
// connected to): a pause before the next attempt.

#include <cstdint>
#include <cstdio>

#include "levity/base/clock.hpp"
#include "levity/base/unix_address.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

constexpr std::int64_t retry_first_ns = 1'000'000;
constexpr std::int64_t retry_max_ns = 32'000'000;

/// A pause before the next attempt at `to`. Gives the reason that ended it early, none otherwise.
class retry_wait : public sleep_waiter {
public:
  retry_wait(const wait_reason& why, std::int64_t pause_ns, const unix_address& to) noexcept
      : sleep_waiter(why, clock::now().time_since_epoch().count() + pause_ns), to_(to) {}

  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_record& record = running_task();
    prepare_wait(record, frame, *this);
    record.scope->exec->sleep(record, *this);
    return commit_wait(record);
  }

  cancel_reason await_resume() const noexcept { return why_; }

  static bool take_back(waiter& self, task_record& record) noexcept {
    auto& wait = static_cast<retry_wait&>(self);
    if (!record.scope->exec->unsleep(record, wait)) return false;
    wait.why_ = effective_cancel(record);
    return true;
  }
  static void describe(const waiter& self, char* text, std::size_t size) noexcept {
    const unix_address& to = static_cast<const retry_wait&>(self).to_;
    std::snprintf(text, size, "%s%.*s", to.is_abstract() ? "@" : "", static_cast<int>(to.name().size()), to.name().data());
  }

private:
  const unix_address& to_;
  cancel_reason why_ = cancel_reason::none;
};

}  // namespace levity::detail
