#pragma once

// Tasks that do a little of everything, for tests in which slots come, go and are taken meanwhile.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

#include "levity/levity.hpp"
#include "sched/watchdog.hpp"

namespace levity::test {

/// As long as it lives slots are taken from tasks that do nothing wrong, drawn from that seed. 0: none.
class taking_slots {
public:
  explicit taking_slots(std::uint64_t seed) { detail::watchdog::eagerly.seed.store(seed, std::memory_order_relaxed); }
  taking_slots(const taking_slots&) = delete;
  taking_slots& operator=(const taking_slots&) = delete;
  ~taking_slots() { detail::watchdog::eagerly.seed.store(0, std::memory_order_relaxed); }
};

/// Computes, yields, sleeps, is pinned: one after the other, and each `kind` some of it.
inline task<> do_a_little(int kind, atomic<int>* done) {
  for (int turn = 0; turn < kind * 20; turn++) spin_hint();
  if (kind % 4 == 0) co_await yield();
  if (kind == 1) co_await sleep(std::chrono::microseconds(20));
  if (kind == 2) co_await pinned([]() -> task<> { co_await yield(); }());
  done->fetch_add(1, std::memory_order_relaxed);
}

/// So many times it makes calls, short and long, sleeps, has children that do a little, and sends one number.
inline task<> bustle(int number, int times, channel<int>* into) {
  constexpr int children = 20;
  for (int n = 0; n < times; n++) {
    if ((n + number) % 9 == 0) (void)co_await blocking([](int x) { return x + 1; }, n);
    if ((n + number) % 31 == 0) co_await blocking([] { ::usleep(300); });
    if ((n + number) % 50 == 0) co_await sleep(std::chrono::milliseconds(1));
    scope all;
    atomic<int> done{0};
    for (int kind = 0; kind < children; kind++) all.spawn(do_a_little, kind, &done);
    co_await all.join();
    EXPECT_EQ(done.load(std::memory_order_relaxed), children);
    EXPECT_TRUE((co_await into->send(n)).has_value());
  }
}

}  // namespace levity::test
