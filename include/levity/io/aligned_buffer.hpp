#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "levity/base/assert.hpp"

namespace levity::inline v0 {

/// Memory for direct I/O: begins at a multiple of `alignment` and is a multiple of it long. Move-only; not thread-safe.
///
///     const auto needs = opened.alignment().value();
///     lv::aligned_buffer block(64 * 1024, std::max(needs.memory, needs.offset));
class aligned_buffer {
public:
  aligned_buffer() = default;
  /// At least `size` bytes, zero at first. `alignment` is a power of two. Throws std::bad_alloc.
  aligned_buffer(std::size_t size, std::size_t alignment) : alignment_(alignment) {
    LEVITY_ASSERT(alignment != 0 && (alignment & (alignment - 1)) == 0, "an alignment is a power of two");
    size_ = (size + alignment - 1) / alignment * alignment;
    memory_ = new (std::align_val_t{alignment}) std::byte[size_]();
  }
  aligned_buffer(aligned_buffer&& other) noexcept { swap(other); }
  aligned_buffer& operator=(aligned_buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~aligned_buffer() {
    if (memory_ != nullptr) ::operator delete[](memory_, std::align_val_t{alignment_});
  }

  /// All of it; where it lies stays the same when the buffer is moved.
  [[nodiscard]] std::span<std::byte> bytes() noexcept { return {memory_, size_}; }
  /// The same, to read.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {memory_, size_}; }
  /// In bytes, a multiple of the alignment; 0 when it was moved from.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
  void swap(aligned_buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    std::swap(alignment_, other.alignment_);
  }

  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  std::size_t alignment_ = 1;
};

}  // namespace levity
