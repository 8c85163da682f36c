#include "commands.hpp"
#include "common/quantity.hpp"
#include "common/terminal.hpp"
#include "load/expectation.hpp"
#include "load/http_workload.hpp"
#include "load/report.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace levity::tools {

namespace {

constexpr const char* description =
    "Drives an HTTP/1.1 server (http://host:port/path) or a TCP echo (tcp://host:port) at a fixed rate.\n\n"
    "Open loop: the send times are fixed before the run. A request whose time has come goes to an idle connection or waits\n"
    "for one in a queue; its latency counts from the intended time, the waiting included. 'corrected' is that latency,\n"
    "'service' counts from the moment a connection took the request: what a client that waits politely would have seen.\n"
    "A timeout counts as a latency too (with the time it had waited); refused, reset and eof do not, they end too fast.";

constexpr const char* footnotes =
    "Exit: 0 well; 1 bad use, or no connection could be opened; 2 an expectation was missed; 3 the run is INVALID.\n\n"
    "INVALID. The send lag is how late the generator itself was, from the intended time until the request was handed to a\n"
    "connection or its queue. Being late can only make the corrected latency larger, never smaller; but it turns an even\n"
    "stream into bursts, and a figure that is mostly lag says nothing about the server. Single outliers of some ms are\n"
    "normal on a machine with few cores (the scheduler lets others finish their slice): they belong to less than one request\n"
    "in a hundred and cloud only p99.9 and beyond, which the report then says. A lag that reaches p99 is the generator's\n"
    "usual state: the run is INVALID above --lag-limit. Keep that limit well below the latencies you want to judge.\n"
    "It is INVALID too when a generator thread was busy for more than 95% of the time: then it is the bottleneck.\n\n"
    "Pacing. Waking up from a short sleep costs tens of microseconds of processor time on a virtual machine. Where that is\n"
    "too dear, --tick 1ms makes all requests of one millisecond due together (small bursts, the harder load for the server),\n"
    "and --spin never sleeps (exact, takes a core).\n\n"
    "Expectations: METRIC OP VALUE, for example 'p99<20ms' 'errors<0.5%' 'rate>=99%'. Metrics: p0..p100 min mean max, with\n"
    "service. or lag. before them for the other latencies; errors; rate; answers; refused reset eof timeout unsent\n"
    "bad_response status_4xx status_5xx mismatch. A share in % is one of all requests, for the rate one of the asked rate.";

struct arguments {
  std::string url;
  std::string rate;
  std::string duration = "10s";
  std::string warmup = "0s";
  std::string timeout = "10s";
  std::string tick = "0s";
  std::string lag_limit = "1ms";
  std::size_t connections = 64;
  std::size_t threads = 1;
  std::size_t echo_bytes = 64;
  std::string method;
  std::string body;
  std::string body_file;
  std::vector<std::string> headers;
  bool closed = false;
  bool spin = false;
  bool quiet = false;
  std::string json;
  std::vector<std::string> expectations;
};

int bad_use(const std::string& sentence) {
  fmt::print(stderr, "levity load: {}\n", sentence);
  return 1;
}

struct plan {
  load::engine_options options;
  std::string request;
  bool to_head = false;
  std::int64_t lag_limit_ns = load::lag_limit_default_ns;
  std::vector<load::expectation> expectations;
};

std::expected<plan, std::string> make_plan(const arguments& given) {
  plan made;
  const auto read_time = [](const char* option, const std::string& text, std::int64_t& into) {
    const auto ns = parse_duration_ns(text);
    if (ns) into = *ns;
    return ns ? std::string{} : fmt::format("{}: {}", option, ns.error());
  };
  for (const std::string& wrong : {read_time("--duration", given.duration, made.options.duration_ns),
                                   read_time("--warmup", given.warmup, made.options.warmup_ns),
                                   read_time("--timeout", given.timeout, made.options.timeout_ns),
                                   read_time("--tick", given.tick, made.options.tick_ns),
                                   read_time("--lag-limit", given.lag_limit, made.lag_limit_ns)})
    if (!wrong.empty()) return std::unexpected(wrong);

  const auto where = load::parse_target(given.url);
  if (!where) return std::unexpected(where.error());
  made.options.where = *where;
  made.options.closed = given.closed;
  if (given.closed && !given.rate.empty()) return std::unexpected("a closed loop has no rate; leave --rate or --closed");
  if (!given.closed) {
    if (given.rate.empty())
      return std::unexpected("say how many requests a second with --rate, or --closed for as many as it takes");
    const auto rate = parse_number(given.rate);
    if (!rate) return std::unexpected(fmt::format("--rate: {}", rate.error()));
    if (*rate <= 0 || *rate > 10e6) return std::unexpected("--rate must be above 0 and at most 10M");
    made.options.rate = *rate;
  }
  if (made.options.duration_ns <= 0) return std::unexpected("--duration must be longer than nothing");
  if (made.options.timeout_ns <= 0) return std::unexpected("--timeout must be longer than nothing");
  if (made.options.warmup_ns >= made.options.duration_ns)
    return std::unexpected("--warmup is a part of --duration and must be shorter");
  made.options.connections = given.connections;
  made.options.threads = given.threads;
  made.options.spin = given.spin;
  made.options.echo_bytes = given.echo_bytes;
  const std::uint64_t files = load::raise_file_limit();
  if (given.connections + 32 > files)
    return std::unexpected(fmt::format("{} connections need more open files than the {} allowed; raise ulimit -n",
                                       given.connections, files));

  if (made.options.where.kind == load::protocol::http) {
    std::string body = given.body;
    if (!given.body_file.empty()) {
      std::ifstream file(given.body_file, std::ios::binary);
      if (!file) return std::unexpected(fmt::format("--body-file: '{}' cannot be read", given.body_file));
      body.assign(std::istreambuf_iterator<char>(file), {});
    }
    const std::string method = !given.method.empty() ? given.method : body.empty() ? "GET" : "POST";
    const auto request = load::build_request(made.options.where, method, given.headers, body);
    if (!request) return std::unexpected(request.error());
    made.request = *request;
    made.to_head = method == "HEAD";
  } else if (!given.method.empty() || !given.body.empty() || !given.body_file.empty() || !given.headers.empty()) {
    return std::unexpected("--method, --body and --header belong to http://; an echo takes --size");
  }
  for (const auto& text : given.expectations) {
    auto wanted = load::expectation::parse(text);
    if (!wanted) return std::unexpected(fmt::format("--expect {}", wanted.error()));
    made.expectations.push_back(std::move(*wanted));
  }
  if (const auto known = load::resolve(made.options.where); !known) return std::unexpected(known.error());
  return made;
}

}  // namespace

