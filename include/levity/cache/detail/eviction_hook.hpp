#pragma once

#include <cstddef>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/intrusive_list.hpp"

namespace levity::inline v0::detail {

/// What every eviction policy knows of an entry. An entry of weight 0 is pinned, and in no policy's hands.
struct eviction_hook : list_link {
  static constexpr std::uint64_t no_hash = 0;

  // Where the entry stands in the index; no_hash while it stands nowhere. Read by who walks there (E391).
  atomic<std::uint64_t> hash{no_hash};
  atomic<std::uintptr_t> chain{0};
  // Guarded by the shard's lock.
  std::uint32_t weight = 0;
  std::uint8_t queue = 0;  // which of the policy's
  // How often it was hit, as far as the policy wants to know. Written by readers and by the policy, by plain loads and stores: one
  // may undo the other's, and the worst is a hit that does not count.
  atomic<std::uint8_t> hits{0};
};

/// Entries that are to be given up, linked by their hooks.
using eviction_list = link_list;

/// The longest waiting entry of a queue; null if there is none.
inline eviction_hook* oldest_of(link_list& queue) noexcept {
  return queue.empty() ? nullptr : static_cast<eviction_hook*>(queue.end()->prev);
}

}  // namespace levity::detail
