#include "platform/buffer_ring.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "levity/base/assert.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

void* map(std::size_t bytes) noexcept {
  void* memory = kernel::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

int register_at(ring& on, io_uring_buf_reg& registration) noexcept {
#ifdef LEVITY_MODEL
  if (explored_calls* const by = explored_calls::here(); by != nullptr) {
    by->registers(reinterpret_cast<void*>(registration.ring_addr), registration.ring_entries);
    return 0;
  }
#endif
  return kernel::strikes(kernel::call::ring_setup) ? -errno : io_uring_register_buf_ring(on.native(), &registration, 0);
}

}  // namespace

buffer_ring::~buffer_ring() {
  if (memory_ != nullptr) kernel::munmap(memory_, std::size_t{count_} * bytes_);
  if (entries_ != nullptr) kernel::munmap(entries_, count_ * sizeof(io_uring_buf));
}

io_result<void> buffer_ring::open(ring& on, std::uint32_t count, std::uint32_t bytes) noexcept {
  constexpr const char* doing = "registering buffers for received bytes";
  count_ = count;
  bytes_ = bytes;
  entries_ = static_cast<io_uring_buf_ring*>(map(count * sizeof(io_uring_buf)));
  memory_ = static_cast<std::byte*>(map(std::size_t{count} * bytes));
  if (entries_ == nullptr || memory_ == nullptr) return std::unexpected(io_error{io_failure::no_memory, ENOMEM, doing});
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(entries_);
  registration.ring_entries = count;
  registration.bgid = group;
  const int result = register_at(on, registration);
  if (result != 0) return std::unexpected(io_error::from_errno(-result, doing));
  io_uring_buf_ring_init(entries_);
  for (std::uint32_t i = 0; i < count; i++) add(static_cast<std::uint16_t>(i));
  free_.store(count, std::memory_order_relaxed);
  return {};
}

std::uint16_t buffer_ring::took(std::uint32_t flags) noexcept {
  const auto buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  LEVITY_ASSERT((flags & IORING_CQE_F_BUFFER) != 0 && buffer < count_, "received bytes lie in one of our buffers");
  free_.fetch_sub(1, std::memory_order_acquire);  // E208 acquire.
  return buffer;
}

void buffer_ring::add(std::uint16_t buffer) noexcept {
  io_uring_buf_ring_add(entries_, at(buffer), bytes_, buffer, io_uring_buf_ring_mask(count_), 0);
  io_uring_buf_ring_advance(entries_, 1);
}

void buffer_ring::give(std::uint16_t buffer) noexcept {
  free_.fetch_add(1, std::memory_order_release);  // E208 release.
  lock_.lock();
  add(buffer);
  lock_.unlock();
}

}  // namespace levity::detail
