#pragma once

#include <cstdint>

#include "levity/redis/request.hpp"

namespace levity::inline v0::redis::detail {

/// Where a command may be given.
enum class place : std::uint8_t {
  anywhere,      // on a connection that others share, too
  session,       // it waits for others, or changes what the commands behind it mean
  subscription,  // its replies are no replies: client::subscribe()
  nowhere,       // it ends the order of replies
};

/// By its name, in any case; of CLIENT and XREAD by more of it. What is not known may be given anywhere.
[[nodiscard]] place place_of(const request& what) noexcept;

/// What becomes of a session's connection.
enum class effect : std::uint8_t { none, watches, unwatches, begins, ends, changes };
[[nodiscard]] effect effect_of(const request& what) noexcept;

}  // namespace levity::redis::detail