int load_command(int argc, char** argv) {
  arguments given;
  CLI::App app(description, "levity load");
  app.footer(footnotes);
  app.add_option("url", given.url, "http://host:port/path or tcp://host:port")->required();
  app.add_option("-r,--rate", given.rate, "requests a second, all together: 12000, 12k");
  app.add_option("-d,--duration", given.duration, "how long to send")->capture_default_str();
  app.add_option("-c,--connections", given.connections, "connections held open")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", given.threads, "generator threads")->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--method", given.method, "GET, or POST when there is a body");
  auto* body = app.add_option("--body", given.body, "request body");
  app.add_option("--body-file", given.body_file, "file with the request body")->excludes(body);
  app.add_option("--header", given.headers, "'Name: value'; may be repeated")->take_all()->allow_extra_args(false);
  app.add_option("--size", given.echo_bytes, "bytes of an echo message")->capture_default_str()->check(CLI::Range(1, 64 << 20));
  app.add_flag("--closed", given.closed, "closed loop: each connection sends when it has its answer");
  app.add_option("--timeout", given.timeout, "of a request since its intended time, and of a connect")->capture_default_str();
  app.add_option("--warmup", given.warmup, "first part of the duration, not counted")->capture_default_str();
  app.add_option("--tick", given.tick, "requests of one tick are due together; 0s spaces them evenly")->capture_default_str();
  app.add_flag("--spin", given.spin, "never sleep; takes a whole core for each generator thread");
  app.add_option("--lag-limit", given.lag_limit, "send lag p99 above which the run is INVALID")->capture_default_str();
  app.add_option("--expect", given.expectations, "what the run must keep to; may be repeated");
  app.add_option("--json", given.json, "write everything to this file, '-' for standard output");
  app.add_flag("-q,--quiet", given.quiet, "no live line, no table, no picture");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }

  const auto made = make_plan(given);
  if (!made) return bad_use(made.error());
  const load::engine_options& options = made->options;
  const bool shown = !given.quiet && given.json != "-";
  const paint colours = paint::for_fd(STDOUT_FILENO);
  if (shown)
    fmt::print("{} {}  {} for {} over {} connections\n\n", colours.bold("levity load"), given.url,
               options.closed ? "closed loop" : fmt::format("{:g} requests a second", options.rate),
               show_duration(static_cast<double>(options.duration_ns)), options.connections);
  std::fflush(stdout);

  const auto run = load::run_watched(
      options,
      [&made](std::size_t) -> std::unique_ptr<load::workload> {
        return std::make_unique<load::http_workload>(made->request, made->to_head);
      },
      shown);
  if (!run) return bad_use(run.error());

  if (shown) fmt::print("{}\n{}", load::show_picture(*run, colours), load::show_table(*run, options, colours));
  std::vector<std::string> missed;
  for (const auto& wanted : made->expectations)
    if (auto line = wanted.missed(*run, options.rate)) missed.push_back(std::move(*line));
  if (!given.json.empty()) {
    auto json = load::to_json(*run, options, made->lag_limit_ns);
    json["missed"] = missed;
    if (const auto written = load::write_json(given.json, json); !written) return bad_use(written.error());
  }
  std::fflush(stdout);
  const paint warnings = paint::for_fd(STDERR_FILENO);
  for (const auto& line : missed) fmt::print(stderr, "{} {}\n", warnings.red("missed"), line);
  if (const auto invalid = load::invalid_because(*run, made->lag_limit_ns, options.closed)) {
    fmt::print(stderr, "{} {}\n", warnings.red("INVALID"), *invalid);
    return 3;
  }
  return missed.empty() ? 0 : 2;
}

}  // namespace levity::tools
