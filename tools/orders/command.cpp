#include "commands.hpp"
#include "common/quantity.hpp"
#include "common/terminal.hpp"
#include "load/report.hpp"
#include "orders/drive.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace levity::tools {

namespace {

constexpr const char* description =
    "Drives the order service at a fixed rate (open loop: latency counts from the intended send time), remembers every order\n"
    "it has acknowledged and the last state it has acknowledged, reads all of them back afterwards and compares.\n"
    "It is passed when no request failed, no order is missing or differs, the rate was kept and p99 is below its limit.";

constexpr const char* footnotes =
    "Exit: 0 passed; 1 bad use, or the service could not be reached; 2 failed; 3 the run is INVALID, because the generator\n"
    "itself was late: its send lag at p99 is more than --lag-limit, by default a quarter of --p99-limit. (Lag makes latencies\n"
    "larger, never smaller; up to a quarter it cannot turn a fail into a pass, nor the shape of the load into another one.)\n"
    "An INVALID run says nothing of rate and latency, nor by requests that timed out or were not sent in time; a request that\n"
    "failed otherwise or an order that is missing fails it all the same.\n\n"
    "A crash test in two steps: --ledger FILE writes what was acknowledged even when the service dies on the way;\n"
    "--verify FILE, after a restart, only reads it back and compares.";

struct arguments {
  std::string url = "http://127.0.0.1:8080";
  std::string rate = "12000";
  std::string duration = "10s";
  std::string warmup = "0s";
  std::string timeout = "10s";
  std::string tick = "1ms";
  std::string p99_limit = "20ms";
  std::string lag_limit;
  double writes_percent = 30;
  std::size_t connections = 128;
  std::size_t threads = 1;
  std::uint64_t customers = 10'000;
  std::uint64_t seed = 0;
  int pid = 0;
  bool quiet = false;
  std::string json;
  std::string ledger;
  std::string verify;
};

int bad_use(const std::string& sentence) {
  fmt::print(stderr, "levity drive-orders: {}\n", sentence);
  return 1;
}

struct plan {
  orders::drive_options drive;
  std::int64_t lag_limit_ns = 0;
};

std::expected<plan, std::string> make_plan(const arguments& given) {
  plan made;
  auto& options = made.drive.load;
  const auto read_time = [](const char* option, const std::string& text, std::int64_t& into) {
    const auto ns = parse_duration_ns(text);
    if (ns) into = *ns;
    return ns ? std::string{} : fmt::format("{}: {}", option, ns.error());
  };
  for (const std::string& wrong : {read_time("--duration", given.duration, options.duration_ns),
                                   read_time("--warmup", given.warmup, options.warmup_ns),
                                   read_time("--timeout", given.timeout, options.timeout_ns),
                                   read_time("--tick", given.tick, options.tick_ns),
                                   read_time("--p99-limit", given.p99_limit, made.drive.p99_limit_ns)})
    if (!wrong.empty()) return std::unexpected(wrong);
  made.lag_limit_ns = made.drive.p99_limit_ns / 4;
  if (!given.lag_limit.empty())
    if (const auto wrong = read_time("--lag-limit", given.lag_limit, made.lag_limit_ns); !wrong.empty())
      return std::unexpected(wrong);
  const auto where = load::parse_target(given.url);
  if (!where) return std::unexpected(where.error());
  if (where->kind != load::protocol::http || where->path != "/")
    return std::unexpected("the order service is named by http://host:port, without a path");
  options.where = *where;
  const auto rate = parse_number(given.rate);
  if (!rate || *rate <= 0 || *rate > 10e6) return std::unexpected("--rate is a number above 0, at most 10M");
  options.rate = *rate;
  if (options.duration_ns <= 0 || options.timeout_ns <= 0)
    return std::unexpected("--duration and --timeout must be longer than nothing");
  if (options.warmup_ns >= options.duration_ns)
    return std::unexpected("--warmup is a part of --duration and must be shorter");
  options.connections = given.connections;
  options.threads = given.threads;
  const std::uint64_t files = load::raise_file_limit();
  if (given.connections + 32 > files)
    return std::unexpected(fmt::format("{} connections need more open files than the {} allowed; raise ulimit -n",
                                       given.connections, files));
  if (const auto known = load::resolve(options.where); !known) return std::unexpected(known.error());
  made.drive.writes = given.writes_percent / 100;
  // Another seed each time, so that a second drive of the same store makes new orders.
  made.drive.seed = given.seed != 0 ? given.seed : static_cast<std::uint64_t>(load::now_ns()) ^ (std::uint64_t(getpid()) << 40);
  made.drive.customers = given.customers;
  made.drive.pid = given.pid;
  made.drive.live = !given.quiet;
  return made;
}

std::string show_service(const orders::drive_result& result, const paint& colours) {
  const auto& watch = *result.watch;
  std::string out;
  const auto cpu = watch.cpu_ns();
  if (cpu && result.run.sent > 0) {
    const double seconds = result.run.seconds() > 0 ? result.run.seconds() : 1;
    out += fmt::format("  {:<12}{} RSS, at most {}; {:.0f}% of one core, {} CPU a request; {} threads\n", "service",
                       colours.bold(show_bytes(static_cast<double>(watch.last()->rss_bytes))),
                       show_bytes(static_cast<double>(watch.rss_bytes_max())),
                       static_cast<double>(*cpu) / 1e7 / seconds,
                       show_duration(static_cast<double>(*cpu) / static_cast<double>(result.run.sent)), watch.last()->threads);
  }
  if (watch.tasks())
    out += fmt::format("  {:<12}{}, at most {} seen\n", "tasks", show_count(*watch.tasks()), show_count(*watch.tasks_max()));
  return out;
}

std::string show_checked(const orders::read_back_result& checked, const paint& colours) {
  const auto count = [&colours](const orders::complaints& some, const char* what) {
    const std::string text = fmt::format("{} {}", show_count(some.count()), what);
    return some.count() == 0 ? colours.green(text) : colours.red(text);
  };
  return fmt::format("  {:<12}{} read back in {:.2f} s: {}, {}; {} POSTs repeated{}\n", "orders", show_count(checked.compared),
                     checked.run.seconds(), count(checked.missing, "missing"), count(checked.differing, "differing"),
                     show_count(checked.repeated),
                     checked.unread.count() == 0 ? "" : "; " + count(checked.unread, "could not be read"));
}

void print_complaints(const orders::complaints& some, const paint& colours) {
  for (const auto& sentence : some.kept()) fmt::print(stderr, "{} {}\n", colours.yellow("wrong "), sentence);
  if (some.count() > some.kept().size())
    fmt::print(stderr, "{} and {} more\n", colours.yellow("wrong "), show_count(some.count() - some.kept().size()));
}

void print_complaints(const orders::read_back_result& checked, const paint& colours) {
  print_complaints(checked.missing, colours);
  print_complaints(checked.differing, colours);
  print_complaints(checked.unread, colours);
}

int conclude(const std::vector<std::string>& broken, const paint& colours, bool shown) {
  for (const auto& sentence : broken) fmt::print(stderr, "{} {}\n", colours.red("failed"), sentence);
  if (broken.empty() && shown) fmt::print("\n  {}\n", colours.green("PASS"));
  return broken.empty() ? 0 : 2;
}

nlohmann::ordered_json checked_json(const orders::read_back_result& checked) {
  return {{"compared", checked.compared},           {"missing", checked.missing.count()},
          {"differing", checked.differing.count()}, {"unread", checked.unread.count()},
          {"repeated", checked.repeated},           {"seconds", checked.run.seconds()}};
}

int verify(const arguments& given, const plan& made, const paint& colours, const paint& warnings) {
  const auto kept = orders::ledger::read(given.verify);
  if (!kept) return bad_use(kept.error());
  const auto checked = orders::check_orders(made.drive.load, kept->maker, kept->orders, made.drive.repeats);
  if (!checked) return bad_use(checked.error());
  auto broken = orders::broken_promises(*checked);
  if (broken.empty() && checked->compared != kept->orders.entries().size()) broken.emplace_back("not every order was read back");
  if (!given.json.empty()) {
    nlohmann::ordered_json json{{"tool", "levity drive-orders --verify"}, {"passed", broken.empty()}, {"broken", broken}};
    json["read_back"] = checked_json(*checked);
    if (const auto written = load::write_json(given.json, json); !written) return bad_use(written.error());
  }
  const bool shown = !given.quiet && given.json != "-";
  if (shown) fmt::print("{}", show_checked(*checked, colours));
  std::fflush(stdout);
  print_complaints(*checked, warnings);
  return conclude(broken, warnings, shown);
}

}  // namespace

