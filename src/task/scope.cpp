#include "levity/task/scope.hpp"

#include <bit>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <new>

#include "base/source_file.hpp"
#include "levity/base/assert.hpp"
#include "levity/task/pin.hpp"
#include "levity/task/task_local.hpp"

namespace levity::inline v0 {
namespace detail {

scope_state* scope_state::create(executor& exec, task_record* owner, failure_policy policy, const char* name,
                                 const std::source_location& opened_at) {
  auto* scope = new (frame_allocate(sizeof(scope_state))) scope_state;
  scope->exec = &exec;
  scope->owner = owner;
  scope->policy = policy;
  scope->name = name;
  scope->opened_at = opened_at;
  if (owner == nullptr) scope->outstanding.store(0, std::memory_order_relaxed);
  exec.enlist(*scope);
  return scope;
}

void scope_state::destroy(scope_state* scope) noexcept {
  scope->~scope_state();
  frame_free(scope, sizeof(scope_state));
}

scope_state& scope_state::from_registry(list_link& link) noexcept {
  return *reinterpret_cast<scope_state*>(reinterpret_cast<char*>(&link) - offsetof(scope_state, registry));
}

scope_state& scope_state::from_orphans(context& link) noexcept {
  return *reinterpret_cast<scope_state*>(reinterpret_cast<char*>(&link) - offsetof(scope_state, orphans));
}

task_record& enter_fresh(std::coroutine_handle<> root, std::uint32_t id, std::uint32_t now_ms) {
  return enter_fresh(*new (frame_allocate(sizeof(task_record))) task_record, root, id, now_ms);
}

task_record& enter_fresh(task_record& blank, std::coroutine_handle<> root, std::uint32_t id, std::uint32_t now_ms) noexcept {
  become(blank, root, id, now_ms);
  blank.scope->enter(blank);
  blank.leaf = root;
  return blank;
}

void scope_state::enter(task_record& child) noexcept {
  if (this_run.blank == &child) this_run.blank = nullptr;
  child.entered = 1;
  lock.lock();
  children.push_back(child.sibling);
  // Under the lock: the walk of a cancellation meets the child, or we meet its reason.
  const cancel_reason why = cancelled.load(std::memory_order_relaxed);
  lock.unlock();
  if (why != cancel_reason::none) ask_scope(child);
}

// The common way calls nothing but its last act, so that it saves no register of the machine.
void scope_state::adopt(std::coroutine_handle<> frame, promise_base& promise, const char* task_name,
                        const std::source_location& site) {
  mark_fresh(promise, *this, task_name, std::bit_cast<const void*>(site));
  const run_state& run = this_run;
  const task_record* spawner = run.current;
  const bool common = run.exec == exec && owner != nullptr && spawner == owner && spawner->contexts == nullptr;
  if (!common) [[unlikely]] return adopt_slowly(frame);
  spawned.store(spawned.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  exec->start(frame);
}

void scope_state::adopt_slowly(std::coroutine_handle<> frame) {
  const run_state& run = this_run;
  if (run.exec == exec) {
    if (owner != nullptr && run.current == owner) {
      spawned.store(spawned.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      outstanding.fetch_add(1, std::memory_order_relaxed);
    }
    if (run.current != nullptr) {
      if (local_binding* bound = bound_in(*run.current)) return adopt_with_locals(frame, *bound);
    }
    return exec->start(frame);
  }
  outstanding.fetch_add(1, std::memory_order_relaxed);
  task_record* record;
  try {
    record = &enter_fresh(frame, exec->next_task_id(), coarse_now_ms());
  } catch (...) {
    frame.destroy();
    children_ended(nullptr, 1);
    throw;
  }
  exec->schedule(*record);
}

// Only a record has a place for what it inherits.
void scope_state::adopt_with_locals(std::coroutine_handle<> frame, local_binding& bound) {
  task_record* record = nullptr;
  try {
    record = &enter_fresh(frame, exec->next_task_id(), this_run.coarse_ms);
    inherit_locals(*record, bound);
  } catch (...) {
    frame.destroy();
    if (record != nullptr) record->queue.next = nullptr;
    children_ended(record, 1);
    throw;
  }
  exec->schedule(*record);
}

void scope_state::cancel(cancel_reason reason, const task_record* spare) noexcept {
  lock.lock();
  const bool first = cancelled.load(std::memory_order_relaxed) == cancel_reason::none;
  if (first) {
    spared = spare;
    cancelled.store(reason, std::memory_order_release);  // E5 release.
    next_to_cancel = nullptr;
    pins++;
    was_pinned = true;
    children.push_front(cursors[0]);  // who enters from now on finds the reason, before it is met
  }
  lock.unlock();
  if (!first) return;  // whoever cancelled first reaches every child
  // Taking a join back cancels the scope it waits for: that scope comes after this one, not inside it, so that neither
  // stack nor locks grow with the depth of the tree.
  if (run_state& run = this_run; run.last_to_cancel != nullptr) {
    run.last_to_cancel->next_to_cancel = this;
    run.last_to_cancel = this;
    return;
  }
  // In a simulated run nobody is late.
  cancel_line_from_here(exec->simulated() ? std::numeric_limits<int>::max() : told_at_once);
}

void scope_state::cancel_on() noexcept {
  next_to_cancel = nullptr;
  cancel_line_from_here(told_in_turn);
}

void scope_state::cancel_line_from_here(int children_max) noexcept {
  this_run.last_to_cancel = this;
  scope_state* each = this;
  while (each != nullptr && each->cancel_children(children_max)) each = each->next_to_cancel;
  this_run.last_to_cancel = nullptr;
  scope_state* const left = each;
  // Only then, and no longer in line: the last pin may end a task, and what that destroys may cancel other scopes.
  for (each = this; each != left;) {
    scope_state* next = each->next_to_cancel;
    each->unpin();
    each = next;
  }
  while (each != nullptr) {
    scope_state* next = each->next_to_cancel;
    each->exec->cancel_later(*each);
    each = next;
  }
}

// Nothing is taken out of its wait under the lock: the walk only marks and holds, and a held task stays where it is. False: some
// are left.
bool scope_state::cancel_children(int& children_max) noexcept {
  constexpr int slice = 64;
  task_record* held[slice];
  bool more = true;
  while (more && children_max > 0) {
    int count_held = 0;
    more = walk_on(0, slice, [&](task_record& child) {
      children_max--;
      if (&child == spared) return;
      if (cancel_and_hold(child, cancelled.load(std::memory_order_relaxed))) held[count_held++] = &child;
    });
    for (int i = 0; i < count_held; i++) interrupt_held(*held[i]);
  }
  return !more;
}

void scope_state::pin() noexcept {
  lock.lock();
  pins++;
  was_pinned = true;
  lock.unlock();
}

void scope_state::unpin() noexcept {
  finish_tasks(unpin_last());
}

// That of its first child that failed, which nobody joined to see.
void scope_state::tell_failure() noexcept {
  if (failure != nullptr) exec->unobserved(std::exchange(failure, nullptr), executor::failed::in_scope, name, opened_at);
}

// Nobody is left in it and nobody looks at it.
void scope_state::end_left_behind() noexcept {
  tell_failure();
  destroy(this);
}

void end_left_behind(task_record& owner) noexcept {
  for (context** link = &owner.contexts; *link != nullptr;) {
    context& each = **link;
    if (each.what == context::kind::orphans) {
      scope_state& orphans = scope_state::from_orphans(each);
      orphans.pin();
      if (orphans.exec->retire(orphans)) {
        *link = each.outer;
        orphans.end_left_behind();
        continue;
      }
    }
    link = &each.outer;
  }
}

// The task whose end waited for this scope's, if it is over now.
task_record* scope_state::unpin_last() noexcept {
  lock.lock();
  const bool last = pins == 1 && drained && leaver != nullptr;
  if (!last) pins--;
  lock.unlock();
  // With our pin it cannot go before retire(); somebody who pins it until then will be the last instead.
  if (!last || !exec->retire(*this)) return nullptr;
  task_record* left = leaver;
  end_left_behind();
  return left;
}

void scope_state::child_failed(std::exception_ptr thrown, task_record& child) noexcept {
  if (!child.entered) ask_scope(child);
  // A task that was told to end, and did, has not failed. One that lets a `cancelled` of its own making out has: a deadline
  // inside it that nobody caught.
  if (was_cancelled(child)) {
    try {
      std::rethrow_exception(thrown);
    } catch (const levity::cancelled&) {
      lock.lock();
      child_cancelled = true;
      lock.unlock();
      return;
    } catch (...) {
    }
  }
  if (policy == failure_policy::report) {
    exec->unobserved(std::move(thrown), executor::failed::task, child.name, child.site);
    return;
  }
  lock.lock();
  const bool first = failure == nullptr;
  if (first) failure = thrown;
  lock.unlock();
  if (!first) return;
  if (policy == failure_policy::cancel_siblings) cancel(cancel_reason::sibling_failed);
}

bool scope_state::close() noexcept {
  const std::int64_t own = spawned.load(std::memory_order_relaxed) - open_bias;
  spawned.store(0, std::memory_order_relaxed);
  std::int64_t seen = outstanding.load(std::memory_order_relaxed);
  // E30 acquire: the children that have ended; release: `joiner`, for the last one.
  while (!outstanding.compare_exchange_weak(seen, seen + own != 0 ? seen + own : open_bias, std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {
  }
  return seen + own == 0;
}

task_record* scope_state::children_ended(task_record* first, unsigned count, task_record** joined) noexcept {
  if (first != nullptr) {
    lock.lock();
    for (list_link* link = &first->queue; link != nullptr; link = link->next) task_record::from_queue(*link).sibling.unlink();
    lock.unlock();
    for (list_link* link = &first->queue; link != nullptr;) {
      task_record& each = task_record::from_queue(*link);
      link = link->next;
      each.~task_record();
      frame_free(&each, sizeof(task_record));
    }
  }
  executor& runs_it = *exec;
  const bool is_root = owner == nullptr;
  std::int64_t seen = outstanding.load(std::memory_order_relaxed);
  std::int64_t left;
  do {
    left = seen - static_cast<std::int64_t>(count);
    // E30 release: what the children wrote; acquire: what all of them wrote, and `joiner`.
  } while (!outstanding.compare_exchange_weak(seen, left != 0 || is_root ? left : open_bias, std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
  if (left != 0) return nullptr;  // the scope may be gone
  if (is_root) {
    runs_it.root_empty();
    return nullptr;
  }
  if (task_record* woken = std::exchange(joiner, nullptr)) {
    if (!wake_deferred(*woken)) return nullptr;
    if (joined != nullptr && *joined == nullptr && pin_of(*woken) == nullptr) {
      *joined = woken;
    } else {
      woken->scope->exec->schedule(*woken);
    }
    return nullptr;
  }
  lock.lock();
  drained = true;
  const bool left_behind = leaver != nullptr;
  if (left_behind) pins++;
  lock.unlock();
  return left_behind ? unpin_last() : nullptr;
}

void root_failed(std::exception_ptr failure) noexcept {
  task_record& record = running_task();
  record.scope->child_failed(std::move(failure), record);
}

void note_root_end() noexcept { this_run.ended_root = this_run.current; }

namespace {

// Siblings that end one after the other on a thread are settled together. `run` is of the task's executor.
void note_end(run_state& run, task_record& record) noexcept {
  if (run.ended_scope != record.scope || run.ended_count == run_state::ends_max) {
    settle_ends(run);
    run.ended_scope = record.scope;
  }
  run.ended_count++;
  if (!record.entered) return;  // its record is blank again
  record.queue.next = run.ended != nullptr ? &run.ended->queue : nullptr;
  run.ended = &record;
}

// The end of one task; returns the task whose end waited for it. Scopes that were left with children hold it up.
task_record* finish_task(task_record& record) noexcept {
  if (record.contexts != nullptr && !record.entered) record.scope->enter(record);
  while (record.contexts != nullptr) {
    if (record.contexts->what == context::kind::locals) {
      drop_inherited_locals(record);
      continue;
    }
    LEVITY_ASSERT(record.contexts->what == context::kind::orphans, "a task ends with no deadline or shield open");
    scope_state& orphans = scope_state::from_orphans(*record.contexts);
    record.contexts = orphans.orphans.outer;
    orphans.lock.lock();
    orphans.leaver = &record;
    orphans.pins++;
    orphans.lock.unlock();
    if (!orphans.exec->retire(orphans)) return nullptr;  // the last of them, or who pinned the scope, comes back here
    orphans.end_left_behind();
  }
  if (this_run.exec != record.scope->exec) {
    record.queue.next = nullptr;
    return record.scope->children_ended(&record, 1);
  }
  note_end(this_run, record);
  return nullptr;
}

}  // namespace

void finish_tasks(task_record* next) noexcept {
  while (next != nullptr) next = finish_task(*next);
}

void settle_ends(run_state& run, task_record** joined) noexcept {
  while (scope_state* scope = std::exchange(run.ended_scope, nullptr)) {
    task_record* first = std::exchange(run.ended, nullptr);
    task_record* next = scope->children_ended(first, std::exchange(run.ended_count, 0), joined);
    finish_tasks(next);
  }
}

void end_task_slowly(run_state& run, task_record& record) noexcept {
  if (record.contexts == nullptr) return note_end(run, record);
  finish_tasks(&record);
}

}  // namespace detail

const wait_reason scope::join_awaiter::reason_{"join", &scope::join_awaiter::cancel_children, nullptr,
                                               &scope::join_awaiter::describe};

scope::scope(on_failure policy, const char* name, std::source_location opened_at) {
  detail::run_state& run = detail::current_run();
  LEVITY_ASSERT(run.current != nullptr, "a scope is opened inside a task; open it in a coroutine that lv::run started");
  state_ = detail::scope_state::create(*run.exec, run.current, static_cast<detail::failure_policy>(policy), name, opened_at);
}

scope::~scope() {
  using namespace detail;
  scope_state& state = *state_;
  if (state.is_untouched() || state.close()) {
    if (state.failure != nullptr) [[unlikely]] state.tell_failure();
    // One that is being looked at from outside is left to the task's end.
    if (state.exec->drain(state)) {
      scope_state::destroy(&state);
      return;
    }
  }
  task_record& owner = *state.owner;
  end_left_behind(owner);  // of a task that leaves one after the other, not all are kept until its end
  state.orphans.outer = owner.contexts;
  owner.contexts = &state.orphans;
  state.cancel(cancel_reason::abandoned);
}

scope::join_awaiter scope::join() noexcept { return join_awaiter{*state_}; }

void scope::cancel(cancel_reason reason) noexcept { state_->cancel(reason); }

std::size_t scope::size_approx() const noexcept {
  return static_cast<std::size_t>(state_->size_approx());
}

scope::join_awaiter::join_awaiter(detail::scope_state& state) noexcept : waiter{&reason_}, state_(state) {}

bool scope::join_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  detail::prepare_wait(record, frame, *this);
  LEVITY_ASSERT(state_.owner == &record, "a scope is joined by the task that opened it");
  state_.joiner = &record;
  if (state_.close()) {
    state_.joiner = nullptr;
    return false;
  }
  return detail::commit_wait(record);
}

bool scope::join_awaiter::cancel_children(detail::waiter& self, detail::task_record& record) noexcept {
  auto& join = static_cast<join_awaiter&>(self);
  join.state_.cancel(detail::effective_cancel(record));
  return false;
}

void scope::join_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  auto& state = static_cast<const join_awaiter&>(self).state_;
  const auto count = static_cast<unsigned long long>(state.size_approx());
  const char* const many = count == 1 ? "" : "s";
  if (state.name != nullptr) {
    std::snprintf(text, size, "%llu task%s of scope \"%s\"", count, many, state.name);
  } else {
    std::snprintf(text, size, "%llu task%s of the scope opened at %s:%u", count, many, detail::file_of(state.opened_at),
                  state.opened_at.line());
  }
}

// Every child has ended, and we have seen that under the lock or been woken for it: nobody else writes any more.
void scope::join_awaiter::await_resume() {
  if (state_.failure == nullptr) return;
  std::rethrow_exception(std::exchange(state_.failure, nullptr));
}

}  // namespace levity
