#include "model/replay.hpp"

#include <charconv>
#include <limits>

#include "model/view.hpp"

namespace levity::inline v0::model::detail {

std::string line_of(const answer_list& given) {
  std::string text;
  for (std::size_t i = 0; i < given.size();) {
    std::size_t same = 1;
    while (i + same < given.size() && given[i + same] == given[i]) same++;
    if (given[i] < 0) {
      text += static_cast<char>('a' + (-1 - given[i]));
    } else {
      if (!text.empty() && text.back() >= '0' && text.back() <= '9') text += '.';
      text += std::to_string(given[i]);
    }
    if (same > 1) text += 'x' + std::to_string(same);
    i += same;
  }
  return text.empty() ? "." : text;
}

std::string read_line(std::string_view line, answer_list& into) {
  constexpr std::string_view remedy = "; give it the line that a failure has printed, or none at all";
  if (line.empty()) return "is empty" + std::string(remedy);
  into.clear();
  const char* at = line.data();
  const char* const end = at + line.size();
  std::uint32_t value = 0;
  const auto is_number = [&](std::uint32_t least, std::uint32_t most) {
    const auto [stop, failed] = std::from_chars(at, end, value);
    if (failed != std::errc{} || value < least || value > most) return false;
    at = stop;
    return true;
  };
  while (at != end) {
    const char* const begin = at;
    bool fits = true;
    if (*at >= 'a' && *at < static_cast<char>('a' + threads_max)) {
      into.push_back(static_cast<std::int16_t>(-1 - (*at++ - 'a')));
    } else if (*at == 'x') {
      at++;
      fits = !into.empty() && is_number(2, 1'000'000);
      if (fits) into.insert(into.end(), value - 1, std::int16_t{into.back()});
    } else if (*at == '.') {
      at++;
    } else {
      fits = is_number(0, std::numeric_limits<std::int16_t>::max());
      if (fits) into.push_back(static_cast<std::int16_t>(value));
    }
    if (!fits) return "cannot be read at \"" + std::string(begin, end) + "\"" + std::string(remedy);
  }
  return {};
}

}  // namespace levity::model::detail
