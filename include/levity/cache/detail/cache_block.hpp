#pragma once

// cache_block: a value of a cache with the count of those that hold it.
//
// Why: a hit takes no lock, so an entry may be erased, and its memory made into another entry, while a reader stands before it. The
// memory of entries is type-stable: what was an entry of a shard stays one until the cache and all handles are gone. So a reader
// may always look at the count; and it takes a reference only where there is one already.
//
//   references       means                                          moved by
//   0                nobody's: no key, no value, on the free list   bury(), after the last drop()
//   0 -> 1           born: key and value are there                  give_birth()   who made it, before it is linked
//   n -> n + 1       one more, n > 0                                try_take()     any reader;  share()  who holds one
//   n -> n - 1       one less                                       drop()         the cache, when it unlinks it; handles
//
// Who takes a reference by try_take() has a living entry, but perhaps not the one that it came for: it compares the key after that.
//
// Edges
//   E392  give_birth() -> try_take(): key and value, of this life of the entry and no former one.
//   E393  drop() -> the last drop(): who read key and value is done with them.
//
// Rejected: epochs (a fence or a barrier of the process for each hit or batch of erasures, and a handle that is kept across an
// await would hold the epoch of all); hazard pointers (a full fence a hit, 7 to 13 ns here, and a handle needs the count all the
// same); counting up first and back down where it was zero (one instruction less, but then who counts down last is not the only
// one that touches an entry that is dead, and its memory could go with the cache in between).

#include <cstdint>
#include <limits>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

struct cache_block_base;

/// Where blocks go when nobody holds them any more.
class block_keeper {
public:
  /// Destroys what is in it, and keeps the memory. By who dropped the last reference; any thread.
  virtual void bury(cache_block_base& dead) noexcept = 0;

protected:
  ~block_keeper() = default;
};

/// No moment: later than all.
inline constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();

struct cache_block_base {
  atomic<std::uint32_t> references{0};

  // Written before its birth, constant while it lives.
  bool absent = false;  // it says that there is no such value
  bool timed = false;   // its time may be over some day
  std::int64_t written_ns = 0;
  std::int64_t expires_ns = never_ns;
  block_keeper* keeper = nullptr;  // constant for good

  // Only where timed. Hints, each by itself: relaxed.
  atomic<bool> was_read{false};                    // since it was written
  atomic<std::int64_t> read_ns{0};                 // when last; only where entries end by idling
  atomic<std::int64_t> refresh_ns{never_ns};       // when it is due for a refresh; never: not, or it is queued for one

  /// What was written before is there for all who take a reference from here on.
  void give_birth() noexcept {
    references.store(1, std::memory_order_release);  // E392 release.
  }

  [[nodiscard]] bool try_take() noexcept {
    std::uint32_t seen = references.load(std::memory_order_relaxed);
    do {
      if (seen == 0) return false;
      // E392 acquire.
    } while (!references.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed));
    return true;
  }

  /// One more of what the caller holds.
  void share() noexcept { references.fetch_add(1, std::memory_order_relaxed); }

  void drop() noexcept {
    // E393 release, acquire.
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) keeper->bury(*this);
  }
};

template <class Value>
struct cache_block : cache_block_base {
  union {
    Value value;  // alive while there are references, unless absent
  };

  cache_block() noexcept {}  // NOLINT: the value comes with the birth
  ~cache_block() {}          // NOLINT: and went with the burial
};

}  // namespace levity::detail
