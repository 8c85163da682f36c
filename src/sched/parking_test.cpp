// Goal: who claims a sleeper knows whom. Method: what the sleeper wrote before is read without an order of its own, so that
// ThreadSanitizer sees the edge missing.
#include "sched/parking.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

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
      claimed = idle.claim(lv::detail::idle_set::all_slots);
    }
    EXPECT_EQ(claimed, 1);
    EXPECT_EQ(holder, 7);
    sleeper.join();
  }
}

TEST(idle_set, those_who_are_near_are_claimed_before_others) {
  using lv::detail::idle_set;
  idle_set idle;
  idle.size_for(200);
  for (const unsigned slot : {1U, 63U, 64U, 130U, 199U}) idle.enter(slot, false);
  idle_set::slot_set near{};
  near[0] = 2;                      // 1
  near[1] = 1;                      // 64
  near[3] = std::uint64_t{1} << 7;  // 199
  std::vector<int> claimed;
  for (int i = 0; i < 6; i++) {
    claimed.push_back(idle.claim(near));
    if (claimed.back() != idle_set::nobody) {
      EXPECT_TRUE(idle.end_search());
    }
  }
  EXPECT_EQ(claimed, (std::vector<int>{1, 64, 199, 63, 130, idle_set::nobody}));
}
