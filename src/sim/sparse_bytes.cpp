#include "sim/sparse_bytes.hpp"

#include <algorithm>
#include <cstring>

namespace levity::inline v0::sim {
namespace {

// Calls `visit(page, from, to, at)` for the part of each page: its bytes [from, to), which stand at `at` of the whole.
template <class Visit>
void each_page(std::uint64_t offset, std::uint64_t size, Visit&& visit) {
  for (std::uint64_t at = 0; at < size;) {
    const std::uint64_t from = (offset + at) % sparse_bytes::page_bytes;
    const std::uint64_t to = std::min(sparse_bytes::page_bytes, from + size - at);
    visit((offset + at) / sparse_bytes::page_bytes, from, to, at);
    at += to - from;
  }
}

}  // namespace

std::uint64_t sparse_bytes::fitting(std::uint64_t offset, std::uint64_t size, std::uint64_t room) const noexcept {
  std::uint64_t fits = 0;
  bool full = false;
  each_page(offset, size, [&](std::uint64_t index, std::uint64_t from, std::uint64_t to, std::uint64_t) {
    if (full) return;
    if (!pages_.contains(index) && room-- == 0) {
      full = true;
      return;
    }
    fits += to - from;
  });
  return fits;
}

void sparse_bytes::read(std::uint64_t offset, std::span<std::byte> into) const noexcept {
  each_page(offset, into.size(), [&](std::uint64_t index, std::uint64_t from, std::uint64_t to, std::uint64_t at) {
    const auto found = pages_.find(index);
    if (found == pages_.end() || found->second == nullptr) {
      std::memset(into.data() + at, 0, to - from);
    } else {
      std::memcpy(into.data() + at, found->second->data() + from, to - from);
    }
  });
}

sparse_bytes::page& sparse_bytes::own(std::uint64_t index) {
  std::shared_ptr<page>& here = pages_[index];
  if (here == nullptr) {
    here = std::make_shared<page>();
  } else if (here.use_count() > 1) {
    here = std::make_shared<page>(*here);
  }
  return *here;
}

void sparse_bytes::write(std::uint64_t offset, std::span<const std::byte> from_bytes) {
  each_page(offset, from_bytes.size(), [&](std::uint64_t index, std::uint64_t from, std::uint64_t to, std::uint64_t at) {
    std::memcpy(own(index).data() + from, from_bytes.data() + at, to - from);
  });
}

void sparse_bytes::blank(std::uint64_t index, std::uint64_t from, std::uint64_t to) {
  const auto found = pages_.find(index);
  if (from == to || found == pages_.end() || found->second == nullptr) return;
  std::memset(own(index).data() + from, 0, to - from);
}

void sparse_bytes::punch(std::uint64_t offset, std::uint64_t size) {
  if (size == 0) return;
  const std::uint64_t end = offset + size;
  const std::uint64_t first_whole = (offset + page_bytes - 1) / page_bytes;
  const std::uint64_t last_whole = end / page_bytes;
  if (first_whole > last_whole) {  // inside of one page
    blank(last_whole, offset % page_bytes, end % page_bytes);
    return;
  }
  if (offset % page_bytes != 0) blank(offset / page_bytes, offset % page_bytes, page_bytes);
  blank(last_whole, 0, end % page_bytes);
  pages_.erase(pages_.lower_bound(first_whole), pages_.lower_bound(last_whole));
}

void sparse_bytes::allocate(std::uint64_t offset, std::uint64_t size) {
  each_page(offset, size, [&](std::uint64_t index, std::uint64_t, std::uint64_t, std::uint64_t) { pages_.try_emplace(index); });
}

void sparse_bytes::resize(std::uint64_t size) {
  const bool shrinks = size < size_;
  size_ = size;
  if (shrinks) trim();
}

void sparse_bytes::trim() {
  blank(size_ / page_bytes, size_ % page_bytes, page_bytes);
  pages_.erase(pages_.lower_bound((size_ + page_bytes - 1) / page_bytes), pages_.end());
}

}  // namespace levity::sim
