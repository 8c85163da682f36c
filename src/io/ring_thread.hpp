#pragma once

// ring_thread: one thread that owns an io_uring and never runs user code. Workers hand operations over and never submit
// themselves: what a thread submits completes on its account, and a stuck worker must strand nobody (docs/design/0005).
//
// Submitter                             Ring thread
//   push the operation (E75)              asleep = true
//   full fence (E76)                      full fence (E76)
//   asleep? then ring the doorbell        look at the inbox once more
//                                         submit and wait
//
// Whichever fence comes first, either the submitter sees `asleep`, or the ring thread sees the operation. The doorbell is an
// eventfd with a read armed on the ring. Operations that came together are submitted together.
//
// The thread ends when it was told to and nothing is in flight: a thread with operations in flight never exits.
//
// Edges
//   E75  push -> drain: the operation's fields. (Back, the result travels with wake(), E2.)
//   E76  fences, see above.

#include <cstdint>
#include <thread>

#include "levity/base/atomic.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "platform/ring.hpp"

namespace levity::inline v0::detail {

class ring_thread final : public file_backend {
public:
  ring_thread() = default;
  /// Waits for what is in flight.
  ~ring_thread();

  /// Starts the thread and its ring. The error says why the kernel refuses.
  io_result<void> start() noexcept;

  void submit(file_operation& operation) noexcept override;

  /// How often the thread went to sleep; for tests of idleness.
  [[nodiscard]] std::uint64_t sleeps_approx() const noexcept { return sleeps_.load(std::memory_order_relaxed); }

private:
  static constexpr unsigned entries = 256;

  void run(io_result<void>& started, atomic<std::uint32_t>& told) noexcept;
  void serve() noexcept;
  unsigned drain() noexcept;
  void queue(file_operation& operation) noexcept;
  void arm_bell() noexcept;
  void bell() noexcept;

  ring ring_;  // the thread's
  std::uint64_t bell_value_ = 0;
  int bell_fd_ = -1;
  std::uint64_t in_flight_ = 0;
  std::thread thread_;

  atomic<file_operation*> inbox_{nullptr};
  atomic<bool> asleep_{false};
  atomic<bool> stop_{false};
  atomic<std::uint64_t> sleeps_{0};
};

}  // namespace levity::detail
