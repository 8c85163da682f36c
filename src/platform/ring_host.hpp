#pragma once

// ring_host: a thread that owns an io_uring and never runs user code. What a thread submits completes on its account, and a
// stuck worker must strand nobody (docs/design/0005): so workers hand operations over and never submit themselves. What the
// operations are is the guest's business.
//
// Submitter                             Ring thread
//   push the operation (handoff, E75)     asleep = true
//   knock(): full fence (E76)             full fence (E76)
//   asleep? then ring the doorbell        look at what was handed over once more
//                                         submit and wait
//
// Whichever fence comes first, either the submitter sees `asleep`, or the ring thread sees the operation. The doorbell is an
// eventfd with a read armed on the ring. Operations that came together are submitted together.
//
// The thread ends when it was told to and the guest has nothing in flight: a thread with operations in flight never exits.
//
// Edges
//   E76  fences of submitter and ring thread, see above: one sees the other.
//   E77  the thread has started -> start(): what came of it.

#include <cstdint>

#include "base/system_thread.hpp"
#include "levity/base/atomic.hpp"
#include "platform/ring.hpp"

namespace levity::inline v0::detail {

/// What a ring thread serves. All functions are called on that thread.
class ring_guest {
public:
  /// The ring is open: registers what it needs. An error ends the thread, and start() returns it.
  virtual io_result<void> opened(ring&) noexcept { return {}; }
  /// Queues what was handed over; returns how many operations that were.
  virtual unsigned take(ring& on) noexcept = 0;
  /// Whether something was handed over and not taken.
  virtual bool has_more() const noexcept = 0;
  /// One completion. Its slot is given back after the batch; may queue further operations.
  virtual void completed(ring& on, const completion& what) noexcept = 0;
  /// A batch of completions is over.
  virtual void settled(ring&) noexcept {}
  /// When it wants its turn although nothing completes (kernel_now_ns() or earlier: at once).
  virtual std::int64_t due_ns() const noexcept { return ring::for_ever_ns; }
  /// It was told to end. True: nothing is in flight any more.
  virtual bool may_end(ring& on) noexcept = 0;
  /// The ring is closed.
  virtual void ended() noexcept {}

protected:
  ~ring_guest() = default;
};

class ring_host {
public:
  /// User data of the host's own; guests use others.
  static constexpr std::uint64_t bell_mark = 0;

  explicit ring_host(ring_guest& guest) noexcept : guest_(guest) {}
  ring_host(const ring_host&) = delete;
  ring_host& operator=(const ring_host&) = delete;
  ~ring_host();

  /// Starts the thread and its ring. The error says why the kernel refuses.
  io_result<void> start(unsigned entries) noexcept;
  /// Waits for what is in flight, and for the thread. The guest is still whole.
  void stop() noexcept;

  /// Something was handed over. Any thread.
  void knock() noexcept;

  /// How often the thread went to sleep; for tests of idleness.
  [[nodiscard]] std::uint64_t sleeps_approx() const noexcept { return sleeps_.load(std::memory_order_relaxed); }

private:
  void run(unsigned entries, io_result<void>& started, atomic<std::uint32_t>& told) noexcept;
  void serve() noexcept;
  void arm_bell() noexcept;
  void bell() noexcept;

  ring_guest& guest_;
  ring ring_;  // the thread's
  std::uint64_t bell_value_ = 0;
  int bell_fd_ = -1;
  system_thread thread_;

  atomic<bool> asleep_{false};
  atomic<bool> stop_{false};
  atomic<std::uint64_t> sleeps_{0};
};

/// Why an io_uring is refused: the errno's name, the usual cause and the remedy. Null for codes without a usual cause.
const char* cause_of_ring_refusal(int code) noexcept;

}  // namespace levity::detail
