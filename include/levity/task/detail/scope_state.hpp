#pragma once

// scope_state: the children of one scope, and who waits for them. Lives in the frame pool rather than in the scope object,
// because a scope that is left by an exception must outlive its owner's frame.
//
// Children cost their scope nothing until they wait. A fresh one is a frame that remembers its scope, name and site; when it
// runs it borrows the thread's blank record, and when it ends before it ever waited, the record is blank again. At its
// first wait it keeps the record and enters `children`, under `lock`: from then on others can find, cancel and explain it.
// A cancelled scope is noticed by its children no later than there.
//
// How many live, without a locked instruction for a spawn:
//   open      live = outstanding - open_bias + spawned     spawned: by the owner, who alone writes it
//   closing   live = outstanding                           spawned by others meanwhile: outstanding + 1
//
//   open -> closing    the owner joins, or leaves with children alive: spawned is added in, open_bias taken out
//   closing -> open    by the end that would make it 0: exactly one, and it then ends the wait
//   An end subtracts itself. What is not the last one of a closing scope touches the scope no more after that.
//   The root scope of a runtime has no owner and is closing from the start; at 0 the runtime ends.
//
// Other fields are guarded by `lock` unless said otherwise. The lock covers a few pointer writes; cancelling and listing walk
// the children in slices, with a cursor in the list, and let go of the lock between two slices. Whoever cancels tells no more than
// `told_at_once` of them: the rest is left to its executor, which goes on between tasks. So neither a task that cancels nor the
// slot that it holds is kept by the crowd that it cancels.
//
// Who frees it: ~scope() when no child lives; else the last child's end, on behalf of the task that left it behind. From the
// outside it is found in its executor's registry, from birth to then; who looks at it pins it, and the last pin decides.
//
// Edges
//   E30  a child's end -> who sees that all have ended: what the children wrote.
//
// Rejected: a list entry, and so a lock, for each spawn and end (half of what a spawned and joined task cost).

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

struct local_binding;

/// What a scope does when a child ends with an exception.
enum class failure_policy : std::uint8_t { cancel_siblings, keep_going, report };

struct scope_state {
  spin_lock lock;
  static constexpr std::int64_t open_bias = std::int64_t{1} << 40;
  static constexpr int told_at_once = 512;  // children, by who cancels
  static constexpr int told_in_turn = 64;   // by who goes on with it

  link_list children;         // task_record::sibling
  atomic<std::int64_t> outstanding{open_bias};  // shared; see above
  atomic<std::int64_t> spawned{0};              // written by the owner
  executor* exec = nullptr;   // constant
  task_record* owner = nullptr;      // constant; the task that opened it, null for a runtime's root scope
  task_record* joiner = nullptr;     // waits in join(); the owner's, in a closing scope its last child's
  task_record* leaver = nullptr;     // the ended owner that waits for the orphans
  std::exception_ptr failure;        // the first one
  const char* name = nullptr;        // constant
  std::source_location opened_at;    // constant; empty: by the runtime
  atomic<cancel_reason> cancelled{cancel_reason::none};  // written under lock
  failure_policy policy = failure_policy::cancel_siblings;  // constant
  bool drained = false;          // left, and no child lives
  bool child_cancelled = false;  // a child ended by being cancelled
  bool was_pinned = false;       // ever
  std::uint16_t registry_index = 0;  // where the executor keeps it; constant
  unsigned pins = 0;
  list_link cursors[2];       // [0] cancelling, [1] listing
  list_link registry;         // guarded by the executor's registry
  const task_record* spared = nullptr;    // by the one cancellation that takes effect
  scope_state* next_to_cancel = nullptr;  // in the line of the thread that cancels it, or of its executor
  context orphans{context::kind::orphans};  // links it to its owner's record once it is left behind

  static scope_state* create(executor& exec, task_record* owner, failure_policy policy, const char* name,
                             const std::source_location& opened_at = {});
  static void destroy(scope_state* scope) noexcept;
  static scope_state& from_registry(list_link& link) noexcept;
  static scope_state& from_orphans(context& link) noexcept;

  /// Children that have not ended. Racy, but for the owner while nobody else spawns.
  [[nodiscard]] std::uint64_t size_approx() const noexcept {
    const std::int64_t seen = outstanding.load(std::memory_order_relaxed);
    const std::int64_t live = seen >= open_bias / 2 ? seen - open_bias + spawned.load(std::memory_order_relaxed) : seen;
    return live > 0 ? static_cast<std::uint64_t>(live) : 0;
  }

  /// The owner: closes the scope. True: no child lives, and it is open again.
  [[nodiscard]] bool close() noexcept;

  /// The owner: whether the scope is open and no child has been spawned since all had ended.
  [[nodiscard]] bool is_untouched() const noexcept {
    // E30 acquire: the children that have ended.
    return spawned.load(std::memory_order_relaxed) == 0 && outstanding.load(std::memory_order_acquire) == open_bias;
  }

  /// Enters a task's record, at its first wait.
  void enter(task_record& child) noexcept;

