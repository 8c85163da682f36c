#pragma once

// task_record: what the runtime knows of one task. Everything that wakes, cancels, lists or explains a task goes through
// its record; the coroutine frames hang below it.
//
// Until it first waits, nobody but the thread that runs it knows its record; then it is entered in its scope (scope_state.hpp).
//
// A record has at most one leaf: the innermost coroutine, which is either running or suspended on one waiter. The right to
// resume it passes from hand to hand through `word`:
//
//   phase        meaning                                           moved by
//   running      a worker runs it, or it is queued to be run
//   notified     it runs, and its wake-up is already there         wake(): running -> notified
//   parked       it waits; whoever wakes it owns it                commit_wait(): running -> parked
//
//   wake() adds one to the phase, commit_wait() takes one away (parked is -1): a semaphore of one, so that a wake-up that
//   comes between publishing the waiter and parking is never lost, and a resumption needs no further write.
//
//   held         while parked: a canceller or an inspector reads the waiter; a wake-up that comes meanwhile is carried out
//                by the holder when it lets go. The waiter, and what it points to, stand still until then.
//   recheck      somebody raised a cause while the record was held; the holder looks again
//   cancel       there is a cause; which one, and whether it counts behind a shield, effective_cancel() says
//   raised       a cause came since the task last looked: every raise changes the word, so no park passes one by
//   reason       the record's own cancel reason (0: none)
//
// The order of a wait: prepare_wait() (fills leaf, waiter), publish the waiter to its source, commit_wait(). The source wakes
// a published waiter exactly once; taking it back (try_cancel) and waking it exclude each other inside the source.
// After commit_wait() returned true the task may already run elsewhere: neither frame nor record may be touched.
//
// Edges
//   E2  wake() -> commit_wait() that finds `notified`, or the resumption: what the waker wrote is visible to the task.
//   E3  commit_wait() -> wake() and hold: what the task wrote before it parked (leaf, waiter, its whole frame) is visible to
//       whoever resumes or inspects it.
//   E4  release of a hold -> the next wake or hold: the holder's reads and writes of the waiter are over.
//   E5  raising a cause -> effective_cancel(): once the cancel bit is seen, so are a deadline's mark and what was written before
//       the cancellation. A task that has never waited sees it by its scope's `cancelled` instead.
//
// Rejected: a waker count in the awaiter (every primitive needs its own protocol then, and cancellation another);
// a lock per record (a lock and an unlock for each hop, 10 ns more).

#include <coroutine>
#include <cstdint>
#include <source_location>

#include "levity/base/atomic.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/wait_reason.hpp"

namespace levity::inline v0::detail {

struct scope_state;
struct context;

/// Base of whatever a suspended leaf waits with; lives in the awaiter, inside the frame.
struct waiter {
  const wait_reason* reason;
};

struct task_record {
  static constexpr std::uint64_t phase_one = std::uint64_t{1} << 62;
  static constexpr std::uint64_t phase_mask = std::uint64_t{3} << 62;
  static constexpr std::uint64_t running = 0;
  static constexpr std::uint64_t notified = phase_one;
  static constexpr std::uint64_t parked = phase_mask;
  static constexpr std::uint64_t held_bit = 1;
  static constexpr std::uint64_t recheck_bit = 2;
  static constexpr std::uint64_t cancel_bit = 4;
  static constexpr std::uint64_t raised_bit = 8;
  static constexpr int reason_shift = 8;
  static constexpr std::uint64_t reason_mask = std::uint64_t{0xff} << reason_shift;

  atomic<std::uint64_t> word{running};  // shared; see above

  // Written by the task while it runs; read by who resumes or holds it.
  std::coroutine_handle<> leaf;
  waiter* waits_on = nullptr;
  context* contexts = nullptr;  // innermost first
  list_link queue;              // the one queue a waiting or ready task is in: owned by that queue
  std::uint32_t since_ms : 31 = 0;  // when it parked, in ms of its executor's clock; wraps after 24 days
  std::uint32_t entered : 1 = 0;    // in its scope's list; beside since_ms, for nobody else reads that before the task parks

  // Constant from spawn to end.
  std::uint32_t id = 0;
  const char* name = nullptr;
  std::source_location site;
  scope_state* scope = nullptr;

  list_link sibling;  // guarded by scope->lock; linked from the first wait on

  static task_record& from_queue(list_link& link) noexcept;
  static task_record& from_sibling(list_link& link) noexcept;
};

static_assert(sizeof(task_record) <= 112, "a parked task must stay light");

/// One layer of context around a part of a task: a deadline, a shield, a scope that was left with children, a pin, values that
/// are bound; around the whole of it: values that it has inherited.
struct context {
  enum class kind : std::uint8_t { deadline, shield, orphans, pin, locals };

  context* outer = nullptr;
  kind what;
  atomic<bool> fired{false};  // deadline: it passed (E5)

  explicit context(kind k) noexcept : what(k) {}
};

/// The cause that counts for the task right now, looking outward up to the first shield; none if it may go on.
/// Only for the running task itself or who holds the record, and has the cause (E5): after pending_cancel(), or while it waits.
cancel_reason effective_cancel(const task_record& record) noexcept;

/// Takes over the cause that the scope of a task that has never waited was cancelled for. For the running task itself.
void ask_scope(task_record& record) noexcept;

/// What effective_cancel() says, at the cost of one load when nothing was raised. For the running task itself.
inline cancel_reason pending_cancel(task_record& record) noexcept {
  if (!record.entered) ask_scope(record);
  if ((record.word.load(std::memory_order_relaxed) & task_record::cancel_bit) == 0) [[likely]] return cancel_reason::none;
  static_cast<void>(record.word.load(std::memory_order_acquire));  // E5 acquire: the cause that the bit tells of.
  return effective_cancel(record);
}

/// Makes the record ready to park on `on`. Before publishing.
void prepare_wait(task_record& record, std::coroutine_handle<> leaf, waiter& on) noexcept;

/// Parks. True: the task is parked and may already run elsewhere. False: it goes on at once (it was woken meanwhile, or a
/// pending cause took its waiter back).
[[nodiscard]] bool commit_wait(task_record& record) noexcept;

/// Wakes a task whose waiter was published and not taken back; exactly once a wait. Any thread.
void wake(task_record& record) noexcept;

/// As wake(), but leaves it to the caller to queue it: true when the caller must schedule the record.
[[nodiscard]] bool wake_deferred(task_record& record) noexcept;

/// Raises `reason` on the whole record. True: it waits and is held now; interrupt_held() must follow. False: it is running
/// and will see the reason. The caller guarantees that the record lives. Any thread.
[[nodiscard]] bool cancel_and_hold(task_record& record, cancel_reason reason) noexcept;

/// Takes a held record out of its wait if a cause counts for it, and lets go.
void interrupt_held(task_record& record) noexcept;

/// Whether the task itself was cancelled, not only a part of it by a deadline.
[[nodiscard]] bool was_cancelled(const task_record& record) noexcept;

/// Tells the record that a cause was raised in one of its contexts. The caller guarantees that the record lives. Any thread.
void raise_cause(task_record& record) noexcept;

/// After leaving a context whose cause was raised: does any remain, be it behind a shield?
void settle_causes(task_record& record) noexcept;

/// Holds a parked record still. False: it is not parked, or somebody else holds it. Any thread; let go soon.
[[nodiscard]] bool try_hold(task_record& record) noexcept;
void release_hold(task_record& record) noexcept;

}  // namespace levity::detail
