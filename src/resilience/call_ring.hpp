#pragma once

// call_ring: the last calls, one bit each, where they are more than fit into a breaker_word. Not thread-safe.

#include <cstdint>
#include <vector>

#include "levity/resilience/breaker_window.hpp"

namespace levity::inline v0::detail {

class call_ring {
public:
  explicit call_ring(unsigned calls_max) : calls_max_(calls_max), failed_((calls_max + 63) / 64) {}

  void add(bool failed) noexcept;
  [[nodiscard]] breaker_window sum() const noexcept;
  void clear() noexcept;

private:
  [[nodiscard]] bool has_failed(unsigned at) const noexcept { return (failed_[at / 64] >> at % 64 & 1) != 0; }

  unsigned calls_max_;
  unsigned calls_ = 0;
  unsigned failures_ = 0;
  unsigned next_ = 0;  // where the next one goes, over the oldest
  std::vector<std::uint64_t> failed_;
};

}  // namespace levity::detail
