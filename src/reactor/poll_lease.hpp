#pragma once

// poll_lease: the right to poll one reactor. One word; whoever moves it from free to taken holds it.
//
// Why: readiness must not belong to a thread. Whoever holds the lease polls, so that a reactor can go on when the thread that
// polled it is stuck. Workers take the lease of their home reactor, and that of slot 0 those of the reactors whose slots rest; who
// waits in a reactor holds its slot, so whoever else has its lease is about to give it back. User code never runs while a lease
// is held, and nothing that may sleep is called under one but the wait itself.
//
// Not under the lease: the timer wheel, which has a lock of its own. A lease is held across the whole wait, and a task
// that leaves a deadline must get at its timer while another thread sleeps in that reactor.
//
// Edges
//   E6  release -> take   what one poller wrote to the reactor is visible to the next.

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

class lease_word {
public:
  bool try_take() noexcept {
    unsigned expected = 0;
    // E6 acquire.
    return word_.load(std::memory_order_relaxed) == 0 &&
           word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed);
  }

  /// For who alone waits in that reactor: others have it for a poll that does not wait.
  void take() noexcept {
    while (!try_take()) give_way();
  }

  void give_back() noexcept {
    word_.store(0, std::memory_order_release);  // E6 release.
  }

  [[nodiscard]] bool free_approx() const noexcept { return word_.load(std::memory_order_relaxed) == 0; }

private:
  atomic<unsigned> word_{0};
};

/// A held lease. Reactor functions that touch polling state take one by reference: without it they do not compile.
class poll_lease {
public:
  explicit poll_lease(lease_word& word) noexcept : word_(word.try_take() ? &word : nullptr) {}
  /// Takes it, see lease_word::take().
  static poll_lease for_wait(lease_word& word) noexcept {
    word.take();
    return poll_lease(&word);
  }
  poll_lease(const poll_lease&) = delete;
  poll_lease& operator=(const poll_lease&) = delete;
  ~poll_lease() {
    if (word_ != nullptr) word_->give_back();
  }

  [[nodiscard]] bool held() const noexcept { return word_ != nullptr; }

private:
  explicit poll_lease(lease_word* taken) noexcept : word_(taken) {}

  lease_word* word_;
};

}  // namespace levity::detail
