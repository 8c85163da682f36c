#pragma once

// entry_pool: the type-stable memory of a shard's entries.
//
// It grows by slabs and gives none back: somebody may stand before any of its entries. It goes when its cache has gone and no
// handle is left; so it lives apart from the shard.

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "levity/base/spin_lock.hpp"
#include "levity/cache/detail/cache_block.hpp"
#include "levity/cache/detail/eviction_hook.hpp"

namespace levity::inline v0::detail {

template <class Entry>
class entry_pool final : public block_keeper {
public:
  entry_pool() = default;
  entry_pool(const entry_pool&) = delete;
  entry_pool& operator=(const entry_pool&) = delete;

  /// A slab that is not in use yet. Throws std::bad_alloc.
  struct slab {
    std::unique_ptr<Entry[]> entries;
    std::size_t count = 0;
  };
  [[nodiscard]] slab make_slab(std::size_t count) {
    {
      const std::lock_guard guard(lock_);
      // Of those who make slabs at the same time one puts his in: there is room for it, and no need of memory under the shard's
      // lock.
      if (slabs_.size() == slabs_.capacity()) slabs_.reserve(2 * slabs_.size() + 8);
    }
    slab made{std::make_unique<Entry[]>(count), count};
    for (std::size_t i = 0; i < count; i++) made.entries[i].keeper = this;
    return made;
  }

  /// Takes it into use.
  void adopt(slab fresh) {
    lock_.lock();
    for (std::size_t i = 0; i < fresh.count; i++) free_.push_back(fresh.entries[i]);
    total_ += fresh.count;
    slabs_.push_back(std::move(fresh));
    lock_.unlock();
  }

  /// An entry with nothing in it; null if there is none left.
  [[nodiscard]] Entry* take() noexcept {
    lock_.lock();
    list_link* const first = free_.pop_front();
    if (first != nullptr) out_++;
    lock_.unlock();
    return first == nullptr ? nullptr : &Entry::of(*first);
  }

  /// The same back, with nothing in it. The last one of a pool that has retired takes it along.
  void give(Entry& back) noexcept {
    lock_.lock();
    free_.push_front(back);
    const bool over = --out_ == 0 && retired_;
    lock_.unlock();
    if (over) delete this;
  }

  /// Where nobody reaches the entry any more.
  void bury(cache_block_base& dead) noexcept override {
    Entry& entry = Entry::of(dead);
    entry.empty();
    give(entry);
  }

  /// The cache has gone: when the last handle goes, the pool does.
  void retire() noexcept {
    lock_.lock();
    retired_ = true;
    const bool over = out_ == 0;
    lock_.unlock();
    if (over) delete this;
  }

  [[nodiscard]] std::size_t total() noexcept {
    lock_.lock();
    const std::size_t all = total_;
    lock_.unlock();
    return all;
  }

  /// The entries of one slab, whatever is in them; none behind the last one. They stay where they are.
  [[nodiscard]] std::span<Entry> slab_at(std::size_t number) noexcept {
    lock_.lock();
    std::span<Entry> found;
    if (number < slabs_.size()) found = {slabs_[number].entries.get(), slabs_[number].count};
    lock_.unlock();
    return found;
  }

private:
  ~entry_pool() = default;

  spin_lock lock_;
  // Guarded by lock_.
  link_list free_;
  std::vector<slab> slabs_;
  std::size_t total_ = 0;
  std::size_t out_ = 0;
  bool retired_ = false;
};

}  // namespace levity::detail
