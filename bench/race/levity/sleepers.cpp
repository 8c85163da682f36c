// sleepers WORKERS TASKS - tasks that all sleep at the same moment, then wake over half a second.
#include <levity/levity.hpp>

#include <chrono>

#include "../stopwatch.hpp"
#include "levity/base/atomic.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::atomic<std::uint64_t> asleep{0};  // relaxed: only counted
lv::atomic<std::uint64_t> woken{0};

lv::task<> sleeper(lv::time_point until) {
  asleep.fetch_add(1, std::memory_order_relaxed);
  co_await lv::sleep_until(until);
  woken.fetch_add(1, std::memory_order_relaxed);
}

lv::task<> measure(std::uint64_t tasks) {
  const std::int64_t before = race::resident_bytes();
  const race::stopwatch watch;
  const lv::time_point start = lv::clock::now() + 4s;
  lv::scope sleepers;
  for (std::uint64_t i = 0; i < tasks; i++) sleepers.spawn(sleeper, start + std::chrono::milliseconds(i % 500));
  while (asleep.load(std::memory_order_relaxed) < tasks) co_await lv::sleep(1ms);
  const std::int64_t parked = race::resident_bytes() - before;
  if (woken.load(std::memory_order_relaxed) != 0) race::too_slow();
  co_await sleepers.join();
  char more[64];
  std::snprintf(more, sizeof more, ", \"resident\": %lld", static_cast<long long>(parked));
  watch.print(tasks, woken.load(std::memory_order_relaxed), more);
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2));
}
