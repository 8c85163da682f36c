#pragma once

// event_wait: parks a task until the next event of one direction of an endpoint; for loops that make their own attempts.

#include <cstdio>

#include "levity/task/detail/promise.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

inline direction& side(endpoint& socket, bool reads) noexcept { return reads ? socket.reading : socket.writing; }

class event_wait : public waiter {
public:
  event_wait(const wait_reason& why, endpoint& socket, bool reads) noexcept : waiter{&why}, socket_(socket), reads_(reads) {}

  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_record& record = running_task();
    if (why_ = pending_cancel(record); why_ != cancel_reason::none) return false;
    prepare_wait(record, frame, *this);
    return side(socket_, reads_).wait(record) && commit_wait(record);
  }

  /// The reason that ended the wait early, none otherwise.
  cancel_reason await_resume() const noexcept { return why_; }

  // What a wait reason of this kind is made of.
  static bool take_back(waiter& self, task_record& record) noexcept {
    auto& wait = static_cast<event_wait&>(self);
    if (!side(wait.socket_, wait.reads_).take_back(record)) return false;
    wait.why_ = effective_cancel(record);
    return true;
  }
  static void describe(const waiter& self, char* text, std::size_t size) noexcept {
    std::snprintf(text, size, "fd %d", static_cast<const event_wait&>(self).socket_.fd);
  }

private:
  endpoint& socket_;
  bool reads_;
  cancel_reason why_ = cancel_reason::none;
};

}  // namespace levity::detail
