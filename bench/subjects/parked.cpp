// parked TASKS waves WAVES   spawns waves of sleeping tasks; prints what each costs and what memory it took and kept
// parked TASKS hold SECONDS  spawns one wave, says so, sleeps: for looking at it from outside
//
// A wave: every task is spawned by name into one scope, all are parked in a sleep at the same moment (that is checked),
// then they wake over half a second and end.
#include <levity/levity.hpp>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "cpu_time.hpp"
#include "levity/base/atomic.hpp"
#include "rss.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

// Relaxed throughout: only counted; the join orders everything else.
struct tally {
  lv::atomic<std::uint64_t> sleeping{0};
  lv::atomic<std::uint64_t> woken{0};
};

lv::task<> sleeper(lv::time_point until, tally* counts) {
  counts->sleeping.fetch_add(1, std::memory_order_relaxed);
  co_await lv::sleep_until(until);
  counts->woken.fetch_add(1, std::memory_order_relaxed);
}

struct wave_result {
  std::int64_t spawn_ns = 0;
  std::int64_t cpu_ns = 0;
  std::int64_t faults = 0;
  std::int64_t rss = 0;
};

// Pages that the kernel had to find for this process so far.
std::int64_t page_faults() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_minflt;
}

lv::task<wave_result> wave(std::uint64_t tasks, lv::duration sleep, bool hold) {
  wave_result result;
  tally counts;
  const std::int64_t from = cpu_ns();
  const std::int64_t faults_before = page_faults();
  const lv::time_point start = lv::clock::now();
  lv::scope sleepers;
  for (std::uint64_t i = 0; i < tasks; i++) {
    sleepers.spawn("sleeper", sleeper, start + sleep + std::chrono::milliseconds(i % 500), &counts);
  }
  while (counts.sleeping.load(std::memory_order_relaxed) < tasks) co_await lv::sleep(1ms);
  result.spawn_ns = (lv::clock::now() - start).count();
  const std::int64_t before_look = cpu_ns();
  result.rss = rss_bytes();
  const std::int64_t looked = cpu_ns() - before_look;
  if (const std::uint64_t woken = counts.woken.load(std::memory_order_relaxed); woken != 0) {
    std::fprintf(stderr, "parked: %llu tasks had ended before the last one slept\n",
                 static_cast<unsigned long long>(woken));
    std::exit(1);
  }
  if (hold) {
    std::puts("{\"parked\": true}");
    std::fflush(stdout);
  }
  co_await sleepers.join();
  result.cpu_ns = cpu_ns() - from - looked;
  result.faults = page_faults() - faults_before;
  if (counts.woken.load(std::memory_order_relaxed) != tasks) {
    std::fputs("parked: not every task woke\n", stderr);
    std::exit(1);
  }
  co_return result;
}

lv::task<> waves(std::uint64_t tasks, int count) {
  const std::int64_t before = rss_bytes();
  std::int64_t rss_max = 0;
  lv::duration sleep = 6s;  // the first wave also learns how long spawning takes here
  std::vector<wave_result> results;
  for (int i = 0; i < count; i++) {
    const wave_result result = co_await wave(tasks, sleep, false);
    results.push_back(result);
    if (result.rss > rss_max) rss_max = result.rss;
    const lv::duration wanted = 200ms + 5 * lv::duration(result.spawn_ns) / 2;
    if (i == 0 || wanted > sleep) sleep = wanted;
  }
  co_await lv::sleep(1s);
  std::printf("{\"tasks\": %llu, \"cpu_ns\": [", static_cast<unsigned long long>(tasks));
  const char* comma = "";
  for (const wave_result& each : results) std::printf("%s%lld", std::exchange(comma, ", "), static_cast<long long>(each.cpu_ns));
  comma = "], \"page_faults\": [";
  for (const wave_result& each : results) std::printf("%s%lld", std::exchange(comma, ", "), static_cast<long long>(each.faults));
  std::printf("], \"rss_before\": %lld, \"rss_parked_max\": %lld, \"rss_after\": %lld}\n",
              static_cast<long long>(before), static_cast<long long>(rss_max), static_cast<long long>(rss_bytes()));
}

lv::task<> hold(std::uint64_t tasks, int seconds) { (void)co_await wave(tasks, std::chrono::seconds(seconds), true); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: parked TASKS waves WAVES | parked TASKS hold SECONDS\n", stderr);
    return 2;
  }
  const std::uint64_t tasks = std::strtoull(argv[1], nullptr, 10);
  const int number = std::atoi(argv[3]);
  return std::strcmp(argv[2], "hold") == 0 ? lv::run(hold, tasks, number) : lv::run(waves, tasks, number);
}
