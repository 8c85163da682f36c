#pragma once

// Why a task waits. Every suspension names one static wait_reason; none is ever reused for another thing.

#include <cstddef>

namespace levity::inline v0 {

namespace detail {
struct task_record;
struct waiter;
}  // namespace detail

/// One way of waiting: its name in dumps, how to take a waiter back, and what more there is to say about it. Not for users.
struct wait_reason {
  /// For people: "sleep", "channel receive".
  const char* name;

  /// Takes the waiter out of whatever it waits in. True: it is out, nothing else will wake its task, and the waiter knows
  /// that it was cancelled; the caller wakes the task. False: somebody else wakes it (now or later). Called while the
  /// record is held, from any thread, perhaps more than once; must not suspend, block or allocate.
  bool (*try_cancel)(detail::waiter& waiter, detail::task_record& record) noexcept;

  /// Asked by the worker before it resumes a woken task: is the wait really over? False: the task waits again (it was parked
  /// inside and may already run elsewhere). Null: it is over.
  bool (*settle)(detail::waiter& waiter, detail::task_record& record) noexcept;

  /// Writes what it waits for ("fd 12", "mutex 0x7f.. held by 812") into `text`, zero-terminated. May be null. Called while
  /// the record is held, so the waiter stands still; what it points to may not.
  void (*describe)(const detail::waiter& waiter, char* text, std::size_t size) noexcept;
};

}  // namespace levity
