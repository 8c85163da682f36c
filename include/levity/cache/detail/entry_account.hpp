#pragma once

// entry_account: all that a cache knows of a key at one moment, and the same in words.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "levity/cache/detail/departures.hpp"

namespace levity::inline v0::detail {

struct entry_account {
  bool there = false;
  bool absent = false;
  bool stale = false;
  bool pinned = false;
  bool read = false;  // since it was written
  std::uint32_t weight = 0;
  std::int64_t written_ns = 0;
  std::int64_t expires_ns = 0;
  std::int64_t stale_until_ns = 0;  // when it is not even served stale any more
  std::int64_t idle_at_ns = 0;
  std::int64_t refresh_ns = 0;
  const char* queue = nullptr;
  std::optional<std::int64_t> loading_since_ns;
  std::optional<departed_entry> departed;
};

/// In sentences, as of `now_ns`.
[[nodiscard]] std::string in_words(const entry_account& of, std::int64_t now_ns);

}  // namespace levity::detail
