#pragma once

// scripted_task: a task for scenarios of the model lane, which a worker runs as any other. It has a record and one frame, and
// belongs to no scope: when its script is over it is done, and whoever made it frees it.

#include <coroutine>
#include <exception>

#include "levity/sched/blocking.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

struct script {
  struct promise_type {
    script get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };

  std::coroutine_handle<promise_type> frame;
};

struct scripted_task {
  explicit scripted_task(script plays) noexcept : frame(plays.frame) {
    record.leaf = plays.frame;
    record.entered = 1;
  }
  scripted_task(const scripted_task&) = delete;
  scripted_task& operator=(const scripted_task&) = delete;
  ~scripted_task() { frame.destroy(); }

  task_record record;
  const std::coroutine_handle<script::promise_type> frame;
};

/// As blocking(f) of a task that has a scope. Where no call may be made in place `f` is called as part of the task.
template <class F>
struct scripted_call {
  F& f;

  bool await_ready() noexcept {
    const call_in_place here = enter_call();
    f();
    return here.task == nullptr || leave_call(here);
  }
  void await_suspend(std::coroutine_handle<> frame) noexcept { suspend_after_call(frame); }
  void await_resume() noexcept {}
};

}  // namespace levity::detail
