#include "inspect/function_name.hpp"

#include <algorithm>
#include <cstddef>

namespace levity::inline v0::detail {
namespace {

bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// How long the bracket is that `text` begins with, its end included. Inside round ones `<` may be a comparison, which nothing ends.
std::size_t bracket_length(std::string_view text) {
  std::string open;
  for (std::size_t at = 0; at < text.size(); at++) {
    const char c = text[at];
    if (c == '<' || c == '(') open += c;
    if (c == '>' && open.back() == '<' && text[at - 1] != '-') open.pop_back();
    if (c == ')') {
      while (open.size() > 1 && open.back() == '<') open.pop_back();
      open.pop_back();
    }
    if (open.empty()) return at + 1;
  }
  return text.size();
}

// The name of an operator, without its word: "()", "<=>", " new[]", " bool".
std::string_view operator_name(std::string_view behind) {
  for (const std::string_view each : {"()", "[]", "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "<", ">"}) {
    if (behind.starts_with(each)) return each;
  }
  return behind.substr(0, behind.find_first_of("(<"));
}

}  // namespace

std::string function_name(std::string_view signature) {
  std::string name;
  std::string_view rest = signature;
  const auto take = [&](std::size_t count) {
    name += rest.substr(0, count);
    rest.remove_prefix(count);
  };
  while (!rest.empty()) {
    const bool begins = name.empty() || name.ends_with(':');
    bool is_nameless = false;
    for (const std::string_view nameless : {"(anonymous namespace)::", "{anonymous}::"}) {
      if (!rest.starts_with(nameless)) continue;
      name.clear();
      rest.remove_prefix(nameless.size());
      is_nameless = true;
    }
    if (is_nameless) continue;
    constexpr std::string_view overloaded = "operator";
    if (begins && rest.starts_with(overloaded) && rest.size() > overloaded.size() && !is_word(rest[overloaded.size()])) {
      take(overloaded.size());
      take(operator_name(rest).size());
      break;
    }
    const char c = rest.front();
    if (c == '<') {
      // g++ calls a lambda <lambda(int)>.
      if (begins) name += rest.starts_with("<lambda") ? "<lambda>" : "";
      rest.remove_prefix(bracket_length(rest));
    } else if (c == '(') {
      // clang calls one (anonymous class); decltype(auto) is no name.
      if (begins) {
        take(bracket_length(rest));
      } else if (name == "decltype") {
        rest.remove_prefix(bracket_length(rest));
      } else {
        break;
      }
    } else if (c == ' ' || c == '*' || c == '&') {
      name.clear();  // what came before was no part of it
      rest.remove_prefix(1);
    } else {
      take(1);
    }
  }
  return name.empty() ? std::string(signature) : name;
}

}  // namespace levity::detail
