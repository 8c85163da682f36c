#include "levity/cache/detail/cache_core.hpp"

#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::detail {

unsigned shards_for(std::uint64_t capacity) noexcept {
  constexpr unsigned least = 64;
  constexpr unsigned most = 4096;
  constexpr std::uint64_t room_least = 1024;  // with 256 a loop hits 0.8 % less often than in one piece
  executor* const exec = current_run().exec;  // null outside of a runtime
  const unsigned workers = exec == nullptr ? 1 : exec->reactor_count();
  const unsigned wanted = std::bit_ceil(std::clamp(4 * workers, least, most));
  const std::uint64_t worth = std::bit_floor(std::max<std::uint64_t>(capacity / room_least, 1));
  return static_cast<unsigned>(std::min<std::uint64_t>(wanted, worth));
}

}  // namespace levity::detail
