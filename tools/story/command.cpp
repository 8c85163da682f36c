#include "commands.hpp"
#include "common/quantity.hpp"
#include "common/terminal.hpp"
#include "load/report.hpp"
#include "story/act.hpp"
#include "story/page.hpp"
#include "story/show.hpp"
#include "story/verdict.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace levity::tools {

namespace {

constexpr const char* description =
    "The order service before and after: two versions, one after the other, under the same load (open loop: latency counts from "
    "the\n"
    "intended send time), while the payment service is slow for a time and the inventory service is dead for a time. Each version\n"
    "gets fresh data, and its own payment and inventory. Afterwards every acknowledged order is read back, and payment and "
    "inventory\n"
    "are asked what they have of it.";

constexpr const char* footnotes =
    "The faults lie at fixed sixteenths of the duration: payment is slow from 3/16 to 6/16, inventory dead from 9/16 to 12/16; in "
    "16 s\n"
    "that is 3 s each. A dead service takes requests and answers none until it is back; every second one it has carried out.\n\n"
    "Everything runs on this machine: generator, service, payment and inventory share its processors. Where they are few, a high\n"
    "rate measures how these get along, not the service: --no-faults tells what rate is carried at all, and the line 'late' says\n"
    "when the generator itself was late.\n\n"
    "Exit: 0 the story was told, and 'after', if it played, has met every target; 1 bad use, or somebody could not be started;\n"
    "2 'after' has missed a target; 3 it has, and the generator was late itself. The last line says which, the table marks it.\n\n"
    "Before orders are counted as lost the service gets time for the bookings that it says it owes: 15 s (--quick: 3 s), and\n"
    "twice what they take at the 300 a second of its settlement. What it owes then has a row of its own.\n\n"
    "Each fault costs 8 calls, at whatever rate: those under way until the service knows. A story with fewer writes than the\n"
    "default one may fail these 16, for of few calls they are more than 0.1%; from the default on the share alone is the target.";

struct arguments {
  std::string rate = "12000";
  std::string duration = "16s";
  std::string slow = "2s";
  std::string timeout = "5s";
  std::string only;
  double writes_percent = 10;
  std::size_t connections = 0;
  std::uint64_t customers = 10'000;
  std::uint64_t seed = 1;
  bool quick = false;
  bool no_faults = false;
  bool redis = false;
  bool quiet = false;
  std::vector<std::string> programs;
  std::string json;
  std::string html;
};

int bad_use(const std::string& sentence) {
  fmt::print(stderr, "levity story: {}\n", sentence);
  return 1;
}

std::string folder_of_this_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

std::optional<std::string> find_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const auto end = rest.find(':');
    const std::string at = std::string(rest.substr(0, end)) + "/" + program;
    if (access(at.c_str(), X_OK) == 0) return at;
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return std::nullopt;
}

struct plan {
  std::vector<story::version> versions;
  story::act_options options;
};

std::expected<double, std::string> seconds_of(const char* option, const std::string& text, double low, double high) {
  const auto ns = parse_duration_ns(text);
  if (!ns) return std::unexpected(fmt::format("{}: {}", option, ns.error()));
  const double seconds = static_cast<double>(*ns) / 1e9;
  if (seconds < low || seconds > high) return std::unexpected(fmt::format("{} is {:g} s to {:g} s", option, low, high));
  return seconds;
}

