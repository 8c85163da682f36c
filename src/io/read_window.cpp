#include "levity/io/detail/read_window.hpp"

#include <algorithm>
#include <cstring>

#include "levity/base/assert.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"

namespace levity::inline v0::detail {
namespace {

std::byte* take_memory(std::size_t bytes) {
  return bytes == buffer_bytes ? take_buffer() : static_cast<std::byte*>(frame_allocate(bytes));
}

void give_memory(std::byte* memory, std::size_t bytes) noexcept {
  if (bytes == buffer_bytes) {
    give_buffer(memory);
  } else {
    frame_free(memory, bytes);
  }
}

}  // namespace

void read_window::take(std::size_t count) noexcept {
  LEVITY_ASSERT(count <= size_, "no more is consumed than is buffered");
  begin_ += count;
  size_ -= count;
}

void read_window::lend(std::span<const std::byte> view) noexcept {
  begin_ = view.data();
  size_ = view.size();
}

void read_window::drop() noexcept {
  forget();
  begin_ = nullptr;
}

void read_window::forget() noexcept {
  if (owned_ == nullptr) return;
  give_memory(std::exchange(owned_, nullptr), capacity_);
  capacity_ = 0;
}

// Moves what is unread into memory of `capacity` bytes, behind `before` free ones.
void read_window::own(std::size_t capacity, std::size_t before) {
  std::byte* fresh = take_memory(capacity);
  if (size_ > 0) std::memcpy(fresh + before, begin_, size_);
  forget();
  owned_ = fresh;
  capacity_ = capacity;
  begin_ = fresh + before;
}

std::span<std::byte> read_window::room() {
  if (size_ >= bytes_max_) return {};
  const bool mine = owned_ != nullptr && begin_ >= owned_ && begin_ <= owned_ + capacity_;
  if (!mine) {
    std::size_t capacity = buffer_bytes;
    while (capacity < size_ + size_ / 2) capacity *= 2;
    own(std::max(std::min(capacity, bytes_max_), size_ + 1), 0);
  } else {
    const std::size_t behind = capacity_ - size_ - static_cast<std::size_t>(begin_ - owned_);
    if (behind < capacity_ / 4 && begin_ != owned_) {
      std::memmove(owned_, begin_, size_);
      begin_ = owned_;
    }
    if (size_ == capacity_) own(std::max(std::min(capacity_ * 2, bytes_max_), size_ + 1), 0);
  }
  std::byte* end = owned_ + (begin_ - owned_) + size_;
  const auto behind = static_cast<std::size_t>(owned_ + capacity_ - end);
  return {end, std::min(behind, bytes_max_ - size_)};
}

void read_window::put_back(std::span<const std::byte> taken) {
  if (taken.empty()) return;
  own(std::max(taken.size() + size_, buffer_bytes), taken.size());
  begin_ -= taken.size();
  size_ += taken.size();
  std::memcpy(owned_, taken.data(), taken.size());
}

read_request::verdict read_request::look(std::span<const std::byte> unread, std::size_t bytes_max) noexcept {
  if (what == kind::count) {
    if (unread.size() < size) return size > bytes_max ? verdict::too_large : verdict::more;
    found = size;
    return verdict::found;
  }
  const std::size_t most = std::min(size, bytes_max);
  const std::span<const std::byte> seen = unread.first(std::min(unread.size(), most));
  if (seen.size() >= delimiter.size()) {
    const void* hit = ::memmem(seen.data() + looked, seen.size() - looked, delimiter.data(), delimiter.size());
    if (hit != nullptr) {
      found = static_cast<std::size_t>(static_cast<const std::byte*>(hit) - seen.data()) + delimiter.size();
      return verdict::found;
    }
    looked = seen.size() - (delimiter.size() - 1);
  }
  return unread.size() >= most ? verdict::too_large : verdict::more;
}

}  // namespace levity::detail
