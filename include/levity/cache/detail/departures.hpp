#pragma once

// departures: which entries left a shard last, and why; so that why() can say more than "not there".

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "levity/cache/cache_statistics.hpp"

namespace levity::inline v0::detail {

/// How one entry went.
struct departed_entry {
  std::uint64_t hash = 0;
  std::int64_t at_ns = 0;
  cache_departure why = cache_departure::evicted;
  const char* queue = nullptr;  // of an evicted one: out of which
};

/// The last `kept` of them. Guarded by the shard's lock.
class departures {
public:
  static constexpr std::size_t kept = 64;

  void note(const departed_entry& gone) noexcept {
    counts_[static_cast<std::size_t>(gone.why)]++;
    ring_[noted_++ % kept] = gone;
  }
  /// The last one with that hash, if it is still known.
  [[nodiscard]] std::optional<departed_entry> find(std::uint64_t hash) const noexcept {
    for (std::size_t back = 0; back < kept && back < noted_; back++) {
      const departed_entry& each = ring_[(noted_ - 1 - back) % kept];
      if (each.hash == hash) return each;
    }
    return std::nullopt;
  }
  [[nodiscard]] const std::array<std::uint64_t, cache_departure_count>& counts() const noexcept { return counts_; }

private:
  std::array<departed_entry, kept> ring_{};
  std::size_t noted_ = 0;
  std::array<std::uint64_t, cache_departure_count> counts_{};
};

}  // namespace levity::detail
