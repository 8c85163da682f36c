#include "levity/cache/cache_statistics.hpp"

#include <fmt/format.h>

#include "levity/cache/cache_refusal.hpp"

namespace levity::inline v0 {

std::string_view to_string(cache_departure why) noexcept {
  switch (why) {
    case cache_departure::evicted: return "evicted";
    case cache_departure::expired: return "expired";
    case cache_departure::idle: return "idle";
    case cache_departure::erased: return "erased";
    case cache_departure::refused: return "refused";
    case cache_departure::absent: return "absent";
  }
  return "unknown";
}

std::string cache_refusal::message() const {
  return fmt::format("the value weighs {}, and a shard of the cache holds {} in all; give the cache more capacity or fewer shards",
                     weight, shard_capacity);
}

}  // namespace levity
