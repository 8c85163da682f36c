#include "load/report.hpp"

#include "common/picture.hpp"
#include "common/quantity.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace levity::load {

namespace {

using tools::show_bytes;
using tools::show_count;
using tools::show_duration;

constexpr std::array<std::pair<std::string_view, double>, 6> columns{
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1.0}}};

std::string latency_row(std::string_view name, const histogram& latency) {
  std::string row = fmt::format("  {:<12}", name);
  for (const auto& [column, quantile] : columns)
    row += fmt::format("{:>10}", latency.count() == 0 ? "-" : show_duration(static_cast<double>(latency.value_at(quantile))));
  return row + fmt::format("{:>10}\n", latency.count() == 0 ? "-" : show_duration(latency.mean()));
}

// Percentiles of which the generator's own lag is more than a quarter: they say more about this machine than the server.
std::string clouded_columns(const tally& run) {
  std::string names;
  for (const auto& [column, quantile] : columns) {
    if (run.corrected_ns.value_at(quantile) >= run.lag_ns.value_at(quantile) * 4) continue;
    if (!names.empty()) names += ", ";
    names += column;
  }
  return names;
}

std::string error_list(const tally& run) {
  std::string list;
  for (std::size_t kind = 1; kind < failure_kinds; ++kind) {
    if (run.ended[kind] == 0) continue;
    if (!list.empty()) list += ", ";
    list += fmt::format("{} {}", failure_names[kind], show_count(run.ended[kind]));
  }
  return list;
}

int stop_signal_fd = -1;

void on_interrupt(int) {
  const std::uint64_t one = 1;
  // Nothing can be done about a failure here, and an eventfd has room for 2^64 - 2 presses.
  [[maybe_unused]] const ssize_t written = ::write(stop_signal_fd, &one, sizeof one);
}

// Ctrl-C becomes readable on a file descriptor for as long as this lives; the second one acts as usual.
class interrupt_fd {
public:
  interrupt_fd() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    stop_signal_fd = fd_;
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &before_);
  }
  ~interrupt_fd() {
    sigaction(SIGINT, &before_, nullptr);
    stop_signal_fd = -1;
    ::close(fd_);
  }
  interrupt_fd(const interrupt_fd&) = delete;
  interrupt_fd& operator=(const interrupt_fd&) = delete;

  [[nodiscard]] int fd() const { return fd_; }

private:
  int fd_;
  struct sigaction before_ {};
};

class live_line {
public:
  explicit live_line(const tools::paint& paint) : paint_(paint) {}

  void draw(const live_board::interval& last, double seconds) {
    p99_us_.push_back(static_cast<double>(last.corrected_ns.value_at(0.99)) / 1e3);
    if (p99_us_.size() > 30) p99_us_.pop_front();
    const std::string errors = fmt::format("{} errors", show_count(last.failed));
    fmt::print(stderr, "\r\x1b[K  {:>4.0f} s  {}  p50 {}  p99 {}  {}{}  {}", seconds,
               paint_.bold(show_count(last.ended) + "/s"),
               show_duration(static_cast<double>(last.corrected_ns.value_at(0.5))),
               show_duration(static_cast<double>(last.corrected_ns.value_at(0.99))),
               last.failed == 0 ? paint_.dim(errors) : paint_.red(errors),
               last.queued == 0 ? "" : "  " + paint_.yellow(show_count(last.queued) + " queued"),
               paint_.cyan(tools::sparkline(std::vector<double>(p99_us_.begin(), p99_us_.end()))));
    std::fflush(stderr);
  }
  void erase() {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }

private:
  tools::paint paint_;
  std::deque<double> p99_us_;
};

nlohmann::ordered_json latency_json(const histogram& latency) {
  return nlohmann::ordered_json::parse(latency.to_json());
}

}  // namespace

