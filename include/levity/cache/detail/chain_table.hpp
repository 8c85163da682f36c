#pragma once

// chain_table: the heads of the chains in which a shard's entries stand, by their hash.
//
// A chain ends with the address of its own head, with the lowest bit set. So who was led astray, because the entry before which
// it stood was made into another one, notices at the end: that of another chain. Heads are never freed before the cache is.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

class chain_table {
public:
  explicit chain_table(std::size_t buckets) : heads_(buckets) {
    for (atomic<std::uintptr_t>& head : heads_) head.store(end_of(head), std::memory_order_relaxed);
  }
  chain_table(const chain_table&) = delete;
  chain_table& operator=(const chain_table&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return heads_.size(); }
  [[nodiscard]] atomic<std::uintptr_t>& head_of(std::uint64_t hash) noexcept { return heads_[hash & (heads_.size() - 1)]; }

  static std::uintptr_t end_of(const atomic<std::uintptr_t>& head) noexcept { return reinterpret_cast<std::uintptr_t>(&head) | 1; }
  static bool is_end(std::uintptr_t at) noexcept { return (at & 1) != 0; }

  chain_table* older = nullptr;  // that it took the place of

private:
  std::vector<atomic<std::uintptr_t>> heads_;
};

}  // namespace levity::detail
