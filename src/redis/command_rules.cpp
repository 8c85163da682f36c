#include "redis/command_rules.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace levity::inline v0::redis::detail {

namespace {

struct rule {
  std::string_view name;
  place where;
};

// Sorted by name.
constexpr std::array rules{
    rule{"ASKING", place::session},          rule{"AUTH", place::session},
    rule{"BLMOVE", place::session},          rule{"BLMPOP", place::session},
    rule{"BLPOP", place::session},           rule{"BRPOP", place::session},
    rule{"BRPOPLPUSH", place::session},      rule{"BZMPOP", place::session},
    rule{"BZPOPMAX", place::session},        rule{"BZPOPMIN", place::session},
    rule{"DISCARD", place::session},         rule{"EXEC", place::session},
    rule{"HELLO", place::session},           rule{"MONITOR", place::nowhere},
    rule{"MULTI", place::session},           rule{"PSUBSCRIBE", place::subscription},
    rule{"PSYNC", place::nowhere},           rule{"PUNSUBSCRIBE", place::subscription},
    rule{"QUIT", place::nowhere},            rule{"READONLY", place::session},
    rule{"READWRITE", place::session},       rule{"RESET", place::session},
    rule{"SELECT", place::session},          rule{"SSUBSCRIBE", place::subscription},
    rule{"SUBSCRIBE", place::subscription},  rule{"SUNSUBSCRIBE", place::subscription},
    rule{"SYNC", place::nowhere},            rule{"UNSUBSCRIBE", place::subscription},
    rule{"UNWATCH", place::session},         rule{"WAIT", place::session},
    rule{"WAITAOF", place::session},         rule{"WATCH", place::session},
};
static_assert(std::ranges::is_sorted(rules, {}, &rule::name));

constexpr std::size_t name_max = 13;

// Upper case, in `room`; empty for what is longer than any command that matters here.
std::string_view upper(std::string_view text, std::array<char, name_max>& room) noexcept {
  if (text.size() > name_max) return {};
  std::transform(text.begin(), text.end(), room.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return {room.data(), text.size()};
}

// Settings of the connection, and replies that do not come.
place place_of_client(const request& what) noexcept {
  std::array<char, name_max> room{};
  const std::string_view part = upper(what.word(1), room);
  if (part == "REPLY") return place::nowhere;
  constexpr std::array settings{std::string_view("TRACKING"), std::string_view("CACHING"), std::string_view("SETNAME"),
                                std::string_view("SETINFO"), std::string_view("NO-EVICT"), std::string_view("NO-TOUCH")};
  return std::ranges::find(settings, part) != settings.end() ? place::session : place::anywhere;
}

// Options stand in front of STREAMS: XREAD [COUNT n] [BLOCK ms], XREADGROUP GROUP group consumer [...].
bool blocks(const request& what) noexcept {
  for (std::size_t i = 1; i < what.words() && i < 12; i++) {
    std::array<char, name_max> room{};
    const std::string_view word = upper(what.word(i), room);
    if (word == "STREAMS") return false;
    if (word == "GROUP") i += 2;
    if (word == "COUNT") i++;
    if (word == "BLOCK") return true;
  }
  return false;
}

}  // namespace

place place_of(const request& what) noexcept {
  std::array<char, name_max> room{};
  const std::string_view name = upper(what.name(), room);
  const auto found = std::ranges::lower_bound(rules, name, {}, &rule::name);
  if (found != rules.end() && found->name == name) return found->where;
  if (name == "CLIENT") return place_of_client(what);
  if ((name == "XREAD" || name == "XREADGROUP") && blocks(what)) return place::session;
  return place::anywhere;
}

effect effect_of(const request& what) noexcept {
  std::array<char, name_max> room{};
  const std::string_view name = upper(what.name(), room);
  if (name == "WATCH") return effect::watches;
  if (name == "UNWATCH") return effect::unwatches;
  if (name == "MULTI") return effect::begins;
  if (name == "EXEC" || name == "DISCARD") return effect::ends;
  if (name == "ASKING" || name == "AUTH" || name == "HELLO" || name == "READONLY" || name == "READWRITE" || name == "RESET" ||
      name == "SELECT" || name == "SCRIPT") {
    return effect::changes;
  }
  return name == "CLIENT" && place_of_client(what) == place::session ? effect::changes : effect::none;
}

}  // namespace levity::redis::detail
