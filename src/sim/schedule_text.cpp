#include "sim/schedule_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

namespace levity::inline v0::sim {
namespace {

constexpr std::string_view detaching_word = "+detaching";
constexpr unsigned depth_max = 1000;

std::optional<std::uint64_t> number_of(std::string_view text, std::uint64_t max) {
  std::uint64_t read = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc{} || end != text.data() + text.size() || read > max) return std::nullopt;
  return read;
}

// What stands before `separator`, or all of it, and is taken off with that.
std::string_view take_word(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view word = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return word;
}

std::string_view word_of(schedule_kind what) {
  switch (what) {
    case schedule_kind::random: return "random";
    case schedule_kind::fifo: return "fifo";
    case schedule_kind::pct: return "pct";
    case schedule_kind::exhaustive: return "exhaustive";
  }
  std::unreachable();
}

}  // namespace

std::string schedule_text(const schedule& how) {
  std::string text(word_of(how.what));
  if (how.what == schedule_kind::pct) text += fmt::format(":{}", how.depth);
  if (how.what == schedule_kind::pct && how.steps != 0) text += fmt::format(":{}", how.steps);
  if (how.detaching) text += detaching_word;
  return text;
}

std::expected<schedule, std::string> parse_schedule(std::string_view text, const schedule& bounds) {
  const auto refused = [whole = std::string(text)] {
    return std::unexpected(fmt::format("\"{}\" is no schedule; write random, fifo, pct:3 or exhaustive, and +detaching behind it where "
                                       "tasks are to lose their worker", whole));
  };
  schedule read = bounds;
  read.steps = 0;
  read.detaching = text.ends_with(detaching_word);
  if (read.detaching) text.remove_suffix(detaching_word.size());
  const std::string_view name = take_word(text, ':');
  bool is_known = false;
  for (const auto each : {schedule_kind::random, schedule_kind::fifo, schedule_kind::pct, schedule_kind::exhaustive}) {
    if (name != word_of(each)) continue;
    read.what = each;
    is_known = true;
  }
  if (!is_known || (read.what != schedule_kind::pct && !text.empty())) return refused();
  if (read.what != schedule_kind::pct) return read;
  const std::optional depth = number_of(take_word(text, ':'), depth_max);
  if (!depth || *depth == 0) return refused();
  read.depth = static_cast<unsigned>(*depth);
  if (text.empty()) return read;
  const std::optional steps = number_of(text, std::numeric_limits<std::uint64_t>::max());
  if (!steps) return refused();
  read.steps = *steps;
  return read;
}

std::string choices_text(std::span<const unsigned> choices) { return fmt::format("{}", fmt::join(choices, ",")); }

std::expected<std::vector<unsigned>, std::string> parse_choices(std::string_view text) {
  std::vector<unsigned> read;
  const std::string whole(text);
  while (!text.empty()) {
    const std::optional number = number_of(take_word(text, ','), std::numeric_limits<unsigned>::max());
    if (!number) return std::unexpected(fmt::format("\"{}\" are no choices; write numbers with commas between them, 0,1,0,2", whole));
    read.push_back(static_cast<unsigned>(*number));
  }
  return read;
}

}  // namespace levity::sim
