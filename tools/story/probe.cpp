#include "story/probe.hpp"

#include "load/ask.hpp"
#include "load/engine.hpp"
#include "orders/service_watch.hpp"

#include <unistd.h>

#include <chrono>
#include <ctime>
#include <string_view>

namespace levity::story {

namespace {

constexpr std::int64_t interval_ns = 100'000'000;
constexpr std::int64_t stats_timeout_ns = 1'000'000'000;

void sleep_until_ns(std::int64_t at) {
  const timespec until{at / 1'000'000'000, at % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
}

}  // namespace

std::optional<stats> read_stats(std::string_view body) {
  const auto parsed = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  try {
    stats told;
    told.tasks = parsed.at("tasks").get<std::uint64_t>();
    told.cache_get_p99_us = parsed.at("cache_get_p99_us").get<std::uint64_t>();
    told.outside_calls = parsed.at("outside_calls").get<std::uint64_t>();
    told.outside_failures = parsed.at("outside_failures").get<std::uint64_t>();
    if (parsed.contains("breakers") && parsed.at("breakers").is_object()) told.breakers = parsed.at("breakers");
    if (parsed.contains("bookings")) {
      told.owed.emplace();
      for (const auto& [service, figures] : parsed.at("bookings").items())
        (*told.owed)[service] = figures.at("outstanding").get<std::uint64_t>();
    }
    return told;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::vector<look> watch_service(const std::stop_token& ends, const load::target& where, int pid,
                                std::shared_future<std::int64_t> started) {
  std::vector<look> looks;
  load::asker service(where, stats_timeout_ns);
  while (started.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready)
    if (ends.stop_requested()) return looks;
  const std::int64_t start_ns = started.get();
  auto before = orders::read_process(pid);
  auto generator_before = orders::read_process(getpid());
  std::int64_t before_ns = load::now_ns();
  for (std::int64_t due_ns = start_ns + interval_ns; !ends.stop_requested(); due_ns += interval_ns) {
    while (due_ns <= load::now_ns()) due_ns += interval_ns;  // the service took long for the last one
    sleep_until_ns(due_ns);
    look one;
    const std::int64_t now = load::now_ns();
    one.at_s = static_cast<double>(now - start_ns) / 1e9;
    const auto figures = orders::read_process(pid);
    const auto generator = orders::read_process(getpid());
    const auto span = static_cast<double>(now - before_ns);
    if (figures) one.rss_bytes = figures->rss_bytes;
    if (figures && before) one.cpu_share = static_cast<double>(figures->cpu_ns - before->cpu_ns) / span;
    if (generator && generator_before)
      one.generator_cpu_share = static_cast<double>(generator->cpu_ns - generator_before->cpu_ns) / span;
    before = figures;
    generator_before = generator;
    before_ns = now;
    if (const auto answer = service.ask("GET", "/stats"); answer && answer->status == 200) one.told = read_stats(answer->body);
    looks.push_back(std::move(one));
  }
  return looks;
}

}  // namespace levity::story
