// retry_bench [OPERATIONS] - what budget, policy, tracker, retry and hedge cost: CPU nanoseconds an operation, best of five.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "levity/resilience/fallback.hpp"
#include "levity/resilience/hedge.hpp"
#include "levity/resilience/retry.hpp"
#include "levity/runtime/run.hpp"
#include "levity/task/yield.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

using outcome = std::expected<std::uint64_t, int>;

std::int64_t cpu_ns() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

constexpr lv::time_point start{1'000'000s};
constexpr lv::time_point at(std::uint64_t i) { return start + lv::duration{static_cast<std::int64_t>(i * 1000)}; }

[[gnu::noinline]] lv::task<outcome> answers(std::uint64_t x) { co_return x; }

lv::task<> empty_await(std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; i++) (void)co_await answers(i);
}

lv::task<> budget_counts(std::uint64_t n) {
  lv::retry_budget budget;
  for (std::uint64_t i = 0; i < n; i++) budget.count_request(at(i));
  co_return;
}

lv::task<> budget_spends(std::uint64_t n) {
  lv::retry_budget budget;
  for (std::uint64_t i = 0; i < n; i++) (void)budget.try_spend(at(i));
  co_return;
}

lv::task<> policy_decides(std::uint64_t n) {
  lv::retry_policy policy;
  lv::retry_budget budget;
  for (std::uint64_t i = 0; i < n; i++) (void)policy.decide(0, {lv::verdict::failure, true, {}}, at(i), at(i) + 1s, budget);
  co_return;
}

lv::task<> tracker_records(std::uint64_t n) {
  lv::latency_tracker tracker;
  for (std::uint64_t i = 0; i < n; i++) tracker.record(lv::duration{static_cast<std::int64_t>(i % 1'000'000 * 64)}, at(i));
  co_return;
}

lv::task<> tracker_quantile(std::uint64_t n) {
  lv::latency_tracker tracker;
  for (std::uint64_t i = 0; i < 1000; i++) tracker.record(lv::duration{static_cast<std::int64_t>(i * 64'000)}, at(i));
  for (std::uint64_t i = 0; i < n / 100; i++) (void)tracker.quantile(0.95, at(1000));
  co_return;
}

lv::task<> retry_at_once(std::uint64_t n) {
  lv::retry_policy policy;
  lv::retry_budget budget;
  for (std::uint64_t i = 0; i < n; i++) (void)co_await lv::retry(policy, budget, [i] { return answers(i); });
}

lv::task<> hedge_unknown(std::uint64_t n) {
  lv::hedged_route::options how;
  how.latency.samples_min = 1'000'000'000;
  lv::hedged_route route(how);
  for (std::uint64_t i = 0; i < n; i++) (void)co_await lv::hedge(route, [i] { return answers(i); });
}

lv::task<> hedge_in_time(std::uint64_t n) {
  lv::hedged_route route;
  for (int i = 0; i < 1000; i++) route.record(1s, lv::clock::now());
  for (std::uint64_t i = 0; i < n; i++) (void)co_await lv::hedge(route, [i] { return answers(i); });
}

lv::task<> fallback_primary(std::uint64_t n) {
  auto chain = lv::fallback(lv::rung{"primary", answers}, lv::constant_rung("none", std::uint64_t{0}));
  for (std::uint64_t i = 0; i < n; i++) (void)co_await chain.run(i);
}

lv::task<> measure(std::uint64_t n) {
  struct row {
    const char* name;
    lv::task<> (*run)(std::uint64_t);
    std::uint64_t part;
  };
  constexpr row rows[] = {
      {"an empty await of a task", empty_await, 1},
      {"budget: count a request", budget_counts, 1},
      {"budget: ask for a repetition", budget_spends, 1},
      {"policy: decide", policy_decides, 1},
      {"tracker: record", tracker_records, 1},
      {"tracker: quantile", tracker_quantile, 100},
      {"retry: a call that succeeds at once", retry_at_once, 1},
      {"hedge: of an unknown route", hedge_unknown, 1},
      {"hedge: in time, two tasks", hedge_in_time, 1},
      {"fallback: the primary answers", fallback_primary, 1},
  };
  for (const row& each : rows) {
    std::int64_t best = INT64_MAX;
    for (int round = 0; round < 5; round++) {
      const std::int64_t from = cpu_ns();
      co_await each.run(n);
      best = std::min(best, cpu_ns() - from);
      co_await lv::yield();
    }
    std::printf("%-40s %8.1f ns\n", each.name, static_cast<double>(best) / static_cast<double>(n / each.part));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  return lv::run(measure, n);
}
