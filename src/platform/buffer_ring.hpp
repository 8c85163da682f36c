#pragma once

// buffer_ring: memory that the kernel fills as bytes arrive (IORING_REGISTER_PBUF_RING). It picks a buffer only when there is
// something to put in, so that connections that wait hold none.
//
//   the kernel's    registered, free_ counts them
//   ours            a completion named it: took(); until give()
//
// Buffers return from any thread, straight into the ring the kernel reads: who has read one need not wake the ring thread. What
// a completion has not told yet still counts as the kernel's, so free_approx() may be too high, by one batch.
//
// Edges
//   E208  give -> took: who read the buffer is done with it. The kernel, between them, orders the two as well, but no checker sees
//         that; so the count goes up before the buffer is in the ring.

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "levity/base/atomic.hpp"
#include "levity/base/error.hpp"
#include "levity/base/spin_lock.hpp"
#include "platform/ring.hpp"

namespace levity::inline v0::detail {

class buffer_ring {
public:
  static constexpr std::uint16_t group = 0;

  buffer_ring() = default;
  ~buffer_ring();
  buffer_ring(const buffer_ring&) = delete;
  buffer_ring& operator=(const buffer_ring&) = delete;

  /// Registers `count` (a power of two, at most 2^15) buffers of `bytes` each. On the ring's thread, once; outlives the ring.
  /// Memory is taken from the kernel page by page as it is filled. An error of EINVAL: the kernel is older than 5.19.
  io_result<void> open(ring& on, std::uint32_t count, std::uint32_t bytes) noexcept;

  /// A completion named this buffer; `flags` are its.
  std::uint16_t took(std::uint32_t flags) noexcept;
  [[nodiscard]] std::byte* at(std::uint16_t buffer) const noexcept { return memory_ + std::size_t{buffer} * bytes_; }
  /// Any thread. O(1).
  void give(std::uint16_t buffer) noexcept;

  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint32_t free_approx() const noexcept { return free_.load(std::memory_order_relaxed); }

private:
  void add(std::uint16_t buffer) noexcept;

  io_uring_buf_ring* entries_ = nullptr;
  std::byte* memory_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t bytes_ = 0;
  spin_lock lock_;  // guards the tail of entries_
  atomic<std::uint32_t> free_{0};
};

}  // namespace levity::detail
