#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "levity/observe/histogram.hpp"

namespace levity::inline v0 {

/// Why an entry left a cache.
enum class cache_departure : std::uint8_t {
  evicted,  ///< to make room
  expired,  ///< its time was over, and that for which it may be served stale, too
  idle,     ///< nobody had read it for too long
  erased,   ///< by erase() or clear()
  refused,  ///< a value under its key was too heavy, so that the older one went
  absent,   ///< a loader said that there is no such value any more
};

/// How many reasons there are.
inline constexpr std::size_t cache_departure_count = 6;

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(cache_departure why) noexcept;

/// What a cache has done since it was made, and what is in it. The numbers of one snapshot are read one after the other, while the
/// cache goes on.
struct cache_statistics {
  std::uint64_t hits = 0;             ///< gets that found a value, or a known absence
  std::uint64_t misses = 0;           ///< gets that did not
  std::uint64_t stale_hits = 0;       ///< served past their time by get_or_load: hits while they are refreshed, else misses
  std::uint64_t sets = 0;             ///< values that were put in by set() and update()
  std::uint64_t loads = 0;            ///< loads that brought a value, or that there is none
  std::uint64_t load_failures = 0;    ///< loads that failed; a caller that gave up is no failure
  std::uint64_t loads_outdated = 0;   ///< loads whose result was not kept, for the key was set or erased meanwhile
  std::uint64_t refreshes = 0;        ///< of the loads: in the background, before anybody missed them
  std::uint64_t refresh_batches = 0;  ///< calls of the refresher's loader
  std::uint64_t refused = 0;          ///< values too heavy for their shard
  std::uint64_t dropped = 0;          ///< values that were put in and are not there although nothing above says why: always 0
  std::array<std::uint64_t, cache_departure_count> departures{};  ///< by reason
  std::uint64_t entries = 0;          ///< now
  std::uint64_t weight = 0;           ///< of them
  std::uint64_t memory_bytes = 0;     ///< of entries, table and policy; not what values own elsewhere
  histogram load_ns{{.lowest = 1'000, .highest = 3'600'000'000'000, .digits = 2}};  ///< how long loads took, failed ones too

  /// The entries that left for that reason.
  [[nodiscard]] std::uint64_t departed(cache_departure why) const noexcept { return departures[static_cast<std::size_t>(why)]; }
  /// Hits by gets; 0 before the first one.
  [[nodiscard]] double hit_ratio() const noexcept {
    return hits + misses == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(hits + misses);
  }
};

}  // namespace levity
