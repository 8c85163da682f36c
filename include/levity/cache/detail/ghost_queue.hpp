#pragma once

// ghost_queue: the hashes of what was evicted last, the oldest forgotten first; asked for by hash.
//
// Its room is made outside of the shard's lock and moved in under it. Slots are linked twice by their numbers: in the order in
// which they came, and in the chain of their bucket; those that are free, by chain alone. 24 bytes for each hash, the bucket among
// them.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace levity::inline v0::detail {

class ghost_queue {
public:
  /// Room that is not in use yet.
  struct storage {
    struct slot {
      std::uint32_t hash_low = 0;
      std::uint32_t hash_high = 0;
      std::uint32_t older = 0;
      std::uint32_t newer = 0;
      std::uint32_t chain = 0;
    };
    std::vector<slot> slots;             // slot 0 holds the ends of the order: newer is the oldest one
    std::vector<std::uint32_t> buckets;  // 0: empty
  };

  /// For so many hashes. Throws std::bad_alloc.
  static storage make_storage(std::size_t hashes);

  [[nodiscard]] std::size_t room() const noexcept { return in_.slots.empty() ? 0 : in_.slots.size() - 1; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Uses larger room from here on, and leaves what it had in `more`. O(size).
  void adopt(storage& more) noexcept;
  /// Remembers a hash, the youngest now, and forgets the oldest ones of more than `limit`, or more than there is room for.
  void push(std::uint64_t hash, std::size_t limit) noexcept;
  /// Whether it is remembered; it is not any more.
  bool take(std::uint64_t hash) noexcept;

private:
  using slot = storage::slot;

  std::uint32_t& bucket_of(std::uint64_t hash) noexcept {
    return in_.buckets[static_cast<std::uint32_t>(hash) & (in_.buckets.size() - 1)];
  }
  std::uint32_t* find(std::uint64_t hash) noexcept;
  void forget(std::uint32_t* link) noexcept;
  void forget_oldest() noexcept;

  storage in_;
  std::size_t size_ = 0;
  std::uint32_t free_ = 0;
};

}  // namespace levity::detail
