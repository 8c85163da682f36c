#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

// What a watch is without its value.
class watch_core {
public:
  class change_awaiter;

  /// Takes the lock; publish() lets go of it and wakes whoever waits for a change.
  void begin() noexcept { list_.lock.lock(); }
  void end() noexcept { list_.lock.unlock(); }
  /// A new version is in place, or there will be none any more. The lock is held on entry and free on return.
  void publish(bool last) noexcept;

  // Under the lock.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }

private:
  // Guarded by list_.lock.
  std::uint64_t version_ = 0;
  bool closed_ = false;
  link_list leaving_;  // those that waited for the version that has come
  wait_list list_;
};

class watch_core::change_awaiter : public queued_wait {
public:
  change_awaiter(watch_core& on, std::uint64_t seen) noexcept : queued_wait(reason_, on.list_), watch_(on), seen_(seen) {}
  change_awaiter(change_awaiter&& other) noexcept : change_awaiter(other.watch_, other.seen_) {}

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

  void await_resume() const { throw_if_refused(); }

  bool attempt(task_record& record) noexcept;

protected:
  // For what follows versions and waits under a name of its own.
  change_awaiter(watch_core& on, std::uint64_t seen, const wait_reason& why) noexcept
      : queued_wait(why, on.list_), watch_(on), seen_(seen) {}
  static bool settle(waiter& self, task_record& record) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  static const wait_reason reason_;

  watch_core& watch_;
  std::uint64_t seen_;
};

}  // namespace detail

/// A value that changes and that many tasks follow: a configuration, a list of addresses, "shall we end?". It keeps the newest
/// version only: a slow follower misses versions, never the last one.
///
/// get() and set() from any thread; both cost a pointer, and the value is never copied: readers share it. set() wakes every task
/// that waits, O(waiting tasks). Values are destroyed by whoever drops them last.
/// Order: all followers are let go together; which of them runs first is not promised.
template <class T>
class watch {
public:
  /// One version of the value.
  struct state {
    std::shared_ptr<const T> value;  ///< never null
    std::uint64_t version = 0;       ///< goes up with each set()
    bool closed = false;             ///< no further version will come
  };

  /// With a first version, number 0. Throws std::bad_alloc.
  explicit watch(T first) : value_(std::make_shared<const T>(std::move(first))) {}
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;
  /// Nobody waits for it.
  ~watch() = default;

  /// The newest version. Any thread; a lock for a few instructions and a shared count.
  [[nodiscard]] state get() const {
    core_.begin();
    state now{value_, core_.version(), core_.closed()};
    core_.end();
    return now;
  }

  /// The newest version, as soon as there is a newer one than `seen`, or the watch is closed. Throws `cancelled` on cancellation.
  task<state> changed(std::uint64_t seen) {
    co_await detail::watch_core::change_awaiter{core_, seen};
    co_return get();
  }

  /// False: the watch is closed.
  bool set(T next) {
    auto fresh = std::make_shared<const T>(std::move(next));
    core_.begin();
    if (core_.closed()) {
      core_.end();
      return false;
    }
    value_.swap(fresh);  // the old one goes when the lock is free
    core_.publish(false);
    return true;
  }

  /// No further version will come: who waits is let go. Idempotent.
  void close() noexcept {
    core_.begin();
    core_.publish(true);
  }

private:
  mutable detail::watch_core core_;
  std::shared_ptr<const T> value_;  // guarded by the core's lock
};

}  // namespace levity