  /// Makes `frame` the root of a new task of this scope and queues it. Its value goes nowhere.
  /// Throws std::bad_alloc, when called from outside the executor's threads or by a task with bound values.
  void adopt(std::coroutine_handle<> frame, promise_base& promise, const char* task_name, const std::source_location& site);

  /// Cancels every child, now and to come, but the one that is spared. Any thread, as long as the scope lives. Of more children
  /// than `told_at_once`, those in scopes below this one included, the others are told soon after, by the executor.
  void cancel(cancel_reason reason, const task_record* spare = nullptr) noexcept;
  /// A slice of what executor::cancel_later() was asked for. On a thread of the executor, outside of tasks. May destroy the scope.
  void cancel_on() noexcept;

  /// `count` children have ended; those that had entered are linked by `queue` from `first` on. May destroy the scope.
  /// Returns the task that had left this scope behind, if it was the last child that it waited for: that task ends now.
  /// Who joins and waited for the last of them is queued, or handed to the caller if it gives a place for it that is empty.
  task_record* children_ended(task_record* first, unsigned count, task_record** joined = nullptr) noexcept;
  /// Whether no child is left once `count` more have ended, and somebody joins.
  [[nodiscard]] bool awaits_only(unsigned count) const noexcept {
    return outstanding.load(std::memory_order_relaxed) == static_cast<std::int64_t>(count);
  }

  void adopt_slowly(std::coroutine_handle<> frame);
  void adopt_with_locals(std::coroutine_handle<> frame, local_binding& bound);
  void cancel_line_from_here(int children_max) noexcept;
  [[nodiscard]] bool cancel_children(int& children_max) noexcept;
  void end_left_behind() noexcept;
  void tell_failure() noexcept;
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
    lock.lock();
    const bool begins = !cursors[cursor].linked();
    if (begins) children.push_front(cursors[cursor]);
    lock.unlock();
    if (!begins) return false;
    while (walk_on(cursor, slice, visit)) between();
    between();
    return true;
  }
  /// One slice. False: it was the last one.
  template <class Visit>
  bool walk_on(int cursor, int slice, Visit&& visit) {
    list_link& here = cursors[cursor];
    lock.lock();
    for (int i = 0; i < slice; i++) {
      list_link* next = here.next;
      if (next == children.end()) {
        here.unlink();
        lock.unlock();
        return false;
      }
      here.unlink();
      link_list::insert_before(*next->next, here);
      if (!is_cursor(next)) visit(task_record::from_sibling(*next));
    }
    lock.unlock();
    return true;
  }
};

/// Settles the ends of tasks that were put off on this thread. Before anything runs but another fresh child of their scope.
/// `joined`: as of children_ended().
void settle_ends(run_state& run, task_record** joined = nullptr) noexcept;

/// Ends tasks: `next`, if there is one, and then each that the end of the one before leaves nothing to wait for. Any thread.
void finish_tasks(task_record* next) noexcept;

/// Ends the task whose root frame is gone. On the thread that ran it.
void end_task_slowly(run_state& run, task_record& record) noexcept;
inline void end_task(run_state& run, task_record& record) noexcept {
  const bool common = record.contexts == nullptr && !record.entered && record.scope == run.ended_scope &&
                      run.ended_count < run_state::ends_max;
  if (!common) [[unlikely]] return end_task_slowly(run, record);
  run.ended_count++;
}

/// What the root frame of a fresh task says of it, until it has a record: its scope, its name, and where it was spawned.
inline void mark_fresh(promise_base& root, scope_state& scope, const char* name, const void* site) noexcept {
  root.continuation_address = &scope;
  root.name = name;
  root.here = site;
}

/// The scope that a fresh task belongs to.
inline scope_state& scope_of_fresh(std::coroutine_handle<> root) noexcept {
  return *static_cast<scope_state*>(promise_of(root).continuation_address);
}

/// Gives a fresh task the record that it is to run with; a blank one, or a new one that is entered at once.
inline void become(task_record& blank, std::coroutine_handle<> root, std::uint32_t id, std::uint32_t now_ms) noexcept {
  promise_base& promise = promise_of(root);
  scope_state& scope = scope_of_fresh(root);
  const cancel_reason why = scope.cancelled.load(std::memory_order_relaxed);
  blank.word.store(task_record::running, std::memory_order_relaxed);
  blank.waits_on = nullptr;
  blank.contexts = nullptr;
  blank.since_ms = now_ms & 0x7fff'ffffu;
  blank.id = id;
  blank.entered = 0;
  blank.name = promise.name;
  blank.site = promise.location();
  blank.scope = &scope;
  promise.continuation_address = nullptr;
  std::construct_at(&promise.failure);
  if (why != cancel_reason::none) [[unlikely]] ask_scope(blank);
}
[[nodiscard]] task_record& enter_fresh(std::coroutine_handle<> root, std::uint32_t id, std::uint32_t now_ms);
/// The same with a record, one that frame_allocate() gave the memory for.
task_record& enter_fresh(task_record& blank, std::coroutine_handle<> root, std::uint32_t id, std::uint32_t now_ms) noexcept;

/// Ends the scopes that `owner`, the running task, has left behind and that are empty by now. O(scopes left behind).
void end_left_behind(task_record& owner) noexcept;

}  // namespace levity::detail