std::optional<std::string> invalid_because(const tally& run, std::int64_t lag_limit_ns, bool closed) {
  if (closed) return std::nullopt;
  const std::uint64_t lag = run.lag_ns.value_at(0.99);
  if (run.busy_share > busy_share_max)
    return fmt::format("the generator itself was the bottleneck: it was busy for {:.0f}% of the time. Ask for a lower rate or "
                       "add --threads.",
                       100 * run.busy_share);
  if (lag <= static_cast<std::uint64_t>(lag_limit_ns)) return std::nullopt;
  return fmt::format("the generator itself was late: its send lag is {} at p99 and {} at most, the limit is {}. Ask for a "
                     "lower rate, free a core for it, or add --threads.",
                     show_duration(static_cast<double>(lag)), show_duration(static_cast<double>(run.lag_ns.max())),
                     show_duration(static_cast<double>(lag_limit_ns)));
}

std::string show_table(const tally& run, const engine_options& options, const tools::paint& paint) {
  std::string head = fmt::format("  {:<12}", "latency");
  for (const auto& [column, quantile] : columns) head += fmt::format("{:>10}", column);
  std::string out = paint.bold(head + fmt::format("{:>10}", "mean")) + "\n";
  out += latency_row("corrected", run.corrected_ns);
  out += latency_row("service", run.service_ns);
  if (!options.closed) out += paint.dim(latency_row("own lag", run.lag_ns));
  out += "\n";

  const double rate = run.good_per_second();
  out += fmt::format("  {:<12}{} good answers a second", "rate",
                     paint.bold(fmt::format("{}.{}", show_count(static_cast<std::uint64_t>(rate)),
                                            static_cast<int>(rate * 10) % 10)));
  if (!options.closed) out += fmt::format(", {:.2f}% of {:g}", 100 * rate / options.rate, options.rate);
  const std::string errors = error_list(run);
  out += fmt::format("\n  {:<12}{} good in {:.2f} s\n", "answers", show_count(run.good()), run.seconds());
  const double all = run.finished() == 0 ? 1.0 : static_cast<double>(run.finished());
  const double share = 100.0 * static_cast<double>(run.failed()) / all;
  out += fmt::format("  {:<12}{}\n", "errors",
                     run.failed() == 0 ? paint.green("none")
                                       : paint.red(fmt::format("{} ({:.3f}%): {}", show_count(run.failed()), share, errors)));
  if (run.warmup_ended != 0)
    out += fmt::format("  {:<12}{} requests, {} failed; not counted above\n", "warm-up", show_count(run.warmup_ended),
                       show_count(run.warmup_failed));
  out += fmt::format("  {:<12}{} sent, {} received\n", "bytes", show_bytes(static_cast<double>(run.bytes_sent)),
                     show_bytes(static_cast<double>(run.bytes_received)));
  const double per_request = run.sent == 0 ? 0.0 : static_cast<double>(run.cpu_ns) / static_cast<double>(run.sent);
  out += fmt::format("  {:<12}{} CPU a request, busy {:.0f}%, {} connections opened, at most {} requests queued\n", "generator",
                     show_duration(per_request), 100 * run.busy_share, show_count(run.connects), show_count(run.queue_max));
  if (const std::string clouded = options.closed ? "" : clouded_columns(run); !clouded.empty() && run.good() > 0)
    out += paint.yellow(fmt::format("  note        own lag is more than a quarter of the corrected {}\n", clouded));
  if (run.stolen_share >= 0.01)
    out += paint.yellow(fmt::format(
        "  note        the host of this virtual machine took {:.0f}% of the processor time for others\n", 100 * run.stolen_share));
  if (run.interrupted) out += paint.yellow("  note        the run was ended early\n");
  return out;
}

std::string show_picture(const tally& run, const tools::paint& paint) {
  const std::array<tools::curve, 2> curves{
      tools::curve{"corrected: since the intended send time", &run.corrected_ns, 3},
      tools::curve{"service: since the real one", &run.service_ns, 6}};
  return tools::draw_percentiles(curves, {.width = 66, .height = 12, .colour = paint.colour()});
}

