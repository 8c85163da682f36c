#include "commands.hpp"
#include "common/nearest.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

namespace {

void print_help(std::FILE* out) {
  fmt::print(out, "usage: levity COMMAND ...\n\n");
  for (const auto& row : levity::tools::commands()) fmt::print(out, "  {:<14} {}\n", row.name, row.summary);
  fmt::print(out, "\n'levity COMMAND --help' explains one; 'levity --version' says which levity this is.\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word.empty() || word == "help" || word == "--help" || word == "-h") {
    print_help(stdout);
    return 0;
  }
  if (word == "--version") {
    fmt::print("levity {}\n", LEVITY_VERSION);
    return 0;
  }
  std::vector<std::string_view> names;
  for (const auto& row : levity::tools::commands()) {
    names.push_back(row.name);
    if (row.name != word) continue;
    try {
      return row.run(argc - 1, argv + 1);
    } catch (const std::exception& error) {
      fmt::print(stderr, "levity {}: {}\n", row.name, error.what());
      return 1;
    }
  }
  if (const auto near = levity::tools::nearest_word(word, names))
    fmt::print(stderr, "levity: there is no command '{}'; did you mean '{}'?\n", word, *near);
  else
    fmt::print(stderr, "levity: there is no command '{}'; 'levity help' lists them\n", word);
  return 1;
}
