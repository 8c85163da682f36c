#pragma once

// channel_core: everything about a channel that does not depend on what it carries.
//
// What travels is a load, one word. A value that is trivially copied and fits is its own load. Any other value is moved into a
// parcel, a block of its own, before the lock is taken, and out of it after the lock was let go; its load is where the parcel is.
// Under the lock only words change hands, so the moves and destructors of values, which are user code, never run under it, and
// a sender that fails still has its parcel.
//
//   where a load is               who owns it
//   a waiter's `load`, to send    the sender's awaiter; taken under the lock by who receives or buffers it
//   the buffer                    the channel
//   a waiter's `load`, received   the receiver's awaiter
//
// Equations, whenever the lock is free (a waiter of a select that was decided elsewhere counts as gone)
//   count_ <= capacity_, and the buffer is count_ places of ring_, from first_ on; of an unbounded channel, whose loads are all
//     parcels, it is the list from oldest_ to newest_, through the parcels themselves: a send allocates before the lock is taken
//   receivers_ not empty  =>  buffer and senders_ empty
//   senders_ not empty    =>  count_ == capacity_
//   closed_ and no closer at work  =>  receivers_ and senders_ empty
//
// Those who wait on one side are in two queues, as what they are is linked in different places: tasks in a plain send or receive
// by their records, which costs their frames nothing, and cases of selects by links of their own. Tickets say who came first.
//
// Who comes first is served first: a send goes straight to the longest waiting receiver, a receive makes room for the longest
// waiting sender and moves its load into the buffer, and no newcomer passes a task that waits.
//
// status of a waiter      moved by
//   fresh -> waiting      its task, when it queues itself            under the lock
//   waiting -> done       who takes or brings a load; unlinks it   under the lock
//   waiting -> closed     close(); unlinks it                        under the lock
//   waiting -> cancelled  a canceller; unlinks it                    under the lock
//   fresh -> any but waiting   its task, without waiting
//
// A waiter that belongs to a select stands in several queues at once; before any of the moves by others its select must be
// claimed (select_word). A claim that fails means that the select was decided elsewhere: its waiter is dropped from the queue.
//
// state of a select_word   moved by
//   open -> a case         who serves that case: another channel operation (under that channel's lock), a closer, a timer
//   open -> cancelled      a canceller
//   It moves once. All of them race by compare-and-swap, so exactly one wins and wakes the task. Relaxed: what the winner wrote
//   reaches the task by its wake-up (E2), and what the task wrote before was published under the channel's lock (E1) or by
//   arming the timer. The word is alive as long as a case is linked, and the task unlinks every case, under its
//   channel's lock, and disarms every timer before its awaiter goes.
//
// A select looks at all its channels, and queues itself in all of them, with all their locks held, taken in the order of
// their addresses: nobody can find it half queued, so nobody ever has to claim two selects at once.
//
// An operation on a buffer that neither waits nor wakes is most of what a buffered channel does. It is tried first, in one call
// (send_at_once, receive_at_once), before anything that a wait needs is filled in.
//
// Rejected: a ring of values of any kind (moves under the lock, or slots that are reserved but not yet filled, with everybody
// behind them waiting for user code); parcels for small values too (blocks of a list: 10 ns more a value); a tentative claim
// with retries where two selects meet (spins on a task that was descheduled).

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/owner.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0 {

/// How a channel operation can end other than well.
enum class channel_error : std::uint8_t {
  closed,       ///< the channel was closed; for a receive: and nothing is left in it
  cancelled,    ///< the task was cancelled before anything changed hands
  timed_out,    ///< the same, by a deadline around it
  would_block,  ///< only from try_ operations: not now
};

/// The error in words. Never null.
std::string_view to_string(channel_error error) noexcept;

namespace detail {

using channel_load = std::uintptr_t;

/// What the parcels of an unbounded channel begin with.
struct channel_link {
  channel_link* next = nullptr;
};

struct unbounded_tag {};

enum class channel_status : std::uint8_t { fresh, waiting, done, closed, cancelled };

channel_error to_channel_error(channel_status status, cancel_reason why) noexcept;

class select_word {
public:
  static constexpr int open = -1;
  static constexpr int cancelled = -2;

  [[nodiscard]] bool claim(int winner) noexcept {
    int expected = open;
    return word_.compare_exchange_strong(expected, winner, std::memory_order_relaxed, std::memory_order_relaxed);
  }
  [[nodiscard]] int winner() const noexcept { return word_.load(std::memory_order_relaxed); }

private:
  atomic<int> word_{open};
};

/// What of an operation that waits the other side reads and writes. Guarded by the channel's lock while it is queued.
struct channel_party {
  channel_load load = 0;
  std::uint32_t ticket = 0;  // who came before whom, of those that wait now
  channel_status status = channel_status::fresh;
  cancel_reason why = cancel_reason::none;
};

/// A case of a select.
struct channel_case : list_link, channel_party {
  task_record* record = nullptr;
  select_word* select = nullptr;
  int number = 0;
};

/// Those who wait on one side of a channel.
struct channel_queue {
  link_list tasks;  // task_record::queue of tasks in a channel_operation
  link_list cases;  // channel_case

  [[nodiscard]] bool empty() const noexcept { return tasks.empty() && cases.empty(); }
};

class channel_operation;

class channel_core {
public:
  explicit channel_core(std::size_t capacity) : capacity_(capacity), ring_(capacity > 0 ? new channel_load[capacity] : nullptr) {}
  explicit channel_core(unbounded_tag) noexcept : capacity_(SIZE_MAX), linked_(true) {}
  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;
  ~channel_core();

  // Under the lock. `done`, `closed`, or `waiting` when the task must wait. A task in `woken` is woken after the lock is free.
  channel_status send(channel_load load, task_record*& woken) noexcept;
  channel_status receive(channel_load& load, task_record*& woken) noexcept;
  void enqueue(channel_operation& wait, task_record& record, bool sends) noexcept;
  void enqueue(channel_case& wait, bool sends) noexcept;
  std::uint64_t next_draw() noexcept { return draws_++; }

  // The whole of an operation of the running task that neither waits nor wakes, has budget and was not cancelled: what most
  // operations on a buffer are. False: nothing happened.
  bool send_at_once(channel_load load) noexcept;
  bool receive_at_once(channel_load& load) noexcept;

  // Any thread; they take the lock.
  channel_status try_send(channel_load load) noexcept;
  channel_status try_receive(channel_load& load) noexcept;
  void close() noexcept;
  [[nodiscard]] bool closed() noexcept;
  [[nodiscard]] std::size_t size() noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Takes who waits out of its queue. True: it was in it.
  bool withdraw(channel_operation& wait, task_record& record) noexcept;
  bool withdraw(channel_case& wait) noexcept;
  void check_invariants() noexcept;

  /// Takes a load that is left in the buffer, for its destruction. False: there is none. When nobody uses the channel any more.
  bool take_left(channel_load& load) noexcept;

  spin_lock lock;

private:
  static channel_party* first_of(channel_queue& queue, task_record*& record) noexcept;
  void buffer(channel_load load) noexcept;
  channel_load unbuffer() noexcept;

  const std::size_t capacity_;
  const bool linked_ = false;
  // Guarded by lock.
  owner<channel_load[]> ring_;
  std::size_t count_ = 0;
  std::size_t first_ = 0;
  channel_link* oldest_ = nullptr;
  channel_link* newest_ = nullptr;
  channel_queue senders_;
  channel_queue receivers_;
  std::uint64_t draws_ = 0;
  std::uint32_t tickets_ = 0;
  unsigned closers_ = 0;  // close() calls between two slices
  bool closed_ = false;
};

/// A plain send or receive.
class channel_operation : public waiter, protected channel_party {
public:
  channel_operation(const channel_operation&) = delete;
  channel_operation& operator=(const channel_operation&) = delete;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

  /// One attempt, and parking if it fails. True: the wait is over. For the runtime.
  bool attempt(task_record& task) noexcept;

protected:
  channel_operation(const wait_reason& why_it_waits, channel_core& core) noexcept : waiter{&why_it_waits}, core_(core) {}

  static const wait_reason send_reason;
  static const wait_reason receive_reason;
  static const wait_reason oneshot_reason;  // a receive, too

  channel_core& core_;

private:
  friend class channel_core;

  bool suspend(std::coroutine_handle<> frame, task_record& task) noexcept;
  static bool settle(waiter& self, task_record& task) noexcept;
  static bool take_back(waiter& self, task_record& task) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;
  static void describe_oneshot(const waiter& self, char* text, std::size_t size) noexcept;
};

static_assert(sizeof(channel_operation) <= 32, "a task that waits in a channel must stay light");

}  // namespace detail
}  // namespace levity
