#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "levity/cache/cached.hpp"
#include "levity/cache/detail/cache_block.hpp"
#include "levity/cache/detail/eviction_hook.hpp"

namespace levity::inline v0::detail {

/// One place for a key and a value. For ever one, whatever key it holds: see cache_block.
template <class Key, class Value, class Hook>
struct cache_entry : Hook, cache_block<Value> {
  static_assert(std::is_base_of_v<eviction_hook, Hook>);

  bool linked = false;  // in the index; guarded by the shard's lock
  union {
    Key key;  // alive while there are references, and while it is made
  };

  cache_entry() noexcept {}  // NOLINT: the key comes later
  ~cache_entry() {}          // NOLINT: and is gone

  static cache_entry& of(cache_block_base& block) noexcept {
    return static_cast<cache_entry&>(static_cast<cache_block<Value>&>(block));
  }
  static cache_entry& of(list_link& link) noexcept {
    return static_cast<cache_entry&>(static_cast<Hook&>(static_cast<eviction_hook&>(link)));
  }

  /// Key and value go; nobody can reach them any more.
  void empty() noexcept {
    this->hash.store(eviction_hook::no_hash, std::memory_order_relaxed);
    if (!this->absent) std::destroy_at(std::addressof(this->value));
    std::destroy_at(std::addressof(key));
  }
};

/// A reference that is held.
template <class Entry>
class entry_ref {
public:
  entry_ref() noexcept = default;
  /// Takes over one that the caller has; null is none.
  explicit entry_ref(Entry* held) noexcept : held_(held) {}
  entry_ref(entry_ref&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  entry_ref& operator=(entry_ref&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~entry_ref() {
    if (held_ != nullptr) held_->drop();
  }

  [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
  Entry& operator*() const noexcept { return *held_; }
  Entry* operator->() const noexcept { return held_; }
  [[nodiscard]] Entry* get() const noexcept { return held_; }
  /// The reference is the caller's from here on.
  [[nodiscard]] Entry* release() noexcept { return std::exchange(held_, nullptr); }

private:
  Entry* held_ = nullptr;
};

}  // namespace levity::detail
