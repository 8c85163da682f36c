// two_hammers TASKS OPERATIONS - TASKS tasks at a time, each on a worker of its own, hammer what is their own: their worker's
// deque (spawn and join), its frame pool (awaits and mixed frames) and a counter of theirs. Prints their CPU time, which a line
// that two workers share makes longer and a busy machine does not; of those of many short rounds in which all of them ran at once.
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
#include <vector>

#include "levity/base/atomic.hpp"

namespace lv = levity;

namespace {

constexpr std::size_t hammers_max = 8;
constexpr unsigned rounds = 250;

#ifdef PLANTED_UNPADDED
struct counter {
#else
struct alignas(128) counter {
#endif
  lv::atomic<std::uint64_t> value{0};
};

std::int64_t now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// What a hammer took in a round, and when.
struct span {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::int64_t cpu_ns = 0;
};

using round_spans = std::array<span, hammers_max>;

struct table {
  std::array<counter, hammers_max> counters;
  std::vector<round_spans> spans{rounds};
  std::mutex lock;
  unsigned seated = 0;
  std::array<std::thread::id, hammers_max> seats;
  lv::atomic<unsigned> sitting{0};
  lv::atomic<unsigned> ready{0};
};

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
  counter* own = &at->counters[number];
  // Not by spinning: whoever has no seat yet may wait in this very worker's deque.
  at->sitting.fetch_add(1, std::memory_order_relaxed);
  while (at->sitting.load(std::memory_order_relaxed) < hammer_count) co_await lv::yield();
  co_await hammers(own, operations);
  for (unsigned round = 0; round < rounds; round++) {
    at->ready.fetch_add(1, std::memory_order_relaxed);
    while (at->ready.load(std::memory_order_relaxed) < hammer_count * (round + 1)) {  // on its core, so that they start at once
    }
    span took{now_ns(CLOCK_MONOTONIC), 0, -now_ns(CLOCK_THREAD_CPUTIME_ID)};
    co_await hammers(own, operations);
    took.cpu_ns += now_ns(CLOCK_THREAD_CPUTIME_ID);
    took.to_ns = now_ns(CLOCK_MONOTONIC);
    at->spans[round][number] = took;
  }
}

// Pinned only when it has found a worker: two that were pinned where they started would wait for each other's for ever.
lv::task<> sits_down(table* at, unsigned hammer_count, std::uint64_t operations) {
  unsigned number = 0;
  while (!takes_seat(at, &number)) co_await lv::yield();
  co_await lv::pinned(hammers_when_all_sit(at, number, hammer_count, operations));
}

// The CPU time of all hammers in a round; 0 if one of them was off its core for more than a tenth of it.
std::int64_t cpu_of_all_at_once(const round_spans& spans, unsigned hammer_count) {
  std::int64_t from_ns = spans[0].from_ns;
  for (unsigned i = 1; i < hammer_count; i++) from_ns = std::min(from_ns, spans[i].from_ns);
  std::int64_t cpu_ns = 0;
  for (unsigned i = 0; i < hammer_count; i++) {
    if (spans[i].cpu_ns * 10 < (spans[i].to_ns - from_ns) * 9) return 0;
    cpu_ns += spans[i].cpu_ns;
  }
  return cpu_ns;
}

lv::task<> measure(unsigned hammer_count, std::uint64_t operations) {
  table at;
  lv::scope tasks;
  for (unsigned i = 0; i < hammer_count; i++) {
    tasks.spawn(sits_down, &at, hammer_count, operations / rounds);
  }
  co_await tasks.join();
  std::int64_t cpu_ns = 0;
  unsigned at_once = 0;
  for (const round_spans& each : at.spans) {
    const std::int64_t took = cpu_of_all_at_once(each, hammer_count);
    cpu_ns += took;
    if (took > 0) at_once++;
  }
  std::printf("{\"hammers\": %u, \"rounds\": %u, \"rounds_at_once\": %u, \"operations\": %llu, \"cpu_ns\": %lld}\n", hammer_count,
              rounds, at_once, static_cast<unsigned long long>(operations / rounds * at_once * hammer_count),
              static_cast<long long>(cpu_ns));
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
