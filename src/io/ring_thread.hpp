#pragma once

// ring_thread: carries file operations out on a ring thread (platform/ring_host.hpp has the way there and its edges). The way
// back, the result, travels with wake(), E2.

#include <cstdint>

#include "levity/io/detail/file_operation.hpp"
#include "platform/handoff.hpp"
#include "platform/ring_host.hpp"

namespace levity::inline v0::detail {

class ring_thread final : public file_backend, ring_guest {
public:
  ring_thread() = default;
  /// Waits for what is in flight.
  ~ring_thread() { host_.stop(); }

  /// Starts the thread and its ring. The error says why the kernel refuses.
  io_result<void> start() noexcept { return host_.start(entries); }

  void submit(file_operation& operation) noexcept override;

  /// How often the thread went to sleep; for tests of idleness.
  [[nodiscard]] std::uint64_t sleeps_approx() const noexcept { return host_.sleeps_approx(); }

private:
  static constexpr unsigned entries = 256;

  unsigned take(ring& on) noexcept override;
  bool has_more() const noexcept override { return !inbox_.empty_approx(); }
  void completed(ring& on, const completion& what) noexcept override;
  bool may_end(ring&) noexcept override { return in_flight_ == 0; }
  static void queue(ring& on, file_operation& operation) noexcept;

  std::uint64_t in_flight_ = 0;  // the thread's
  handoff<file_operation, &file_operation::next> inbox_;
  ring_host host_{*this};
};

}  // namespace levity::detail
