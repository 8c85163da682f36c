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

// The words between separators; an empty one is one, too.
std::vector<std::string_view> words_of(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  for (std::size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
    words.push_back(text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  words.push_back(text);
  return words;
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
    return std::unexpected(fmt::format("\"{}\" is no schedule; write random, fifo, pct:3 or exhaustive, and +detaching behind it "
                                       "where tasks are to lose their worker", whole));
  };
  schedule read = bounds;
  read.steps = 0;
  read.detaching = text.ends_with(detaching_word);
  if (read.detaching) text.remove_suffix(detaching_word.size());
  const std::vector<std::string_view> words = words_of(text, ':');
  bool is_known = false;
  for (const auto each : {schedule_kind::random, schedule_kind::fifo, schedule_kind::pct, schedule_kind::exhaustive}) {
    if (words[0] != word_of(each)) continue;
    read.what = each;
    is_known = true;
  }
  const bool is_pct = is_known && read.what == schedule_kind::pct;
  if (!is_known || (is_pct ? words.size() < 2 || words.size() > 3 : words.size() != 1)) return refused();
  if (!is_pct) return read;
  const std::optional depth = number_of(words[1], depth_max);
  const std::optional steps = words.size() == 3 ? number_of(words[2], std::numeric_limits<std::uint64_t>::max()) : 0;
  if (!depth || *depth == 0 || !steps) return refused();
  read.depth = static_cast<unsigned>(*depth);
  read.steps = *steps;
  return read;
}

std::string choices_text(std::span<const unsigned> choices) { return fmt::format("{}", fmt::join(choices, ",")); }

std::expected<std::vector<unsigned>, std::string> parse_choices(std::string_view text) {
  std::vector<unsigned> read;
  if (text.empty()) return read;
  for (const std::string_view word : words_of(text, ',')) {
    const std::optional number = number_of(word, std::numeric_limits<unsigned>::max());
    if (!number) {
      return std::unexpected(fmt::format("\"{}\" are no choices; write numbers with commas between them, 0,1,0,2", text));
    }
    read.push_back(static_cast<unsigned>(*number));
  }
  return read;
}

}  // namespace levity::sim
