#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// A number of permits. `auto held = co_await places.take(n)` takes n of them until `held` goes, however it goes. `co_await
/// acquire(n)` takes n and leaves it to the caller to release(n), which may also make new ones: for those that are given back
/// elsewhere than they were taken.
///
/// First come, first served: a task that wants many permits holds back those behind it that want few, so it is never
/// starved, and try_acquire() and try_take() never pass a waiting task. When the first in the queue is cancelled, those behind it
/// get what it held back. An acquire that is cancelled took no permit. About 20 ns without waiting; waiting parks the task.
/// release, try_acquire, try_take: any thread.
class semaphore {
public:
  class acquire_awaiter;
  class take_awaiter;

  /// Permits that were taken, given back when it goes. Empty when try_take() got none. The semaphore outlives it.
  class [[nodiscard("the permits are given back when it goes")]] permit {
  public:
    permit() noexcept = default;
    permit(permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)), count_(other.count_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        release();
        from_ = std::exchange(other.from_, nullptr);
        count_ = other.count_;
      }
      return *this;
    }
    ~permit() { release(); }

    /// Whether it holds any.
    [[nodiscard]] explicit operator bool() const noexcept { return from_ != nullptr; }
    /// How many it holds.
    [[nodiscard]] std::uint64_t count() const noexcept { return from_ == nullptr ? 0 : count_; }
    /// Gives them back now, as semaphore::release() does; empty afterwards. Idempotent. Any thread.
    void release() noexcept {
      if (semaphore* const from = std::exchange(from_, nullptr)) from->release(count_);
    }

  private:
    friend class semaphore;
    permit(semaphore& from, std::uint64_t count) noexcept : from_(&from), count_(count) {}
    semaphore* from_ = nullptr;
    std::uint64_t count_ = 0;
  };

  /// With `permits` free ones; release() may make more.
  explicit semaphore(std::uint64_t permits) noexcept : permits_(permits) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  /// Nobody waits for it.
  ~semaphore() = default;

  /// Waits until `permits` are free and nobody waits before us, and takes them. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the acquire")]] acquire_awaiter acquire(std::uint64_t permits = 1) noexcept;

  /// The same, and `co_await take(n)` gives a permit, which gives them back.
  [[nodiscard("co_await the permit")]] take_awaiter take(std::uint64_t permits = 1) noexcept;

  /// The permit; empty: fewer are free, or tasks wait for them.
  permit try_take(std::uint64_t permits = 1) noexcept {
    return try_acquire(permits) ? permit{*this, permits} : permit{};
  }

  /// False: fewer are free, or tasks wait for them.
  [[nodiscard]] bool try_acquire(std::uint64_t permits = 1) noexcept;

  /// Adds permits and hands them to the tasks that wait, in their order. O(tasks served).
  void release(std::uint64_t permits = 1) noexcept;

  /// Permits that are free now; racy by nature.
  [[nodiscard]] std::uint64_t available_approx() noexcept;

private:
  void serve() noexcept;

  std::uint64_t permits_;  // guarded by list_.lock
  detail::wait_list list_;
};

class semaphore::acquire_awaiter : public detail::queued_wait {
public:
  acquire_awaiter(semaphore& from, std::uint64_t permits) noexcept
      : queued_wait(reason_, from.list_), from_(from), permits_(permits) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  acquire_awaiter(acquire_awaiter&& other) noexcept : acquire_awaiter(other.from_, other.permits_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const { throw_if_refused(); }

  /// One attempt, and parking if it fails. True: the wait is over. For the runtime.
  bool attempt(detail::task_record& record) noexcept;

protected:
  // For what is made of a semaphore and waits under a name of its own.
  acquire_awaiter(semaphore& from, std::uint64_t permits, const wait_reason& why) noexcept
      : queued_wait(why, from.list_), from_(from), permits_(permits) {}
  static bool settle(detail::waiter& self, detail::task_record& record) noexcept;
  static bool leave(detail::waiter& self, detail::task_record& record) noexcept;

private:
  friend class semaphore;
  friend class take_awaiter;
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  semaphore& from_;
  std::uint64_t permits_;
};

class semaphore::take_awaiter : public acquire_awaiter {
public:
  take_awaiter(semaphore& from, std::uint64_t permits) noexcept : acquire_awaiter(from, permits) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  take_awaiter(take_awaiter&& other) noexcept : acquire_awaiter(std::move(other)) {}

  permit await_resume() const {
    throw_if_refused();
    return permit{from_, permits_};
  }
};

inline semaphore::take_awaiter semaphore::take(std::uint64_t permits) noexcept { return {*this, permits}; }
inline semaphore::acquire_awaiter semaphore::acquire(std::uint64_t permits) noexcept { return {*this, permits}; }

}  // namespace levity