nlohmann::ordered_json to_json(const tally& run, const engine_options& options, std::int64_t lag_limit_ns) {
  nlohmann::ordered_json json;
  json["tool"] = "levity load";
  json["target"] = fmt::format("{}://{}{}", options.where.kind == protocol::http ? "http" : "tcp", options.where.authority,
                               options.where.kind == protocol::http ? options.where.path : "");
  json["loop"] = options.closed ? "closed" : "open";
  if (!options.closed) json["asked_per_second"] = options.rate;
  if (!options.closed) json["tick_ms"] = static_cast<double>(options.tick_ns) / 1e6;
  json["duration_s"] = static_cast<double>(options.duration_ns) / 1e9;
  json["warmup_s"] = static_cast<double>(options.warmup_ns) / 1e9;
  json["connections"] = options.connections;
  json["threads"] = options.threads;
  const auto invalid = invalid_because(run, lag_limit_ns, options.closed);
  json["valid"] = !invalid.has_value();
  if (invalid) json["invalid_because"] = *invalid;
  json["interrupted"] = run.interrupted;
  json["measured_s"] = run.seconds();
  json["good_per_second"] = run.good_per_second();
  json["planned"] = run.planned;
  json["good"] = run.good();
  json["failed"] = run.failed();
  auto& errors = json["errors"];
  for (std::size_t kind = 1; kind < failure_kinds; ++kind) errors[std::string(failure_names[kind])] = run.ended[kind];
  auto& statuses = json["statuses"];
  for (std::size_t digit = 1; digit <= 5; ++digit) statuses[fmt::format("{}xx", digit)] = run.status_classes[digit];
  json["warmup_ended"] = run.warmup_ended;
  json["warmup_failed"] = run.warmup_failed;
  json["bytes_sent"] = run.bytes_sent;
  json["bytes_received"] = run.bytes_received;
  json["connects"] = run.connects;
  json["queue_max"] = run.queue_max;
  json["generator_cpu_ns_per_request"] =
      run.sent == 0 ? 0.0 : static_cast<double>(run.cpu_ns) / static_cast<double>(run.sent);
  json["stolen_share"] = run.stolen_share;
  json["generator_busy_share"] = run.busy_share;
  json["lag_limit_ns"] = lag_limit_ns;
  json["corrected_ns"] = latency_json(run.corrected_ns);
  json["service_ns"] = latency_json(run.service_ns);
  json["lag_ns"] = latency_json(run.lag_ns);
  return json;
}

std::expected<void, std::string> write_json(const std::string& path, const nlohmann::ordered_json& content) {
  std::FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "w");
  if (file == nullptr) return std::unexpected(fmt::format("'{}' cannot be written: {}", path, std::strerror(errno)));
  const std::string text = content.dump() + "\n";
  const bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool ended = file == stdout ? std::fflush(file) == 0 : std::fclose(file) == 0;
  if (!whole || !ended) return std::unexpected(fmt::format("'{}' was not written whole: {}", path, std::strerror(errno)));
  return {};
}

std::expected<tally, std::string> run_watched(engine_options options, const workload_factory& make, bool live,
                                              const std::function<void()>& each_second) {
  const interrupt_fd interrupted;
  live_board board;
  const bool drawn = live && tools::is_terminal(STDERR_FILENO);
  options.stop_fd = interrupted.fd();
  if (drawn) options.board = &board;

  std::expected<tally, std::string> result;
  std::mutex mutex;
  std::condition_variable ended;
  bool over = false;
  std::jthread runner([&] {
    auto outcome = run_load(options, make);
    const std::scoped_lock lock(mutex);
    result = std::move(outcome);
    over = true;
    ended.notify_one();
  });
  live_line line(tools::paint::for_fd(STDERR_FILENO));
  live_board::interval last;
  const std::int64_t begin_ns = now_ns();
  std::unique_lock lock(mutex);
  // A tenth of a second after the engines have put their last second on the board.
  auto tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'100);
  while (!ended.wait_until(lock, tick, [&over] { return over; })) {
    lock.unlock();
    tick += std::chrono::seconds(1);
    if (drawn) {
      last.clear();
      board.take(last);
      line.draw(last, static_cast<double>((now_ns() - begin_ns) / 1'000'000'000));
    }
    if (each_second) each_second();
    lock.lock();
  }
  if (drawn) line.erase();
  return result;
}

}  // namespace levity::load
