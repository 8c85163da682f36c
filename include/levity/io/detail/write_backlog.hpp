#pragma once

// write_backlog: the bytes that a buffered writer was given and its sink has not taken. Memory only while there are any.

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace levity::inline v0::detail {

class write_backlog {
public:
  explicit write_backlog(std::size_t capacity) noexcept : capacity_(capacity) {}
  write_backlog(const write_backlog&) = delete;
  write_backlog& operator=(const write_backlog&) = delete;
  ~write_backlog() { clear(); }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {memory_ + begin_, end_ - begin_}; }
  [[nodiscard]] bool fits(std::size_t count) const noexcept { return count <= capacity_ - end_; }
  /// What fits. Throws std::bad_alloc.
  void add(std::span<const std::byte> more);
  /// All of it and `more`, as two pieces for one write.
  [[nodiscard]] std::span<iovec> with(std::span<const std::byte> more, iovec (&pieces)[2]) const noexcept;
  /// All but the last `count` bytes went.
  void keep(std::size_t count) noexcept;
  void clear() noexcept;

private:
  std::byte* memory_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  const std::size_t capacity_;
};

}  // namespace levity::detail
