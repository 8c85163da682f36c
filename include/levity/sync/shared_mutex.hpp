#pragma once

#include <cstdint>
#include <utility>

#include "levity/sync/semaphore.hpp"

namespace levity::inline v0 {

/// One writer or many readers at a time: `auto held = co_await m.lock();`, `auto seen = co_await m.lock_shared();`. Not
/// recursive; a reader cannot become the writer.
///
/// First come, first served: a writer that waits holds back the readers behind it, so neither side starves, and readers next to
/// each other go in together. A task that is cancelled while it waits, or before, gets `cancelled` thrown and leaves no
/// trace. Any thread may unlock. About 25 ns without waiting; readers share one lock word, so for data that is read far more often
/// than written a copy behind a pointer (levity::watch) scales better.
class shared_mutex {
  // A semaphore says it all: a reader takes one permit, a writer all of them.
  static constexpr std::uint64_t whole = std::uint64_t{1} << 32;

  template <std::uint64_t Permits>
  class basic_guard {
  public:
    basic_guard() noexcept = default;
    basic_guard(basic_guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    basic_guard& operator=(basic_guard&& other) noexcept {
      if (this != &other) {
        unlock();
        mutex_ = std::exchange(other.mutex_, nullptr);
      }
      return *this;
    }
    ~basic_guard() { unlock(); }

    [[nodiscard]] explicit operator bool() const noexcept { return mutex_ != nullptr; }
    void unlock() noexcept {
      if (shared_mutex* held = std::exchange(mutex_, nullptr)) held->turns_.release(Permits);
    }

  private:
    friend class shared_mutex;
    explicit basic_guard(shared_mutex& held) noexcept : mutex_(&held) {}
    shared_mutex* mutex_ = nullptr;
  };

  class awaiter_base : public semaphore::acquire_awaiter {
  protected:
    awaiter_base(shared_mutex& wanted, std::uint64_t permits, const wait_reason& why) noexcept
        : acquire_awaiter(wanted.turns_, permits, why), mutex_(wanted) {}
    static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
    static const wait_reason write_reason;
    static const wait_reason read_reason;

    shared_mutex& mutex_;
  };

  template <std::uint64_t Permits>
  class lock_awaiter : public awaiter_base {
  public:
    explicit lock_awaiter(shared_mutex& wanted) noexcept
        : awaiter_base(wanted, Permits, Permits == whole ? write_reason : read_reason) {}
    // Before it is awaited: GCC moves what await_transform passes through.
    lock_awaiter(lock_awaiter&& other) noexcept : lock_awaiter(other.mutex_) {}

    basic_guard<Permits> await_resume() {
      throw_if_refused();
      return basic_guard<Permits>{mutex_};
    }
  };

public:
  /// Owns the mutex alone until it is destroyed or unlock() is called. Empty when a try failed.
  using guard = basic_guard<whole>;
  /// The same beside other readers.
  using shared_guard = basic_guard<1>;

  shared_mutex() noexcept : turns_(whole) {}
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;
  /// Nobody owns it or waits for it.
  ~shared_mutex() = default;

  /// Waits until nobody else is in. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the lock")]] lock_awaiter<whole> lock() noexcept { return lock_awaiter<whole>{*this}; }
  /// Waits until no writer is in or waits before us. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the lock")]] lock_awaiter<1> lock_shared() noexcept { return lock_awaiter<1>{*this}; }

  /// The guard, empty if somebody is in the way or waits. Any thread.
  [[nodiscard]] guard try_lock() noexcept { return turns_.try_acquire(whole) ? guard{*this} : guard{}; }
  /// The same for a reader: empty if a writer is in, or somebody waits. Any thread.
  [[nodiscard]] shared_guard try_lock_shared() noexcept { return turns_.try_acquire(1) ? shared_guard{*this} : shared_guard{}; }

private:
  semaphore turns_;
};

}  // namespace levity
