#pragma once

// exchange_queue: the commands of one trunk, from the tasks that give them to the connection that carries them, and the replies
// back.
//
// An exchange is a command and the reply that its task waits for. It belongs to its task and to the queue, and outlives whichever
// leaves first: a server answers every command in order, so of one whose caller has gone the reply must still be counted off.
//
//   stage              in               moved by
//   queued -> taken    queued_ -> none  take()       the writer, which copies the bytes after that, without the lock
//   taken              none -> sent_    mark_sent()  the writer, before it writes: no reply can come earlier
//   taken -> over      sent_ -> none    answer()     the reader, the oldest one; or fail_sent(): the connection has ended
//   taken -> queued    sent_ -> queued_ fail_sent(), where it may be repeated
//   queued -> over     queued_ -> none  refuse(), close(): there is no server
//   queued -> gone     queued_ -> none  leave()      its task: it was never sent
//   taken, `left`      stays            leave()      its task: whoever takes it out of sent_ destroys it
//
//   Who leaves and who answers exclude each other under the lock, so each exchange is destroyed once, and no reply goes to anyone
//   but the task whose command stands first in sent_. That is all there is to replies in order: nothing is matched, nothing can
//   shift.
//
//   in flight = queued + taken + those in sent_ = what `room` has given out, by weight; a caller that leaves gives nothing back
//   before its reply has come, so that a storm of cancellations cannot put more on a connection than it may carry.
//
// Memory: everything is under one spin_lock (E1), or passes from a waker to whom it wakes (E2). No edge of its own.
//
// Rejected: numbers on commands (the protocol has none); a channel of commands (a caller that leaves must find its own in the
// middle); a connection closed whenever a caller leaves (one timeout would fail a hundred others).

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/value.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::redis::detail {

struct exchange : levity::detail::list_link {
  enum class stage : std::uint8_t { queued, taken, over };

  exchange(request command, std::uint32_t weighs, unsigned may_repeat, bool without_end)
      : what(std::move(command)), weight(weighs), repeats(may_repeat), is_endless(without_end) {}

  static void* operator new(std::size_t bytes) { return levity::detail::frame_allocate(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { levity::detail::frame_free(block, bytes); }

  request what;
  result<value> outcome{};
  levity::detail::task_record* waiter = nullptr;
  std::uint32_t weight;
  unsigned repeats;
  stage at = stage::queued;
  bool left = false;
  bool was_sent = false;  // on a connection before, and is queued again
  bool is_endless;  // its caller set no deadline: it may take its time
};

class exchange_queue {
public:
  explicit exchange_queue(unsigned in_flight_max) : room(in_flight_max), in_flight_max_(in_flight_max) {}
  exchange_queue(const exchange_queue&) = delete;
  exchange_queue& operator=(const exchange_queue&) = delete;
  ~exchange_queue();

  /// What a command takes of `room`; a very large one takes all of it, and goes alone.
  [[nodiscard]] std::uint32_t weight_of(const request& what) const noexcept;

  // Callers. Any task.

  class reply_wait;
  /// The task of `one` does not wait any more. Its reply if it is there, else why not. Destroys `one`, or leaves that to the queue.
  result<value> leave(exchange& one, cancel_reason why);
  /// A command that nobody waits for, such as a PING. It takes no room.
  void push_unattended(exchange& one) noexcept;

  // The connection. One task each.

  class work_wait;
  static constexpr std::size_t slice_max = 64;
  /// The oldest commands, until there are slice_max of them or bytes_max bytes; at least one if one is queued. By the writer.
  std::size_t take(std::span<exchange*, slice_max> into, std::size_t bytes_max) noexcept;
  /// They may be answered from here on, in this order. By the writer; also of a slice that was not written, before fail_sent().
  void mark_sent(std::span<exchange* const> slice) noexcept;
  /// Gives `reply` to the oldest command that was sent. False: none was. By the reader.
  [[nodiscard]] bool answer(value reply) noexcept;
  /// The connection has ended: what was sent fails with `why`, or goes back to the front of the queue. After writer and reader.
  void fail_sent(const error& why);
  /// The server cannot be reached: what is queued fails, unless it `waits`, and so does what comes, until accept().
  void refuse(const error& why, bool waits);
  /// Commands wait for a connection.
  void accept() noexcept;
  /// All fail, now and from here on. Idempotent.
  void close(const error& why);

  /// What the watch of a connection looks at.
  struct look {
    std::uint64_t answered;  // so far
    bool owes;               // a reply
    bool is_endless;         // and the oldest command may take its time
  };
  [[nodiscard]] look look_at() noexcept;
  [[nodiscard]] std::size_t unanswered_approx() noexcept;
  /// Once true, then false: who is first starts the tasks of the trunk.
  [[nodiscard]] bool is_first() noexcept;
  /// It could not.
  void nobody_was_first() noexcept;

  semaphore room;  // by weight

private:
  // Links `one` up to be sent. False: it has failed at once. Wakes the writer.
  bool enter(exchange& one) noexcept;
  void finish(exchange& one, result<value>&& outcome) noexcept;

  const unsigned in_flight_max_;
  levity::detail::spin_lock lock_;  // all below
  levity::detail::link_list queued_;
  levity::detail::link_list sent_;
  std::size_t unanswered_ = 0;                       // in sent_
  std::uint64_t answered_ = 0;
  levity::detail::task_record* worker_ = nullptr;    // who waits for something to do
  std::shared_ptr<const error> refusal_;             // not null: what comes fails with it at once
  bool closed_ = false;
  bool started_ = false;
};

/// Sends the exchange's command and waits until it is over; tells the reason that ended the wait early, none otherwise. After that
/// leave() is to be called, in either case.
class exchange_queue::reply_wait : levity::detail::waiter {
public:
  reply_wait(exchange_queue& on, exchange& one) noexcept : waiter{&reason_}, queue_(on), one_(one) {}
  bool await_ready() const noexcept { return false; }
  template <levity::detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame);
  }
  cancel_reason await_resume() const noexcept { return why_; }

private:
  bool suspend(std::coroutine_handle<> frame) noexcept;
  static bool take_back(levity::detail::waiter& self, levity::detail::task_record& record) noexcept;
  static void describe(const levity::detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  exchange_queue& queue_;
  exchange& one_;
  cancel_reason why_ = cancel_reason::none;
};

/// Waits until a command is queued; tells the reason that ended the wait early, none otherwise.
class exchange_queue::work_wait : levity::detail::waiter {
public:
  explicit work_wait(exchange_queue& on) noexcept : waiter{&reason_}, queue_(on) {}
  bool await_ready() const noexcept { return false; }
  template <levity::detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame);
  }
  cancel_reason await_resume() const noexcept { return why_; }

private:
  bool suspend(std::coroutine_handle<> frame) noexcept;
  static bool take_back(levity::detail::waiter& self, levity::detail::task_record& record) noexcept;
  static const wait_reason reason_;

  exchange_queue& queue_;
  cancel_reason why_ = cancel_reason::none;
};

}  // namespace levity::redis::detail
