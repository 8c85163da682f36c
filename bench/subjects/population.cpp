// population TASKS OPERATIONS - what spawning, joining and yielding costs while TASKS others sleep.
#include <levity/levity.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::task<> sleeper() { co_await lv::sleep(1h); }

lv::task<> child(std::uint64_t* runs) {
  ++*runs;
  co_return;
}

lv::task<> yields(std::uint64_t rounds) {
  for (std::uint64_t i = 0; i < rounds; i++) co_await lv::yield();
}

lv::task<std::int64_t> spawn_and_join(std::uint64_t count) {
  std::uint64_t runs = 0;
  lv::scope children;
  const std::int64_t from = cpu_ns();
  for (std::uint64_t i = 0; i < count; i++) {
    children.spawn(child, &runs);
    co_await children.join();
  }
  if (runs != count) std::exit(1);
  co_return cpu_ns() - from;
}

// Each sleeps once, and so enters and leaves the wheel and its scope beside all the others.
lv::task<std::int64_t> park_and_end(std::uint64_t count) {
  constexpr std::uint64_t at_once = 100;
  const std::int64_t from = cpu_ns();
  for (std::uint64_t done = 0; done < count; done += at_once) {
    lv::scope sleepers;
    for (std::uint64_t i = 0; i < at_once; i++) sleepers.spawn(sleeper);
    co_await lv::yield();
    sleepers.cancel();
    co_await sleepers.join();
  }
  co_return cpu_ns() - from;
}

lv::task<> measure(std::uint64_t tasks, std::uint64_t operations) {
  lv::scope crowd;
  for (std::uint64_t i = 0; i < tasks; i++) {
    crowd.spawn(sleeper);
    if (i % 1000 == 999) co_await lv::yield();
  }
  co_await lv::sleep(50ms);
  co_await spawn_and_join(operations / 10);
  const std::int64_t spawn_join_ns = co_await spawn_and_join(operations);
  const std::int64_t from = cpu_ns();
  co_await yields(operations);
  const std::int64_t yield_ns = cpu_ns() - from;
  co_await park_and_end(operations / 100);
  const std::int64_t park_ns = co_await park_and_end(operations / 10);
  std::printf("{\"tasks\": %llu, \"operations\": %llu, \"spawn_join_ns\": %lld, \"yield_ns\": %lld, \"park_ns\": %lld}\n",
              static_cast<unsigned long long>(tasks), static_cast<unsigned long long>(operations),
              static_cast<long long>(spawn_join_ns), static_cast<long long>(yield_ns), static_cast<long long>(park_ns * 10));
  crowd.cancel();
  co_await crowd.join();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t tasks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
  const std::uint64_t operations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  return lv::run(measure, tasks, operations);
}
