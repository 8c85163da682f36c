#include "levity/io/detail/socket_attempt.hpp"

#include <cstdio>

#include "io/event_wait.hpp"
#include "io/unix_description.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

socket_attempt::socket_attempt(const wait_reason& why, io_result<endpoint*> socket) noexcept
    : waiter{&why}, socket_(socket.value_or(nullptr)), error_(socket ? io_error{io_failure::would_block} : socket.error()) {}

// Attempts until there is an outcome or the task is parked. True: there is an outcome.
bool socket_attempt::run(task_record& record) noexcept {
  direction& way = side(*socket_, reads());
  for (;;) {
    if (const cancel_reason why = pending_cancel(record); why != cancel_reason::none) {
      error_ = to_io_error(why, reason->name);
      finished_ = true;
      return true;
    }
    if (!way.is_drained() && attempt() == outcome::done) {
      finished_ = true;
      return true;
    }
    before_wait();
    if (!way.wait(record)) continue;
    // From here on an event or a canceller may own the wake-up, but nobody resumes us before commit_wait() has parked us.
    if (commit_wait(record)) return false;
    if (finished_) return true;  // a canceller took us back
  }
}

bool socket_attempt::try_now(std::coroutine_handle<> frame, task_record& record) noexcept {
  if (socket_ == nullptr) {
    if (error_ == io_failure::would_block) error_ = io_error{io_failure::closed, 0, reason->name};
    return true;
  }
  prepare_wait(record, frame, *this);
  if (!spend_budget()) {
    before_wait();
    record.scope->exec->schedule_last(record);  // settle() makes the first attempt
    return false;
  }
  return run(record);
}

bool socket_attempt::settle(waiter& self, task_record& record) noexcept {
  auto& attempt = static_cast<socket_attempt&>(self);
  return attempt.finished_ || attempt.run(record);
}

bool socket_attempt::take_back(waiter& self, task_record& record) noexcept {
  auto& attempt = static_cast<socket_attempt&>(self);
  if (attempt.finished_ || !side(*attempt.socket_, attempt.reads()).take_back(record)) return false;
  attempt.error_ = to_io_error(effective_cancel(record), attempt.reason->name);
  attempt.finished_ = true;
  return true;
}

void socket_attempt::describe_fd(const waiter& self, char* text, std::size_t size) noexcept {
  const endpoint* on = static_cast<const socket_attempt&>(self).socket_;
  std::snprintf(text, size, "fd %d", on->fd);
}

// The kernel is asked for the name, so that no socket carries a copy: who waits on it keeps it open.
void socket_attempt::describe_unix(const waiter& self, char* text, std::size_t size) noexcept {
  describe_unix_endpoint(*static_cast<const socket_attempt&>(self).socket_, text, size);
}

}  // namespace levity::detail