// How many customers may wait for an order at a time: those who order while a fault lasts, and as long again behind it. Four of
// five writes are new orders (mixed_traffic); what else is asked waits for no other service.
std::size_t enough_connections(const story::act_options& options) {
  double longest_s = 1;
  for (const auto& fault : options.script) longest_s = std::max(longest_s, fault.to_s - fault.from_s + fault.slow_ms / 1e3);
  const double waiting = options.rate * options.writes * 0.8 * longest_s;
  return 128 + static_cast<std::size_t>(std::clamp(std::ceil(waiting), 0.0, 8'000.0));
}

std::expected<plan, std::string> make_plan(const arguments& given) {
  plan made;
  auto& options = made.options;
  const auto rate = parse_number(given.rate);
  if (!rate || *rate < 10 || *rate > 1e6) return std::unexpected("--rate is a number of requests a second, 10 to 1M");
  options.rate = *rate;
  const auto duration = seconds_of("--duration", given.duration, 1, 3'600);
  if (!duration) return std::unexpected(duration.error());
  options.duration_s = *duration;
  const auto slow = seconds_of("--slow", given.slow, 0.001, 3'600);
  if (!slow) return std::unexpected(slow.error());
  const auto timeout = seconds_of("--timeout", given.timeout, 0.1, 600);
  if (!timeout) return std::unexpected(timeout.error());
  options.timeout_ns = static_cast<std::int64_t>(*timeout * 1e9);
  options.script = story::write_script(options.duration_s, *slow * 1e3, given.no_faults);
  options.writes = given.writes_percent / 100;
  options.customers = given.customers;
  options.seed = given.seed;
  options.shown = !given.quiet;
  if (given.quick) options.settle_ns = 3'000'000'000;
  options.connections = given.connections != 0 ? given.connections : enough_connections(options);
  const std::uint64_t files = load::raise_file_limit();
  if (options.connections + 64 > files) {
    return std::unexpected(fmt::format("{} connections need more open files than the {} allowed; raise ulimit -n",
                                       options.connections, files));
  }
  const std::string folder = folder_of_this_program();
  options.programs = folder;
  made.versions = {{"before", folder + "/orders_before", false}, {"after", folder + "/orders", true}};
  for (const std::string& word : given.programs) {
    const auto equals = word.find('=');
    const auto named = std::find_if(made.versions.begin(), made.versions.end(), [&](const auto& one) {
      return equals != std::string::npos && one.name == word.substr(0, equals);
    });
    if (named == made.versions.end() || equals + 1 == word.size())
      return std::unexpected(fmt::format("--program {}: write before=PATH or after=PATH", word));
    named->program = word.substr(equals + 1);
  }
  if (!given.only.empty()) {
    std::erase_if(made.versions, [&given](const auto& one) { return one.name != given.only; });
    if (made.versions.empty()) return std::unexpected(fmt::format("--only is before or after, not '{}'", given.only));
  }
  if (given.redis) {
    options.redis = find_in_path("redis-server");
    if (!options.redis) return std::unexpected("--redis needs redis-server: apt-get install redis-server");
  }
  return made;
}

std::expected<void, std::string> write_text(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return std::unexpected(fmt::format("'{}' cannot be written: {}", path, std::strerror(errno)));
  const bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !whole)
    return std::unexpected(fmt::format("'{}' was not written whole: {}", path, std::strerror(errno)));
  return {};
}

}  // namespace

int story_command(int argc, char** argv) {
  arguments given;
  CLI::App app(description, "levity story");
  app.footer(footnotes);
  app.add_option("-r,--rate", given.rate, "requests a second: 12000, 12k")->capture_default_str();
  app.add_option("-d,--duration", given.duration, "how long each version is driven")->capture_default_str();
  app.add_option("--only", given.only, "one version: before, or after");
  app.add_option("--writes", given.writes_percent, "share of writes in percent; most of them are new orders")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 100.0));
  app.add_option("-c,--connections", given.connections, "connections held open; as many as customers may wait, if not given")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--slow", given.slow, "what a charge takes longer while payment is slow")->capture_default_str();
  app.add_option("--timeout", given.timeout, "how long a customer waits")->capture_default_str();
  app.add_option("--customers", given.customers, "customers who order")->capture_default_str()->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--seed", given.seed, "of orders, traffic and service times")->capture_default_str();
  app.add_flag("--no-faults", given.no_faults, "everybody stays well: what rate does this machine carry?");
  app.add_flag("--redis", given.redis, "start a redis-server beside, for the versions that use one");
  app.add_flag("--quick", given.quick, "wait shorter for what is still to be settled behind the load");
  app.add_option("--program", given.programs, "another program for a version: after=PATH")->take_all()->allow_extra_args(false);
  app.add_option("--json", given.json, "write everything to this file, '-' for standard output");
  app.add_option("--html", given.html, "write the page with the plots to this file");
  app.add_flag("-q,--quiet", given.quiet, "no live line, no timeline, no table");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  const auto made = make_plan(given);
  if (!made) return bad_use(made.error());
  const paint colours = paint::for_fd(STDOUT_FILENO);
  const bool shown = !given.quiet && given.json != "-";
  if (shown) {
    fmt::print(
        "{}  {:g} requests a second for {:g} s, {:g}% writes, {} connections; {} processors for generator, service, payment and "
        "inventory\n\n",
        colours.bold("levity story"), made->options.rate, made->options.duration_s, given.writes_percent, made->options.connections,
        std::thread::hardware_concurrency());
    std::fflush(stdout);
  }

  std::vector<story::act_result> acts;
  std::vector<std::string> not_played;
  for (const story::version& one : made->versions) {
    auto act = story::play(one, made->options);
    if (!act) {
      not_played.push_back(fmt::format("'{}' was not played: {}", one.name, act.error()));
      continue;
    }
    const bool interrupted = act->run.interrupted;
    acts.push_back(std::move(*act));
    if (shown) fmt::print("{}", story::show_timeline(acts.back(), made->options, colours));
    std::fflush(stdout);
    if (interrupted) break;
  }
  const auto table = story::compare(acts, made->options);
  if (shown && !acts.empty()) fmt::print("{}", story::show_table(table, acts, colours));
  std::fflush(stdout);
  if (!given.json.empty()) {
    if (const auto written = load::write_json(given.json, story::to_json(acts, made->options, table)); !written)
      return bad_use(written.error());
  }
  if (!given.html.empty()) {
    if (const auto written = write_text(given.html, story::draw_page(acts, made->options, table)); !written)
      return bad_use(written.error());
    if (shown) fmt::print("\n  the page is {}\n", given.html);
  }
  std::fflush(stdout);
  for (const std::string& sentence : not_played) bad_use(sentence);
  if (!not_played.empty()) return 1;
  const story::verdict comes_to = story::conclude(acts, made->options, table);
  if (comes_to.exit_code != 0) fmt::print(stderr, "{} {}\n", paint::for_fd(STDERR_FILENO).red("failed"), comes_to.sentence);
  else if (shown) fmt::print("\n  {}  {}\n", comes_to.judged ? colours.green("PASS") : colours.dim("told"), comes_to.sentence);
  return comes_to.exit_code;
}

}  // namespace levity::tools
