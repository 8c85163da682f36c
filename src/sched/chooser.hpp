#pragma once

// chooser: who says what a seeded run does next where it could go on in several ways. Without one the seed picks among the tasks
// that are ready, and nothing else is a choice.
//
//   pick()        which ready task runs; or which blocking call is made that was put off
//   sets_aside()  whether the running task loses its worker here
//   gives_way()   no choice but news: a task has yielded, by itself or because it was set aside; not one that somebody outside of
//                 all tasks has woken or spawned
//
// Setting aside is what a run on one thread can show of a worker that loses its slot (watchdog.hpp). There a task goes on beside
// the tasks that it held up, and is queued behind them where its worker next comes by. Here nothing runs beside anything; what is
// left of it is that others overtake the task
//   at an await that needs no wait: before its operation is made, as if its budget were used up (spend_budget)
//   at blocking(f): between the await and the call, and between the call and what comes behind it
// and nowhere else: between two awaits a task of a seeded run is alone. It is asked only where somebody is ready to overtake.
//
// It costs a run without a chooser nothing: under one that sets aside, tasks have a budget of 0, so each such await takes the way
// of one that has used its budget up, where executor::goes_on() answers.

#include <cstddef>
#include <cstdint>
#include <span>

namespace levity::inline v0::detail {

struct blocking_job;
struct task_record;

/// Something that a seeded run can do next: run a task, or make a call of one.
struct ready_choice {
  task_record* task;   // null: a call
  blocking_job* call;  // null: a task
  std::uint32_t id;    // of the task, or of the one whose call it is: that may be gone, if it has left the call behind
};

/// The thread that runs the tasks.
struct chooser {
  /// Which of them is next; in the order in which they came to be ready, at least one.
  virtual std::size_t pick(std::span<const ready_choice> ready) noexcept = 0;
  /// That task goes behind the others.
  virtual void gives_way(std::uint32_t task) noexcept = 0;
  /// Whether sets_aside() is asked at all; constant.
  [[nodiscard]] virtual bool detaches() const noexcept = 0;
  [[nodiscard]] virtual bool sets_aside(std::uint32_t task) noexcept = 0;

protected:
  ~chooser() = default;
};

}  // namespace levity::detail
