#pragma once

// explored_calls: what a scenario of the model lane has in place of the kernel, where that would keep a thread waiting, or act by
// itself. Only in a build with LEVITY_MODEL, and there only inside an exploration; all other calls go to the kernel.
//
// A ring's memory is as liburing has it, so that what is inline there works on it; who implements this fills it in.

#ifdef LEVITY_MODEL

#include <cstdint>
#include <exception>

#include "levity/base/explored_atomic.hpp"

struct io_uring;

namespace levity::inline v0::detail {

class explored_calls {
public:
  /// What whoever starts a thread is refused with; null: nothing. Made beforehand, for an exception's memory is not the explorer's.
  [[nodiscard]] virtual std::exception_ptr refuses_thread() noexcept { return nullptr; }
  /// Of an event descriptor.
  virtual void ring_bell(int event_fd) noexcept = 0;

  virtual void opens(io_uring& ring, unsigned entries) noexcept = 0;
  virtual bool knows(int operation) noexcept = 0;
  virtual void closes(io_uring& ring) noexcept = 0;
  /// Takes what is queued, and waits for a completion if there is none: for so long.
  virtual void enters(io_uring& ring, std::int64_t wait_ns) noexcept = 0;
  /// Buffers for received bytes, which lie in `entries`, an io_uring_buf_ring.
  virtual void registers(void* entries, std::uint32_t count) noexcept = 0;

  /// Who answers on this thread now; null: the kernel.
  [[nodiscard]] static explored_calls* here() noexcept { return this_explorer != nullptr ? answers_ : nullptr; }

protected:
  explored_calls() noexcept { answers_ = this; }
  explored_calls(const explored_calls&) = delete;
  explored_calls& operator=(const explored_calls&) = delete;
  ~explored_calls() { answers_ = nullptr; }

private:
  static inline explored_calls* answers_ = nullptr;  // explorations come one at a time
};

}  // namespace levity::detail

#endif
