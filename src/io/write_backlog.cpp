#include "levity/io/detail/write_backlog.hpp"

#include <cstring>
#include <utility>

#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"

namespace levity::inline v0::detail {

void write_backlog::add(std::span<const std::byte> more) {
  if (more.empty()) return;
  if (memory_ == nullptr) {
    memory_ = capacity_ == buffer_bytes ? take_buffer() : static_cast<std::byte*>(frame_allocate(capacity_));
  }
  std::memcpy(memory_ + end_, more.data(), more.size());
  end_ += more.size();
}

std::span<iovec> write_backlog::with(std::span<const std::byte> more, iovec (&pieces)[2]) const noexcept {
  pieces[0] = {memory_ + begin_, end_ - begin_};
  pieces[1] = {const_cast<std::byte*>(more.data()), more.size()};
  return pieces;
}

void write_backlog::keep(std::size_t count) noexcept {
  begin_ = end_ - count;
  if (begin_ == end_) clear();
}

void write_backlog::clear() noexcept {
  begin_ = end_ = 0;
  if (memory_ == nullptr) return;
  std::byte* memory = std::exchange(memory_, nullptr);
  if (capacity_ == buffer_bytes) {
    give_buffer(memory);
  } else {
    frame_free(memory, capacity_);
  }
}

}  // namespace levity::detail
