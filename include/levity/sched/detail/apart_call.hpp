#pragma once

// apart_call: a call that may outlive the task which waits for it, and so lies in memory of its own.
//
//   state       moved by
//   waited_for  a task is parked for it
//   over        carry_out(): it has ended; the task is woken, and destroys it
//   abandoned   abandon(): the task goes on; who makes the call destroys it when it has ended
//
// Whichever comes first of the last two decides. What the call has written the task sees because it is woken (record.hpp, E2).
//
// Edges
//   E380 abandon() -> carry_out(): who abandons it is done with it.

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/sched/detail/prepared_call.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

class apart_call : public blocking_job {
public:
  apart_call() noexcept : blocking_job{nullptr, &run_it} {}
  apart_call(const apart_call&) = delete;
  apart_call& operator=(const apart_call&) = delete;
  virtual ~apart_call() = default;

  /// Makes it, unless it was abandoned before. Returns the task to wake; null: it was abandoned, and is gone.
  [[nodiscard]] task_record* carry_out() noexcept;
  /// True: nobody will wake the task, which touches the call no more.
  [[nodiscard]] bool abandon() noexcept;

  /// Of all that were abandoned, those that are not gone yet; of the whole process. None is missing that a task has left behind
  /// whose end the caller has seen.
  [[nodiscard]] static unsigned left_behind_approx() noexcept { return left_behind_.load(std::memory_order_relaxed); }

  task_record* task = nullptr;  // set before it is begun

private:
  enum class state : unsigned char { waited_for, over, abandoned };

  virtual void make() noexcept = 0;
  static void run_it(blocking_job& job) noexcept;

  static inline atomic<unsigned> left_behind_{0};

  atomic<state> state_{state::waited_for};
};

/// Has the call made for which the task that ran here is parked now. `slow`: by the pool if that has a thread for it; else as other
/// calls, in place if that may be.
void begin_apart(apart_call& call, bool slow) noexcept;

// The part of an awaiter that knows no types.
class apart_waiter : waiter {
public:
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

protected:
  apart_waiter(std::unique_ptr<apart_call> call, bool slow, bool may_abandon) noexcept
      : waiter{&reason_}, call_(std::move(call)), slow_(slow), may_abandon_(may_abandon) {}
  apart_waiter(const apart_waiter&) = delete;
  apart_waiter& operator=(const apart_waiter&) = delete;
  ~apart_waiter() = default;

  /// The call, which is over. Throws `cancelled` if it was abandoned.
  apart_call& ended() const {
    if (call_ == nullptr) throw_cancelled();
    return *call_;
  }

private:
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  [[noreturn]] static void throw_cancelled();
  static bool take_back(waiter& self, task_record& record) noexcept;
  static const wait_reason reason_;

  std::unique_ptr<apart_call> call_;  // null: abandoned
  const bool slow_;
  const bool may_abandon_;
};

template <class F, class... Args>
class typed_apart_call final : public apart_call {
public:
  explicit typed_apart_call(F f, Args... args) : call_(std::move(f), std::move(args)...) {}
  auto take() { return call_.take(); }

private:
  void make() noexcept override { call_.make(); }

  prepared_call<F, Args...> call_;
};

template <class F, class... Args>
class apart_awaiter : public apart_waiter {
public:
  apart_awaiter(std::unique_ptr<typed_apart_call<F, Args...>> call, bool slow, bool may_abandon) noexcept
      : apart_waiter(std::move(call), slow, may_abandon) {}

  std::invoke_result_t<F, Args...> await_resume() { return static_cast<typed_apart_call<F, Args...>&>(ended()).take(); }
};

}  // namespace levity::detail
