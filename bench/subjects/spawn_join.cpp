// spawn_join TASKS - what a task costs from spawn to joined. The row is one task at a time: spawn it, join it, spawn
// the next. `cpu_ns_batch` is the same with a thousand spawned before each join.
#include <levity/levity.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

lv::task<> child(std::uint64_t* runs) {
  ++*runs;
  co_return;
}

constexpr std::uint64_t batch_tasks = 1000;

// Each child of a batch counts for itself: they may run on several threads.
lv::task<> spawn_and_join(std::uint64_t tasks, std::uint64_t at_once, std::uint64_t* runs) {
  std::array<std::uint64_t, batch_tasks> each{};
  lv::scope children;
  for (std::uint64_t done = 0; done < tasks; done += at_once) {
    for (std::uint64_t i = 0; i < at_once; i++) children.spawn(child, &each[i]);
    co_await children.join();
  }
  for (const std::uint64_t one : each) *runs += one;
}

lv::task<> measure(std::uint64_t tasks) {
  std::uint64_t runs = 0;
  co_await spawn_and_join(tasks / 20 / batch_tasks * batch_tasks, 1, &runs);
  const std::int64_t from = cpu_ns();
  co_await spawn_and_join(tasks, 1, &runs);
  const std::int64_t one_by_one = cpu_ns() - from;
  co_await spawn_and_join(tasks, batch_tasks, &runs);
  const std::int64_t batch = cpu_ns() - from - one_by_one;
  const std::uint64_t expected = tasks / 20 / batch_tasks * batch_tasks + 2 * tasks;
  if (runs != expected) std::fputs("spawn_join: not every task ran\n", stderr);
  if (runs != expected) std::exit(1);
  std::printf("{\"tasks\": %llu, \"cpu_ns\": %lld, \"cpu_ns_batch\": %lld}\n", static_cast<unsigned long long>(tasks),
              static_cast<long long>(one_by_one), static_cast<long long>(batch));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t tasks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2'000'000;
  return lv::run(measure, tasks / batch_tasks * batch_tasks);
}
