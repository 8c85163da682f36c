// limits_overload SERVER SECONDS - a server behind a load_shedder at half of its capacity, at twice of it, and at half again. One
// task a call, at random moments, whatever became of those before; a call's time begins when it was due.
//
//   sleeping    16 places, calls sleep for 10 ms on average, exponentially: what it can do is known
//   computing   as many places as workers, calls compute for 8 ms, in pieces of 1 ms: what it can do is measured first
#include <levity/levity.hpp>
#include <levity/base/rng.hpp>
#include <levity/resilience/load_shedder.hpp>

#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr unsigned priorities = lv::call_class::priorities;

double uniform(lv::rng& from) { return static_cast<double>(from() >> 11) * 0x1.0p-53; }
double exponential(lv::rng& from) { return -std::log1p(-uniform(from)); }

struct server {
  bool computes;
  unsigned places;
  lv::duration service;
};

// What has become of the calls of one phase. Under a mutex of levity: calls end on any worker.
struct phase {
  lv::mutex door;
  std::array<std::uint64_t, priorities> asked{};
  std::array<std::uint64_t, priorities> refused{};
  std::vector<std::int64_t> took_ns;
  lv::time_point last_refusal{};

  double at(double quantile) {
    if (took_ns.empty()) return 0;
    const auto which = static_cast<std::ptrdiff_t>(quantile * static_cast<double>(took_ns.size() - 1));
    std::nth_element(took_ns.begin(), took_ns.begin() + which, took_ns.end());
    return static_cast<double>(took_ns[static_cast<std::size_t>(which)]);
  }
};

std::int64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[gnu::noinline]] void compute(std::int64_t ns) {
  const std::int64_t until = thread_cpu_ns() + ns;
  while (thread_cpu_ns() < until) {
  }
}

lv::task<> work(server of, double drawn) {
  if (!of.computes) {
    co_await lv::sleep(lv::duration{static_cast<std::int64_t>(drawn * static_cast<double>(of.service.count()))});
    co_return;
  }
  for (auto left = of.service; left > 0ms; left -= 1ms) {
    compute(1'000'000);
    co_await lv::yield();
  }
}

lv::task<> call(server of, lv::load_shedder* door, lv::call_class what, double drawn, lv::time_point due, phase* seen) {
  auto place = co_await door->admit(what);
  if (!place) {
    auto held = co_await seen->door.lock();
    seen->asked[what.priority]++;
    seen->refused[what.priority]++;
    seen->last_refusal = std::max(seen->last_refusal, lv::clock::now());
    co_return;
  }
  co_await work(of, drawn);
  const lv::time_point now = lv::clock::now();
  place->record(lv::verdict::success, now);
  auto held = co_await seen->door.lock();
  seen->asked[what.priority]++;
  seen->took_ns.push_back((now - due).count());
}

lv::task<> traffic(server of, lv::load_shedder* door, double per_second, double seconds, std::uint64_t seed, phase* seen) {
  lv::rng random{seed};
  seen->took_ns.reserve(static_cast<std::size_t>(per_second * seconds * 2));
  const lv::time_point began = lv::clock::now();
  double due_s = 0;
  lv::scope calls;
  for (;;) {
    due_s += exponential(random) / per_second;
    if (due_s >= seconds) break;
    const lv::time_point due = began + lv::duration{static_cast<std::int64_t>(due_s * 1e9)};
    if (due > lv::clock::now()) co_await lv::sleep_until(due);
    const lv::call_class what{.priority = static_cast<std::uint8_t>(random.below(priorities)),
                              .cohort = static_cast<std::uint8_t>(random.below(lv::call_class::cohorts))};
    calls.spawn(call, of, door, what, exponential(random), due, seen);
  }
  co_await calls.join();
}

lv::task<> one_after_the_other(server of, int calls) {
  for (int i = 0; i < calls; i++) co_await work(of, 1);
}

// Calls a second.
lv::task<double> capacity(server of) {
  if (!of.computes) co_return of.places / (static_cast<double>(of.service.count()) / 1e9);
  constexpr int calls = 100;
  const lv::time_point began = lv::clock::now();
  lv::scope all;
  for (unsigned i = 0; i < of.places; i++) all.spawn(one_after_the_other, of, calls);
  co_await all.join();
  co_return of.places* calls / (static_cast<double>((lv::clock::now() - began).count()) / 1e9);
}

lv::task<int> measure(std::string kind, double seconds) {
  server of{false, 16, 10ms};
  if (kind == "computing") of = {true, static_cast<unsigned>(lv::threads_of_runtime().workers), 8ms};
  const double can = co_await capacity(of);
  lv::load_shedder door{{.concurrent_max = of.places}};
  phase before;
  phase during;
  phase after;
  co_await traffic(of, &door, can / 2, seconds, 1, &before);
  const lv::time_point began = lv::clock::now();
  co_await traffic(of, &door, 2 * can, seconds, 2, &during);
  const lv::time_point ended = lv::clock::now();
  co_await traffic(of, &door, can / 2, 3, 3, &after);
  const double took_s = static_cast<double>((ended - began).count()) / 1e9;
  std::uint64_t lower_asked = 0;
  std::uint64_t lower_refused = 0;
  for (unsigned i = 3; i < priorities; i++) {
    lower_asked += during.asked[i];
    lower_refused += during.refused[i];
  }
  const double recovery_ms = std::max(0.0, static_cast<double>((after.last_refusal - ended).count()) / 1e6);
  std::printf(
      "{\"capacity\": %.1f, \"goodput\": %.4f, \"p99_unloaded_ms\": %.3f, \"p99_admitted_ms\": %.3f, \"p99_after_ms\": %.3f, "
      "\"important_asked\": %llu, \"important_lost\": %llu, \"lower_lost\": %.4f, \"recovery_ms\": %.1f}\n",
      can, static_cast<double>(during.took_ns.size()) / took_s / can, before.at(0.99) / 1e6, during.at(0.99) / 1e6,
      after.at(0.99) / 1e6, static_cast<unsigned long long>(during.asked[0]), static_cast<unsigned long long>(during.refused[0]),
      static_cast<double>(lower_refused) / static_cast<double>(std::max<std::uint64_t>(lower_asked, 1)), recovery_ms);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "sleeping";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 10;
  return lv::run(measure, kind, seconds);
}
