// wake_cross ROUNDS - two tasks, pinned to the two workers and these to the first two CPUs, wake each other in turn.
// Each worker sleeps in its reactor between two rounds, so that every wake-up is a write to an eventfd that an epoll waits for.
#include <levity/levity.hpp>
#include <sched.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

std::int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void stay_on(int nth) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || nth-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

struct table {
  lv::semaphore ping{0};
  lv::semaphore pong{0};
  lv::event ready;
};

lv::task<> answers(table* at, std::uint64_t rounds) {
  stay_on(1);
  at->ready.set();
  for (std::uint64_t i = 0; i < rounds; i++) {
    co_await at->ping.acquire();
    at->pong.release();
  }
}

// Goes on where its opponent is not, and stays there.
lv::task<> sits_opposite(table* at, std::uint64_t rounds, std::thread::id other) {
  while (std::this_thread::get_id() == other) co_await lv::yield();
  co_await lv::pinned(answers(at, rounds));
}

lv::task<> asks(std::uint64_t rounds) {
  table at;
  lv::scope opponents;
  const std::uint64_t warm = rounds / 10;
  opponents.spawn(sits_opposite, &at, rounds + warm, std::this_thread::get_id());
  stay_on(0);
  co_await at.ready.wait();
  for (std::uint64_t i = 0; i < warm; i++) {
    at.ping.release();
    co_await at.pong.acquire();
  }
  const std::int64_t cpu = cpu_ns();
  const std::int64_t from = wall_ns();
  for (std::uint64_t i = 0; i < rounds; i++) {
    at.ping.release();
    co_await at.pong.acquire();
  }
  const std::int64_t wall = wall_ns() - from;
  std::printf("{\"rounds\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(rounds),
              static_cast<long long>(wall), static_cast<long long>(cpu_ns() - cpu));
  co_await opponents.join();
}

lv::task<> measure(std::uint64_t rounds) { co_await lv::pinned(asks(rounds)); }

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t rounds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000;
  lv::runtime_options options;
  options.workers = 2;
  return lv::run_with(options, measure, rounds);
}
