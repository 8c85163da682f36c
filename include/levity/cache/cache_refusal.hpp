#pragma once

#include <cstdint>
#include <string>

namespace levity::inline v0 {

/// A value that no room could be made for: it weighs more than its shard of the cache may hold. What the cache had under its key is
/// gone, too, for it is not the newest any more.
struct cache_refusal {
  /// What it weighs.
  std::uint64_t weight;
  /// What its shard may hold in all.
  std::uint64_t shard_capacity;

  /// One sentence: what was refused and what helps. Allocates.
  [[nodiscard]] std::string message() const;

  friend bool operator==(const cache_refusal&, const cache_refusal&) noexcept = default;
};

}  // namespace levity
