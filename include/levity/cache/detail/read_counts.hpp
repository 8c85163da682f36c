#pragma once

// read_counts: hits and misses, counted without a line that threads share.
//
// A thread has a number for as long as it lives. The first `own_max` threads of a process have a stripe each in every cache, which
// nobody else writes: a plain load and store. All others share the last stripe and add to it atomically. So nothing is ever lost.

#include <array>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"

namespace levity::inline v0::detail {

class read_counts {
public:
  void add_hit() noexcept { add(&stripe::hits); }
  void add_miss() noexcept { add(&stripe::misses); }
  void add_stale_hit() noexcept { add(&stripe::stale_hits); }

  struct sums {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t stale_hits = 0;
  };
  [[nodiscard]] sums sum() const noexcept;

private:
  static constexpr unsigned own_max = 31;

  struct alignas(cache_line_bytes) stripe {
    atomic<std::uint64_t> hits{0};
    atomic<std::uint64_t> misses{0};
    atomic<std::uint64_t> stale_hits{0};
  };

  // Not inline: a coroutine must not keep the address of a thread's variable across an await.
  [[gnu::noinline]] static unsigned thread_number() noexcept;

  void add(atomic<std::uint64_t> stripe::*which) noexcept {
    const unsigned number = thread_number();
    atomic<std::uint64_t>& count = stripes_[number < own_max ? number : own_max].*which;
    if (number < own_max) [[likely]] {
      count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      count.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::array<stripe, own_max + 1> stripes_;
};

}  // namespace levity::detail
