#pragma once

// mutex: one owner at a time; waiting tasks park, threads do not.
//
// State of word_          moved by
//   free -> held          lock, try_lock                          any task
//   held -> free          unlock                                  the owner
//   held -> contended     a task that is about to queue           under the list's lock
//   contended -> held     hand-over to the last waiter            the owner, under the list's lock
//   contended -> free     unlock that finds the queue empty       the owner, under the list's lock
//
//   Tasks wait only while the word is contended, so an uncontended lock and unlock are one CAS each.
//
// Edges
//   E50  unlock -> lock: what one owner wrote is visible to the next. A hand-over to a waiter goes by E2 instead.
//
// Fairness: strictly first come, first served. unlock() hands the mutex to the longest waiter; nobody can slip in between, so a
// waiter waits for at most those before it. The price: a contended mutex changes tasks at each unlock.
//
// Rejected: letting a running task take the mutex past the queue (more throughput under contention, no bound on waiting).

#include <cstdint>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// Mutual exclusion among tasks: `auto held = co_await m.lock();`. Not recursive. Holding it across a co_await is what it
/// is for; for a few instructions without one an ordinary lock is enough.
///
/// First come, first served. A task that is cancelled while it waits, or before, gets `cancelled` thrown and leaves no trace.
/// Any thread may unlock. lock and unlock without contention cost about 15 ns, with it a task switch.
class mutex {
public:
  /// Owns the mutex until it is destroyed or unlock() is called. Empty when try_lock() failed.
  class [[nodiscard("the mutex is unlocked when the guard goes")]] guard {
  public:
    guard() noexcept = default;
    guard(guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    guard& operator=(guard&& other) noexcept {
      if (this != &other) {
        unlock();
        mutex_ = std::exchange(other.mutex_, nullptr);
      }
      return *this;
    }
    ~guard() { unlock(); }

    /// Whether it owns the mutex.
    [[nodiscard]] explicit operator bool() const noexcept { return mutex_ != nullptr; }
    /// The mutex that it owns; not for an empty one.
    [[nodiscard]] mutex& owned() const noexcept { return *mutex_; }
    /// Gives the mutex to the longest waiting task now; empty afterwards. Idempotent. Any thread.
    void unlock() noexcept {
      if (mutex* held = std::exchange(mutex_, nullptr)) held->unlock();
    }

  private:
    friend class mutex;
    explicit guard(mutex& held) noexcept : mutex_(&held) {}
    mutex* mutex_ = nullptr;
  };

  class lock_awaiter;

  mutex() = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  /// Nobody owns it or waits for it.
  ~mutex() = default;

  /// Waits until the mutex is ours. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the lock")]] lock_awaiter lock() noexcept;

  /// The guard, empty if somebody owns the mutex. Any thread.
  guard try_lock() noexcept;

  /// Tasks that wait now; racy by nature.
  [[nodiscard]] std::size_t waiters_approx() noexcept;

private:
  enum class state : std::uint8_t { free, held, contended };

  void unlock() noexcept {
    state expected = state::held;
    // E50 release.
    if (word_.compare_exchange_strong(expected, state::free, std::memory_order_release, std::memory_order_relaxed)) {
      return;
    }
    hand_over();
  }
  bool take(std::uint32_t task_id) noexcept {
    state expected = state::free;
    // E50 acquire.
    if (!word_.compare_exchange_strong(expected, state::held, std::memory_order_acquire, std::memory_order_relaxed)) {
      return false;
    }
    owner_.store(task_id, std::memory_order_relaxed);
    return true;
  }
  void hand_over() noexcept;

  atomic<state> word_{state::free};
  atomic<std::uint32_t> owner_{0};  // the task that locked it last; for people
  detail::wait_list list_;
};

class mutex::lock_awaiter : public detail::queued_wait {
public:
  explicit lock_awaiter(mutex& wanted) noexcept : queued_wait(reason_, wanted.list_), mutex_(wanted) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  lock_awaiter(lock_awaiter&& other) noexcept : lock_awaiter(other.mutex_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  guard await_resume() {
    throw_if_refused();
    return guard{mutex_};
  }

  /// One attempt, and parking if it fails. True: the wait is over. For the runtime.
  bool attempt(detail::task_record& record) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool settle(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  mutex& mutex_;
};

inline mutex::lock_awaiter mutex::lock() noexcept { return lock_awaiter{*this}; }

}  // namespace levity
