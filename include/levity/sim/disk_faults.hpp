#pragma once

#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::sim {

/// What is wrong with a host's disk, and how fast it is; may be changed at any time. Chances are in a million.
struct disk_faults {
  std::uint32_t read_fails_ppm = 0;   ///< EIO
  std::uint32_t write_fails_ppm = 0;  ///< EIO, and nothing was written
  std::uint32_t sync_fails_ppm = 0;   ///< EIO; the bytes that it was to make durable never will be
  std::uint32_t short_ppm = 0;        ///< a read or write moves less than it could; not an append, which is one write(2)
  std::uint32_t reads_fail_next = 0;  ///< so many of the next ones, whatever the chance
  std::uint32_t writes_fail_next = 0;  ///< likewise
  std::uint32_t syncs_fail_next = 0;   ///< likewise
  std::uint64_t capacity_bytes = std::uint64_t{16} << 30;  ///< taken in pages of 4096 bytes
  bool read_only = false;              ///< EROFS for whatever would change it
  duration latency{};                  ///< of what is no sync; 0: over by the next turn
  duration latency_jitter{};           ///< drawn from 0 to this, on top of it
  duration sync_latency{};             ///< of a sync
  duration sync_latency_jitter{};      ///< on top of it
};

}  // namespace levity::sim
