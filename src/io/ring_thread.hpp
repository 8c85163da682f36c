#pragma once

// ring_thread: carries file operations out on a ring thread (platform/ring_host.hpp has the way there and its edges). The way
// back, the result, travels with wake(), E2.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "platform/handoff.hpp"
#include "platform/ring_host.hpp"

namespace levity::inline v0::detail {

/// Fills an entry in for an operation; its user data is the operation's address.
void fill_entry(io_uring_sqe& entry, file_operation& operation) noexcept;

/// Whether the kernel did not carry an operation out although nothing is wrong with it: it is to be submitted again.
bool goes_again(file_operation& operation, std::int32_t result) noexcept;

/// A ring has carried an operation out: completes it.
void complete_on_ring(file_operation& operation, std::int32_t result) noexcept;

class ring_thread final : public file_backend, ring_guest {
public:
  ring_thread() = default;
  /// Waits for what is in flight.
  ~ring_thread() { host_.stop(); }

  /// Starts the thread and its ring. The error says why the kernel refuses.
  io_result<void> start() noexcept { return host_.start(entries); }

  void submit(file_operation& operation) noexcept override;

  /// Nothing is handed over or in flight. Any thread.
  [[nodiscard]] bool is_quiet_approx() const noexcept {
    return in_flight_.load(std::memory_order_relaxed) == 0 && inbox_.empty_approx();
  }

  /// How often the thread went to sleep; for tests of idleness.
  [[nodiscard]] std::uint64_t sleeps_approx() const noexcept { return host_.sleeps_approx(); }

private:
  static constexpr unsigned entries = 256;

  unsigned take(ring& on) noexcept override;
  bool has_more() const noexcept override { return !inbox_.empty_approx(); }
  void completed(ring& on, const completion& what) noexcept override;
  void enter(ring& on, file_operation& operation) noexcept;
  void begin(ring& on, file_operation& operation) noexcept;
  bool may_end(ring&) noexcept override { return in_flight_.load(std::memory_order_relaxed) == 0; }

  atomic<std::uint64_t> in_flight_{0};  // what the kernel has; moved by the thread
  handoff<file_operation, &file_operation::after> inbox_;
  ring_host host_{*this};
};

}  // namespace levity::detail
