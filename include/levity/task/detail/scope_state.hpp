#pragma once

// scope_state: the children of one scope, and who waits for them. Lives in the frame pool rather than in the scope object,
// because a scope that is left by an exception must outlive its owner's frame.
//
// All fields are guarded by `lock` unless said otherwise. The lock covers a few pointer writes; cancelling and listing walk
// the children in slices, with a cursor in the list, and let go of the lock between two slices.
//
// Who frees it: ~scope() when no child lives; else the last child's end, on behalf of the task that left it behind.

#include <coroutine>
#include <cstdint>
#include <exception>
#include <source_location>

#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

/// What a scope does when a child ends with an exception.
enum class failure_policy : std::uint8_t { cancel_siblings, keep_going, report };

struct scope_state {
  spin_lock lock;
  link_list children;         // task_record::sibling
  std::uint64_t count = 0;    // children that have not ended
  executor* exec = nullptr;   // constant
  task_record* owner = nullptr;      // constant; the task that opened it, null for a runtime's root scope
  task_record* joiner = nullptr;     // published waiter of join()
  task_record* leaver = nullptr;     // the ended owner that waits for the orphans
  std::exception_ptr failure;        // the first one
  const char* name = nullptr;        // constant
  cancel_reason cancelled = cancel_reason::none;
  failure_policy policy = failure_policy::cancel_siblings;  // constant
  bool listed = false;
  std::uint16_t registry_index = 0;  // where the executor keeps it
  bool child_cancelled = false;  // a child ended by being cancelled
  unsigned pins = 0;
  list_link cursors[2];       // [0] cancelling, [1] listing
  list_link registry;         // guarded by the executor's registry
  scope_state* next_to_cancel = nullptr;  // of the thread that cancels it
  context orphans{context::kind::orphans};  // links it to its owner's record once it is left behind

  static scope_state* create(executor& exec, task_record* owner, failure_policy policy, const char* name);
  static void destroy(scope_state* scope) noexcept;
  static scope_state& from_registry(list_link& link) noexcept;
  static scope_state& from_orphans(context& link) noexcept;

  /// Makes `frame` the root of a new task of this scope and queues it. Its value goes to `result`, if there is one.
  void adopt(std::coroutine_handle<> frame, promise_base& promise, void* result, const char* task_name,
             const std::source_location& site);

  /// Cancels every child, now and to come. Any thread, as long as the scope lives. Sliced.
  void cancel(cancel_reason reason) noexcept;

  /// `count` children have ended, linked by `queue`: unlinks and frees them, wakes who waits for the last one. May destroy the
  /// scope. Returns the task that had left this scope behind, if it was the last child that it waited for: that task ends now.
  task_record* children_ended(task_record& first, unsigned count) noexcept;

  void cancel_children() noexcept;
  void end_left_behind() noexcept;
  void child_failed(std::exception_ptr thrown, task_record& child) noexcept;

  [[nodiscard]] bool is_cursor(const list_link* link) const noexcept {
    return link == &cursors[0] || link == &cursors[1];
  }

  /// Keeps the scope from being destroyed until unpin(); its owner's end waits meanwhile. Any thread that knows it to live.
  void pin() noexcept;
  void unpin() noexcept;
  task_record* unpin_last() noexcept;

  /// Calls `visit(record)` for each child under the lock, and `between()` without it after each slice. One walker a cursor;
  /// false when that walker is at it already. The caller keeps the scope alive.
  template <class Visit, class Between>
  bool walk(int cursor, int slice, Visit&& visit, Between&& between) {
    list_link& here = cursors[cursor];
    lock.lock();
    if (here.linked()) {
      lock.unlock();
      return false;
    }
    children.push_front(here);
    for (;;) {
      for (int i = 0; i < slice; i++) {
        list_link* next = here.next;
        if (next == children.end()) {
          here.unlink();
          lock.unlock();
          between();
          return true;
        }
        here.unlink();
        link_list::insert_before(*next->next, here);
        if (!is_cursor(next)) visit(task_record::from_sibling(*next));
      }
      lock.unlock();
      between();
      lock.lock();
    }
  }
};

/// Settles the ends of tasks that were put off on this thread. Where tasks run, before anything else is run or waited for.
void settle_ends(run_state& run) noexcept;

/// Ends the scopes that `owner`, the running task, has left behind and that are empty by now. O(scopes left behind).
void end_left_behind(task_record& owner) noexcept;

}  // namespace levity::detail
