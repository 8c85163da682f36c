#include "model/source_line.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>

namespace levity::inline v0::model::detail {
namespace {

bool is_of_name(char c) noexcept { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Where the name begins that ends at `end`.
std::size_t name_before(std::string_view line, std::size_t end) noexcept {
  while (end > 0 && is_of_name(line[end - 1])) end--;
  return end;
}

// Where the arguments and numbers begin that end at `end`: of `f(x)[1]`, behind f.
std::size_t groups_before(std::string_view line, std::size_t end) noexcept {
  int depth = 0;
  while (end > 0 && (depth > 0 || line[end - 1] == ')' || line[end - 1] == ']')) {
    end--;
    depth += line[end] == ')' || line[end] == ']' ? 1 : line[end] == '(' || line[end] == '[' ? -1 : 0;
  }
  return end;
}

// How many characters before `end` lead from an object to its member, or from a namespace.
std::size_t path_before(std::string_view line, std::size_t end) noexcept {
  const std::string_view before = line.substr(0, end);
  return before.ends_with("->") || before.ends_with("::") ? 2 : before.ends_with('.') ? 1 : 0;
}

struct operand {
  std::string_view name;  // the last one: `slots` of `all.slots[1]`
  std::size_t begin;      // of the whole
};

operand operand_before(std::string_view line, std::size_t end) noexcept {
  std::size_t at = groups_before(line, end);
  std::size_t begin = name_before(line, at);
  const std::string_view name = line.substr(begin, at - begin);
  while (const std::size_t path = path_before(line, begin)) {
    at = groups_before(line, begin - path);
    begin = name_before(line, at);
  }
  return {name, begin};
}

// The name of what the first argument is that begins at `begin`: empty if it is anything else than the name of an object.
std::string_view first_argument(std::string_view line, std::size_t begin) noexcept {
  int depth = 0;
  std::size_t end = begin;
  for (; end < line.size(); end++) {
    const char c = line[end];
    if (depth == 0 && (c == ',' || c == ')' || c == '}')) break;
    depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
  }
  if (begin < end && line[begin] == '*') begin++;
  const operand found = operand_before(line, end);
  return found.begin == begin ? found.name : std::string_view{};
}

}  // namespace

std::string name_of_called(std::string_view line, std::uint32_t column, std::initializer_list<std::string_view> calls) {
  if (column == 0) return {};
  std::string_view name;
  unsigned found = 0;
  for (std::size_t open = line.find('('); open != std::string_view::npos; open = line.find('(', open + 1)) {
    const std::size_t begin = name_before(line, open);
    const std::string_view call = line.substr(begin, open - begin);
    if (std::none_of(calls.begin(), calls.end(), [&](std::string_view each) { return call.starts_with(each); })) continue;
    const operand whole = operand_before(line, open);
    if (column - 1 != open && column - 1 != whole.begin) continue;
    const std::size_t path = path_before(line, begin);
    const bool is_member = path != 0 && line[begin - 1] != ':';
    name = is_member ? operand_before(line, begin - path).name : first_argument(line, open + 1);
    found++;
  }
  return found == 1 ? std::string(name) : std::string{};
}

std::string name_of_guarded(std::string_view line, std::uint32_t column) {
  if (column == 0 || column > line.size()) return {};
  std::size_t at = column - 1;
  if (line[at] == '}' || line[at] == ')') {
    int depth = 0;
    for (at++; at > 0;) {
      const char c = line[--at];
      depth += c == ')' || c == ']' || c == '}' ? 1 : c == '(' || c == '[' || c == '{' ? -1 : 0;
      if (depth == 0) break;
    }
  } else {
    while (at < line.size() && is_of_name(line[at])) at++;
  }
  if (at >= line.size() || (line[at] != '{' && line[at] != '(') || path_before(line, name_before(line, at)) != 0) return {};
  return std::string(first_argument(line, at + 1));
}

std::string_view source_lines::at(std::source_location where) {
  const auto [known, is_new] = files_.try_emplace(where.file_name());
  if (is_new) {
    std::ifstream file(where.file_name());
    for (std::string line; std::getline(file, line);) known->second.push_back(std::move(line));
  }
  const std::vector<std::string>& lines = known->second;
  return where.line() == 0 || where.line() > lines.size() ? std::string_view{} : lines[where.line() - 1];
}

std::string_view source_lines::code_at(std::source_location where) {
  const std::string_view line = at(where);
  const std::size_t begin = line.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  const std::size_t comment = line.find("  //");
  return line.substr(begin, (comment == std::string_view::npos || comment < begin ? line.size() : comment) - begin);
}

}  // namespace levity::model::detail
