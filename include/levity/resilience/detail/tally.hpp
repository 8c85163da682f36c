#pragma once

#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

/// A count that any thread adds to: relaxed, for nothing is published through it. What holds some can be moved while nobody uses
/// it.
class tally {
public:
  tally() noexcept = default;
  tally(tally&& other) noexcept : count_(other.seen()) {}
  tally& operator=(tally&&) = delete;

  void add(std::uint64_t more = 1) noexcept { count_.fetch_add(more, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t seen() const noexcept { return count_.load(std::memory_order_relaxed); }

private:
  atomic<std::uint64_t> count_{0};
};

}  // namespace levity::detail
