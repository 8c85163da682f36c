// two_hammers TASKS OPERATIONS - TASKS tasks at a time, each on a worker of its own, hammer what is their own: their worker's
// deque (spawn and join), its frame pool (awaits and mixed frames) and a counter of theirs. Prints the wall time.
//
// Built with PLANTED_UNPADDED the counters of the tasks lie side by side in one cache line.
#include <levity/levity.hpp>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "levity/base/atomic.hpp"

namespace lv = levity;

namespace {

constexpr std::size_t hammers_max = 8;

#ifdef PLANTED_UNPADDED
struct counter {
#else
struct alignas(128) counter {
#endif
  lv::atomic<std::uint64_t> value{0};
};

struct table {
  std::array<counter, hammers_max> counters;
  std::mutex lock;
  unsigned seated = 0;
  std::array<std::thread::id, hammers_max> seats;
  lv::atomic<unsigned> ready{0};
};

std::int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[gnu::noinline]] lv::task<std::uint64_t> small(std::uint64_t x) { co_return x * 31 + 7; }

[[gnu::noinline]] lv::task<std::uint64_t> large(std::uint64_t x) {
  std::array<std::uint64_t, 40> ballast{};
  ballast[x % ballast.size()] = co_await small(x);
  co_return ballast[x % ballast.size()];
}

lv::task<> child(counter* own) {
  own->value.fetch_add(1, std::memory_order_relaxed);
  co_return;
}

lv::task<> hammers(counter* own, std::uint64_t operations) {
  lv::scope children;
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < operations; i++) {
    x = co_await large(x);
    for (int k = 0; k < 8; k++) own->value.fetch_add(x & 1, std::memory_order_relaxed);
    children.spawn(child, own);
    co_await children.join();
  }
}

// Takes the worker that runs the caller; false if another has taken it.
bool takes_seat(table* at, unsigned* number) {
  const std::lock_guard guard{at->lock};
  const auto taken = at->seats.begin() + at->seated;
  if (std::find(at->seats.begin(), taken, std::this_thread::get_id()) != taken) return false;
  *number = at->seated;
  at->seats[at->seated++] = std::this_thread::get_id();
  return true;
}

lv::task<> hammers_when_all_sit(table* at, unsigned number, unsigned hammer_count, std::uint64_t operations) {
  at->ready.fetch_add(1, std::memory_order_relaxed);
  while (at->ready.load(std::memory_order_relaxed) != hammer_count) std::this_thread::yield();
  co_await hammers(&at->counters[number], operations);
}

// Pinned only when it has found a worker: two that were pinned where they started would wait for each other's for ever.
lv::task<> sits_down(table* at, unsigned hammer_count, std::uint64_t operations) {
  unsigned number = 0;
  while (!takes_seat(at, &number)) co_await lv::yield();
  co_await lv::pinned(hammers_when_all_sit(at, number, hammer_count, operations));
}

lv::task<> measure(unsigned hammer_count, std::uint64_t operations) {
  table at;
  lv::scope tasks;
  co_await hammers(&at.counters[0], operations / 10);
  const std::int64_t from = wall_ns();
  for (unsigned i = 0; i < hammer_count; i++) {
    tasks.spawn(sits_down, &at, hammer_count, operations);
  }
  co_await tasks.join();
  const std::int64_t spent = wall_ns() - from;
  std::printf("{\"hammers\": %u, \"operations\": %llu, \"wall_ns\": %lld}\n", hammer_count,
              static_cast<unsigned long long>(operations * hammer_count), static_cast<long long>(spent));
}

}  // namespace

int main(int argc, char** argv) {
  const auto hammer_count = static_cast<unsigned>(argc > 1 ? std::atoi(argv[1]) : 2);
  const std::uint64_t operations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 500'000;
  if (hammer_count == 0 || hammer_count > hammers_max) return 2;
  lv::runtime_options options;
  options.workers = hammer_count;
  return lv::run_with(options, measure, hammer_count, operations);
}
