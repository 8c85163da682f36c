#pragma once

#include <cstdint>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// A place where `parties` tasks wait for each other, again and again: when the last has come, all go on and the next phase
/// begins.
///
/// A task that is cancelled while it waits takes its arrival back and gets `cancelled` thrown: the phase then waits for somebody
/// else, or for arrive_and_drop(). What was written before an arrival is visible to all after the phase. The last arrival is
/// O(parties). Any thread.
/// Order: the last to come goes on, the others are let go together; which of them runs first is not promised.
class barrier {
public:
  class arrive_awaiter;

  /// At least one party.
  explicit barrier(std::uint64_t parties) noexcept;
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;
  /// Nobody waits for it.
  ~barrier() = default;

  /// Arrives and waits for the others. True for exactly one task of each phase, the last to come. Throws `cancelled` on
  /// cancellation.
  [[nodiscard("co_await the others")]] arrive_awaiter arrive_and_wait() noexcept;

  /// One party less, in this phase and all that follow. Never waits.
  void arrive_and_drop() noexcept;

private:
  void complete() noexcept;

  // Guarded by list_.lock.
  std::uint64_t parties_;
  std::uint64_t arrived_ = 0;
  std::uint64_t phase_ = 0;
  detail::link_list leaving_;  // those of a phase that is complete
  detail::wait_list list_;
};

class barrier::arrive_awaiter : public detail::queued_wait {
public:
  explicit arrive_awaiter(barrier& at) noexcept : queued_wait(reason_, at.list_), barrier_(at) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  arrive_awaiter(arrive_awaiter&& other) noexcept : arrive_awaiter(other.barrier_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  bool await_resume() const {
    throw_if_refused();
    return last_;
  }

  /// The arrival, and parking if others are missing. True: the wait is over. For the runtime.
  bool attempt(detail::task_record& record) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool settle(detail::waiter& self, detail::task_record& record) noexcept;
  static bool leave(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  barrier& barrier_;
  std::uint64_t phase_ = 0;
  bool last_ = false;
};

inline barrier::arrive_awaiter barrier::arrive_and_wait() noexcept { return arrive_awaiter{*this}; }

}  // namespace levity
