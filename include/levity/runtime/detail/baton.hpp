#pragma once

#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

/// Tells one thread, which sleeps meanwhile, that something has been done. Once.
///
/// Edges
///   E31  post() -> wait(), is_posted() that says yes: what the poster wrote before.
class baton {
public:
  baton() = default;
  baton(const baton&) = delete;
  baton& operator=(const baton&) = delete;

  /// The baton may be gone when this returns. Any thread.
  void post() noexcept;
  void wait() noexcept;
  [[nodiscard]] bool is_posted() const noexcept { return word_.load(std::memory_order_acquire) == posted; }  // E31 acquire.

private:
  static constexpr std::uint32_t posted = 1;
  atomic<std::uint32_t> word_{0};
};

}  // namespace levity::detail
