#include "levity/model/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "model/replay.hpp"
#include "model/weakening.hpp"

namespace levity::inline v0::model {
namespace {

struct entry {
  const char* name;
  void (*body)();
  options wanted;
};

std::vector<entry>& scenarios() {
  static std::vector<entry> all;
  return all;
}

struct arguments {
  std::vector<std::string_view> only;
  std::uint64_t executions_max = 0;  // 0: as each scenario says
  bool random = false;
  std::uint64_t seed = 0;
  bool list = false;
};

[[noreturn]] void refuse(const std::string& why) {
  std::fflush(stdout);  // what it is about comes first
  std::fprintf(stderr, "levity: %s\n", why.c_str());
  std::exit(2);
}

std::uint64_t number(std::string_view option, const char* text) {
  std::uint64_t value = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, failed] = std::from_chars(text, end, value);
  if (failed != std::errc{} || stop != end) refuse(fmt::format("{} takes a number, not \"{}\"", option, text));
  return value;
}

arguments parse(int count, char** values) {
  arguments read;
  for (int i = 1; i < count; i++) {
    const std::string_view option = values[i];
    const auto value = [&] {
      if (++i == count) refuse(fmt::format("{} takes a value, and there is none", option));
      return values[i];
    };
    if (option == "--only") {
      read.only.emplace_back(value());
    } else if (option == "--executions") {
      read.executions_max = number(option, value());
    } else if (option == "--seed") {
      read.seed = number(option, value());
    } else if (option == "--random") {
      read.random = true;
    } else if (option == "--list") {
      read.list = true;
    } else {
      refuse(fmt::format("there is no option \"{}\"; those there are: --only NAME, --executions N, --random, --seed N, --list",
                         option));
    }
  }
  for (const std::string_view name : read.only) {
    bool known = false;
    for (const entry& each : scenarios()) known = known || name == each.name;
    if (!known) refuse(fmt::format("there is no scenario \"{}\"; --list names those there are", name));
  }
  return read;
}

// True: it passed.
bool run(const entry& one, const arguments& read, const char* program) {
  options wanted = one.wanted;
  if (read.executions_max != 0) wanted.executions_max = std::min(wanted.executions_max, read.executions_max);
  if (read.random) wanted.how = options::mode::random;
  if (read.seed != 0) wanted.seed = read.seed;
  if (const char* const replay = std::getenv("LEVITY_MODEL_REPLAY"); replay != nullptr) wanted.replay = replay;
  const result seen = explore(wanted, one.body);
  const std::uint64_t all = seen.executions + seen.redundant;
  fmt::print("{:<6} {:<50} {:>9} executions{}, {} redundant, {:.2f} s, {:.0f} a second, {:.1f} steps each\n",
             seen.failure ? "FAILS" : seen.astray ? "astray" : "ok", one.name, seen.executions,
             !seen.complete ? "" : seen.bounded ? fmt::format(", all within bounds ({})", seen.bounded.text()) : ", all",
             seen.redundant, seen.seconds,
             static_cast<double>(all) / std::max(seen.seconds, 1e-9),
             static_cast<double>(seen.steps) / static_cast<double>(std::max<std::uint64_t>(all, 1)));
  if (seen.failure) {
    const char* const weakened = std::getenv("LEVITY_MODEL_WEAKEN");
    const bool is_buffered = wanted.load_buffering != options::buffering::none && wanted.how == options::mode::random;
    const bool by_seed = wanted.remembers || is_buffered;
    const std::string again =
        by_seed ? fmt::format("{} --only {} --random --seed {} --executions {}", program, one.name, wanted.seed, all)
                : fmt::format("LEVITY_MODEL_REPLAY={} {} --only {}", seen.failure->replay, program, one.name);
    fmt::print("\n{}\n\n{}\n{}{}\n\n", seen.failure->what, seen.failure->interleaving,
               weakened != nullptr ? fmt::format("LEVITY_MODEL_WEAKEN={} ", weakened) : "", again);
  }
  if (seen.astray && !seen.failure) {
    refuse("LEVITY_MODEL_REPLAY is of another program, or of other options: its answers did not fit");
  }
  return !seen.failure;
}

}  // namespace

scenario::scenario(const char* name, void (*body)(), options wanted) { scenarios().push_back({name, body, std::move(wanted)}); }

int run_scenarios(int count, char** values) {
  const arguments read = parse(count, values);
  if (read.list) {
    for (const entry& each : scenarios()) fmt::print("{}\n", each.name);
    return 0;
  }
  if (const char* const replay = std::getenv("LEVITY_MODEL_REPLAY"); replay != nullptr) {
    if (read.only.size() != 1) refuse("LEVITY_MODEL_REPLAY is of one scenario: name it by --only");
    detail::answer_list given;
    if (const std::string wrong = detail::read_line(replay, given); !wrong.empty()) refuse("LEVITY_MODEL_REPLAY " + wrong);
  }
  detail::weakening& weakened = detail::weakening::of_environment();
  bool made_weakened = weakened.places().empty();
  bool passed = true;
  for (const entry& each : scenarios()) {
    bool wanted = read.only.empty();
    for (const std::string_view name : read.only) wanted = wanted || name == each.name;
    if (!wanted) continue;
    weakened.forget();
    if (!run(each, read, values[0])) passed = false;
    for (const detail::weakening::place& place : weakened.places()) {
      if (place.made == 0) continue;
      made_weakened = true;
      fmt::print("       made {}:{}-{} {} times\n", place.path, place.first, place.last, place.made);
    }
    std::fflush(stdout);
  }
  if (!passed) return 1;
  if (made_weakened) return 0;
  std::fprintf(stderr, "levity: LEVITY_MODEL_WEAKEN took nothing away: no scenario came by an operation on those lines; is the "
                       "path as the compiler was given it, and the line that of the operation?\n");
  return 3;
}

}  // namespace levity::model
