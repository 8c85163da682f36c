#include "service/suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace levity::inline v0::service::detail {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the table: an exchange looks two rows back.
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); j++) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); i++) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); j++) {
      const std::size_t changed = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({changed, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() > 100) return {};  // somebody else's text
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  std::string_view best;
  for (const std::string_view each : known) {
    const std::size_t apart = edit_distance(word, each);
    if (apart < least && apart < each.size()) {
      least = apart;
      best = each;
    }
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known) {
  const std::string_view meant = nearest(word, known);
  return meant.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", meant);
}

}  // namespace levity::service::detail