int drive_orders_command(int argc, char** argv) {
  arguments given;
  CLI::App app(description, "levity drive-orders");
  app.footer(footnotes);
  app.add_option("url", given.url, "http://host:port of the service")->capture_default_str();
  app.add_option("-r,--rate", given.rate, "requests a second: 12000, 12k")->capture_default_str();
  app.add_option("-d,--duration", given.duration, "how long to send")->capture_default_str();
  app.add_option("-c,--connections", given.connections, "connections held open")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", given.threads, "generator threads")->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--writes", given.writes_percent, "share of writes in percent")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--customers", given.customers, "customers who order")->capture_default_str()->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--seed", given.seed, "of the orders; 0 takes another one each time")->capture_default_str();
  app.add_option("--pid", given.pid, "process of the service: show its memory and processor time");
  app.add_option("--timeout", given.timeout, "of a request since its intended time")->capture_default_str();
  app.add_option("--warmup", given.warmup, "first part of the duration, not counted in the latencies")->capture_default_str();
  app.add_option("--tick", given.tick, "requests of one tick are due together; 0s spaces them evenly")->capture_default_str();
  app.add_option("--p99-limit", given.p99_limit, "largest p99 that passes")->capture_default_str();
  app.add_option("--lag-limit", given.lag_limit, "send lag p99 above which the run is INVALID");
  app.add_option("--json", given.json, "write everything to this file, '-' for standard output");
  auto* ledger = app.add_option("--ledger", given.ledger, "write what was acknowledged to this file");
  app.add_option("--verify", given.verify, "do not drive; read the orders of this ledger back")->excludes(ledger);
  app.add_flag("-q,--quiet", given.quiet, "no live line, no table, no picture");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  const auto made = make_plan(given);
  if (!made) return bad_use(made.error());
  const paint colours = paint::for_fd(STDOUT_FILENO);
  const paint warnings = paint::for_fd(STDERR_FILENO);
  if (!given.verify.empty()) return verify(given, *made, colours, warnings);

  const auto& options = made->drive.load;
  const bool shown = !given.quiet && given.json != "-";
  if (shown)
    fmt::print("{} {}  {:g} requests a second for {} over {} connections, {:g}% writes\n\n",
               colours.bold("levity drive-orders"), given.url, options.rate,
               show_duration(static_cast<double>(options.duration_ns)), options.connections, given.writes_percent);
  std::fflush(stdout);

  auto result = orders::drive(made->drive);
  if (!result) return bad_use(result.error());
  const auto broken = orders::broken_promises(made->drive, *result);
  const auto invalid = load::invalid_because(result->run, made->lag_limit_ns, false);
  if (shown)
    fmt::print("{}\n{}{}{}", load::show_picture(result->run, colours), load::show_table(result->run, options, colours),
               show_service(*result, colours), show_checked(result->checked, colours));
  if (!given.ledger.empty()) {
    const orders::order_maker maker(made->drive.seed, made->drive.customers);
    if (const auto written = result->orders.write(given.ledger, maker); !written) return bad_use(written.error());
  }
  if (!given.json.empty()) {
    auto json = load::to_json(result->run, options, made->lag_limit_ns);
    json["tool"] = "levity drive-orders";
    json["passed"] = broken.empty() && !invalid;
    json["broken"] = broken;
    json["seed"] = made->drive.seed;
    json["sent"] = {{"created", result->counts.created}, {"changed", result->counts.changed},
                    {"refused_changes", result->counts.refused_changes}, {"repeated", result->counts.repeated},
                    {"read", result->counts.read}, {"listed", result->counts.listed}};
    json["orders_acknowledged"] = result->orders.entries().size();
    json["wrong_answers"] = result->wrong.count();
    json["read_back"] = checked_json(result->checked);
    const auto& watch = *result->watch;
    if (const auto cpu = watch.cpu_ns()) {
      json["service_cpu_ns"] = *cpu;
      json["service_rss_bytes"] = watch.last()->rss_bytes;
      json["service_rss_bytes_max"] = watch.rss_bytes_max();
      json["service_threads"] = watch.last()->threads;
    }
    if (watch.tasks()) {
      json["service_tasks"] = *watch.tasks();
      json["service_tasks_max"] = *watch.tasks_max();
    }
    if (const auto written = load::write_json(given.json, json); !written) return bad_use(written.error());
  }
  std::fflush(stdout);
  print_complaints(result->wrong, warnings);
  print_complaints(result->checked, warnings);
  if (!invalid) return conclude(broken, warnings, shown);
  fmt::print(stderr, "{} {}\n", warnings.red("INVALID"), *invalid);
  // How late the generator was excuses no order that is missing, and no request that failed otherwise.
  const bool holds = orders::broken_promises(made->drive, *result, false).empty();
  conclude(broken, warnings, false);
  return holds ? 3 : 2;
}

}  // namespace levity::tools
