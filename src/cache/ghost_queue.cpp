#include "levity/cache/detail/ghost_queue.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace levity::inline v0::detail {

namespace {

std::uint64_t hash_of(const ghost_queue::storage::slot& of) noexcept { return std::uint64_t{of.hash_high} << 32 | of.hash_low; }

}  // namespace

ghost_queue::storage ghost_queue::make_storage(std::size_t hashes) {
  hashes = std::min<std::size_t>(hashes, std::numeric_limits<std::uint32_t>::max() / 2);
  storage made;
  made.slots.resize(hashes + 1);
  made.buckets.resize(std::bit_ceil(std::max<std::size_t>(hashes, 1)));
  return made;
}

void ghost_queue::adopt(storage& more) noexcept {
  std::swap(in_, more);
  const std::uint32_t old_size = std::exchange(size_, 0);
  free_ = 0;
  for (std::size_t number = in_.slots.size(); number-- > 1;) in_.slots[number].chain = std::exchange(free_, number);
  std::uint32_t number = old_size == 0 ? 0 : more.slots[0].newer;
  for (; number != 0; number = more.slots[number].newer) push(hash_of(more.slots[number]), room());
}

void ghost_queue::push(std::uint64_t hash, std::size_t limit) noexcept {
  limit = std::min(limit, room());
  while (size_ > 0 && size_ >= limit) forget_oldest();
  if (limit == 0) return;
  const std::uint32_t number = free_;
  slot& fresh = in_.slots[number];
  slot& ends = in_.slots[0];
  free_ = fresh.chain;
  fresh.hash_low = static_cast<std::uint32_t>(hash);
  fresh.hash_high = static_cast<std::uint32_t>(hash >> 32);
  fresh.chain = std::exchange(bucket_of(hash), number);
  fresh.newer = 0;
  fresh.older = std::exchange(ends.older, number);
  in_.slots[fresh.older].newer = number;
  size_++;
}

bool ghost_queue::take(std::uint64_t hash) noexcept {
  if (size_ == 0) return false;
  std::uint32_t* const link = find(hash);
  if (link == nullptr) return false;
  forget(link);
  return true;
}

std::uint32_t* ghost_queue::find(std::uint64_t hash) noexcept {
  for (std::uint32_t* link = &bucket_of(hash); *link != 0; link = &in_.slots[*link].chain) {
    if (hash_of(in_.slots[*link]) == hash) return link;
  }
  return nullptr;
}

void ghost_queue::forget(std::uint32_t* link) noexcept {
  const std::uint32_t number = *link;
  slot& gone = in_.slots[number];
  in_.slots[gone.older].newer = gone.newer;
  in_.slots[gone.newer].older = gone.older;
  *link = gone.chain;
  gone.chain = std::exchange(free_, number);
  size_--;
}

void ghost_queue::forget_oldest() noexcept {
  // Of equal hashes the one that came first is the last in the chain.
  const std::uint32_t number = in_.slots[0].newer;
  std::uint32_t* link = &bucket_of(hash_of(in_.slots[number]));
  while (*link != number) link = &in_.slots[*link].chain;
  forget(link);
}

}  // namespace levity::detail
