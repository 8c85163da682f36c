// Goal: the lock excludes, and stays away from a lock that is taken longer than from one that is met by chance. Method: threads
// that do nothing but take it; one that holds it until another has given up hurrying.
#include "levity/base/spin_lock.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <latch>
#include <thread>

namespace lv = levity;

namespace {

using lv::detail::spin_lock;

TEST(spin_lock, one_thread_at_a_time_sees_what_the_one_before_wrote) {
  constexpr unsigned threads = 4;
  constexpr unsigned times = 20'000;
  spin_lock lock;
  unsigned long sum = 0;
  std::latch start{threads};
  std::array<std::thread, threads> adders;
  for (std::thread& adder : adders) {
    adder = std::thread([&lock, &sum, &start] {
      start.arrive_and_wait();
      for (unsigned i = 0; i < times; i++) {
        lock.lock();
        const unsigned long seen = sum;
        if (i % 64 == 0) std::this_thread::yield();  // to another one that should not be here, also where there is one CPU
        sum = seen + 1;
        lock.unlock();
      }
    });
  }
  for (std::thread& adder : adders) adder.join();
  EXPECT_EQ(sum, threads * times);
}

TEST(spin_lock, nobody_stays_away_from_a_lock_that_is_free) {
  spin_lock lock;
  for (int i = 0; i < 1000; i++) {
    lock.lock();
    EXPECT_FALSE(lock.try_lock());
    lock.unlock();
  }
  EXPECT_EQ(lock.contention_approx(), 0U);
}

TEST(spin_lock, looks_that_fail_make_it_wait_longer_and_one_that_does_not_makes_it_wait_less) {
  spin_lock lock;
  lock.lock();
  std::thread late([&lock] {
    lock.lock();
    lock.unlock();
  });
  const auto bound = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (lock.contention_approx() < spin_lock::contention_max && std::chrono::steady_clock::now() < bound) {
    std::this_thread::yield();
  }
  EXPECT_EQ(lock.contention_approx(), spin_lock::contention_max);
  lock.unlock();
  late.join();
  EXPECT_EQ(lock.contention_approx(), spin_lock::contention_max - 1);
}

}  // namespace
