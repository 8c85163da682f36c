// Goal: who claims a sleeper knows whom. Method: what the sleeper wrote before is read without an order of its own, so that
// ThreadSanitizer sees the edge missing.
#include "sched/parking.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace lv = levity;

TEST(idle_set, who_claims_a_sleeper_sees_what_it_did_before_it_went_to_sleep) {
  for (int round = 0; round < 200; round++) {
    lv::detail::idle_set idle;
    idle.size_for(2);
    int holder = 0;  // of the slot
    std::thread sleeper([&idle, &holder] {
      holder = 7;
      idle.enter(1, false);
    });
    int claimed = lv::detail::idle_set::nobody;
    while (claimed == lv::detail::idle_set::nobody) {
      std::this_thread::yield();
      claimed = idle.claim();
    }
    EXPECT_EQ(claimed, 1);
    EXPECT_EQ(holder, 7);
    sleeper.join();
  }
}
