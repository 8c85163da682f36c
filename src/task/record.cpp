#include "levity/task/detail/record.hpp"

#include <cstddef>

#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "task/lock_check.hpp"

namespace levity::inline v0::detail {

constinit thread_local run_state this_run [[gnu::tls_model("initial-exec")]];

run_state& current_run() noexcept {
  asm volatile("");  // keeps the call a call
  return this_run;
}

std::uint32_t coarse_now_ms() noexcept {
  return this_run.exec != nullptr ? this_run.coarse_ms : static_cast<std::uint32_t>(kernel_now_ns() / 1'000'000);
}

// No coroutine, so the thread's own state can be read directly; and never inlined into one.
[[gnu::noinline]] bool spend_budget() noexcept {
  run_state& run = this_run;
  if (run.exec == nullptr || --run.budget >= 0) [[likely]] return true;
  return run.exec->goes_on();
}

namespace {

using word_t = std::uint64_t;

constexpr word_t phase_of(word_t word) noexcept { return word & task_record::phase_mask; }

constexpr cancel_reason reason_of(word_t word) noexcept {
  return static_cast<cancel_reason>((word & task_record::reason_mask) >> task_record::reason_shift);
}

// The record is held and a cause was raised. True: its waiter was taken back, and this thread owns the wake-up.
bool take_back_waiter(task_record& record) noexcept {
  return effective_cancel(record) != cancel_reason::none && record.waits_on->reason->try_cancel(*record.waits_on, record);
}

// Whether any cause was raised, shields or not: the bit must outlast the shield that hides it.
bool has_cause(const task_record& record) noexcept {
  if (reason_of(record.word.load(std::memory_order_relaxed)) != cancel_reason::none) return true;
  for (const context* each = record.contexts; each != nullptr; each = each->outer) {
    if (each->what == context::kind::deadline && each->fired.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

// Lets go of a held record, looking again as often as somebody asked for it.
void let_go(task_record& record, bool taken_back) noexcept {
  word_t seen = record.word.load(std::memory_order_relaxed);
  for (;;) {
    if ((seen & task_record::recheck_bit) != 0) {
      // E5 acquire: the cause that came with the bit.
      record.word.fetch_and(~task_record::recheck_bit, std::memory_order_acquire);
      taken_back = taken_back || take_back_waiter(record);
      seen = record.word.load(std::memory_order_relaxed);
      continue;
    }
    // E4 release: our look at the waiter is over. E2 acquire, release: we may carry a wake-up on.
    if (record.word.compare_exchange_weak(seen, seen & ~task_record::held_bit, std::memory_order_acq_rel,
                                          std::memory_order_relaxed)) {
      break;
    }
  }
  if (taken_back) {
    wake(record);
  } else if (phase_of(seen) == task_record::running) {
    record.scope->exec->schedule(record);  // it was woken while we held it
  }
}

// Somebody raised a cause. True: the task is parked, and held now. Else it looks before it parks, or its holder looks again.
bool hold_to_interrupt(task_record& record) noexcept {
  word_t seen = record.word.load(std::memory_order_relaxed);
  for (;;) {
    if (phase_of(seen) != task_record::parked) return false;
    const bool free = (seen & task_record::held_bit) == 0;
    const word_t wanted = seen | (free ? task_record::held_bit : task_record::recheck_bit);
    // E3, E4, E5 acquire: the waiter as the task and the last holder left it. The cause was released with its own bit, and comes
    // with the recheck bit, too: what changes the word after that goes on from it.
    if (record.word.compare_exchange_weak(seen, wanted, std::memory_order_acquire, std::memory_order_relaxed)) {
      return free;
    }
  }
}

}  // namespace

task_record& task_record::from_queue(list_link& link) noexcept {
  return *reinterpret_cast<task_record*>(reinterpret_cast<char*>(&link) - offsetof(task_record, queue));
}

task_record& task_record::from_sibling(list_link& link) noexcept {
  return *reinterpret_cast<task_record*>(reinterpret_cast<char*>(&link) - offsetof(task_record, sibling));
}

cancel_reason effective_cancel(const task_record& record) noexcept {
  cancel_reason found = cancel_reason::none;
  for (const context* each = record.contexts; each != nullptr; each = each->outer) {
    if (each->what == context::kind::shield) return found;
    if (each->what == context::kind::deadline && each->fired.load(std::memory_order_relaxed)) {
      found = cancel_reason::deadline;
    }
  }
  const cancel_reason own = reason_of(record.word.load(std::memory_order_relaxed));
  return own != cancel_reason::none ? own : found;
}

void ask_scope(task_record& record) noexcept {
  const cancel_reason why = record.scope->cancelled.load(std::memory_order_acquire);  // E5 acquire.
  if (why == cancel_reason::none || was_cancelled(record)) return;
  record.word.fetch_or(task_record::cancel_bit | static_cast<word_t>(why) << task_record::reason_shift,
                       std::memory_order_relaxed);
}

void prepare_wait(task_record& record, std::coroutine_handle<> leaf, waiter& on) noexcept {
  note_wait(record, leaf, on.reason->name);
  record.leaf = leaf;
  record.waits_on = &on;
  record.since_ms = coarse_now_ms() & 0x7fff'ffffu;
}

bool commit_wait(task_record& record) noexcept {
  // Here, not in prepare_wait(): that is called under the locks of what is waited for.
  if (!record.entered) [[unlikely]] record.scope->enter(record);
  word_t seen = record.word.load(std::memory_order_relaxed);
  bool asked = false;
  for (;;) {
    if (phase_of(seen) == task_record::notified) {
      // E2 acquire. Only we leave this phase, so a plain subtraction is right.
      record.word.fetch_sub(task_record::phase_one, std::memory_order_acquire);
      return false;
    }
    if ((seen & task_record::raised_bit) != 0 || ((seen & task_record::cancel_bit) != 0 && !asked)) {
      asked = true;
      // E5 acquire: the cause that came with the bit. One that comes later sets it again, and the exchange below fails.
      record.word.fetch_and(~task_record::raised_bit, std::memory_order_acquire);
      if (take_back_waiter(record)) return false;
      seen = record.word.load(std::memory_order_relaxed);
      continue;
    }
    // E3 release.
    if (record.word.compare_exchange_weak(seen, seen - task_record::phase_one, std::memory_order_release,
                                          std::memory_order_relaxed)) {
      return true;
    }
  }
}

bool wake_deferred(task_record& record) noexcept {
  // E2 release: what we wrote. E3, E4 acquire: we may hand the task to a worker, and whoever held it is done.
  const word_t before = record.word.fetch_add(task_record::phase_one, std::memory_order_acq_rel);
  return phase_of(before) == task_record::parked && (before & task_record::held_bit) == 0;
}

void wake(task_record& record) noexcept {
  if (wake_deferred(record)) record.scope->exec->schedule(record);
}

bool cancel_and_hold(task_record& record, cancel_reason reason) noexcept {
  word_t seen = record.word.load(std::memory_order_relaxed);
  for (;;) {
    word_t wanted = seen | task_record::cancel_bit | task_record::raised_bit;
    if (reason_of(seen) == cancel_reason::none) wanted |= static_cast<word_t>(reason) << task_record::reason_shift;
    // E5 release.
    if (record.word.compare_exchange_weak(seen, wanted, std::memory_order_release, std::memory_order_relaxed)) break;
  }
  return hold_to_interrupt(record);
}

void interrupt_held(task_record& record) noexcept { let_go(record, take_back_waiter(record)); }

bool was_cancelled(const task_record& record) noexcept {
  return reason_of(record.word.load(std::memory_order_relaxed)) != cancel_reason::none;
}

void raise_cause(task_record& record) noexcept {
  record.word.fetch_or(task_record::cancel_bit | task_record::raised_bit, std::memory_order_release);  // E5 release.
  if (hold_to_interrupt(record)) interrupt_held(record);
}

void settle_causes(task_record& record) noexcept {
  if ((record.word.load(std::memory_order_relaxed) & task_record::cancel_bit) == 0) return;
  // E5 acquire: a cause raised before this is seen below, one raised after sets the bit again.
  record.word.fetch_and(~task_record::cancel_bit, std::memory_order_acquire);
  if (has_cause(record)) record.word.fetch_or(task_record::cancel_bit, std::memory_order_relaxed);
}

bool try_hold(task_record& record) noexcept {
  word_t seen = record.word.load(std::memory_order_relaxed);
  while (phase_of(seen) == task_record::parked && (seen & task_record::held_bit) == 0) {
    // E3, E4 acquire.
    if (record.word.compare_exchange_weak(seen, seen | task_record::held_bit, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void release_hold(task_record& record) noexcept { let_go(record, false); }

}  // namespace levity::detail
