// A breaker among tasks, in virtual time.

#include <gtest/gtest.h>

#include "levity/levity.hpp"
#include "levity/resilience/breaker.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::task<bool> asks(lv::breaker& of, bool answers) {
  auto permit = of.try_admit(lv::clock::now());
  if (!permit) co_return false;
  if (!answers) co_await lv::sleep(1h);
  permit->record(lv::verdict::success, lv::clock::now());
  co_return true;
}

lv::task<int> probes_in_virtual_time() {
  lv::breaker of(lv::breaker_settings::consecutive(1));
  of.try_admit(lv::clock::now())->record(lv::verdict::failure, lv::clock::now());
  const bool refused = !co_await asks(of, true);
  EXPECT_TRUE(refused);
  co_await lv::sleep(of.look().tries_again_at - lv::clock::now());
  const auto late = co_await lv::with_timeout(1s, asks(of, false));
  EXPECT_FALSE(late);
  EXPECT_EQ(of.look().probes_under_way, 0U) << "a probe that was cancelled has given its place back";
  for (int n = 0; n < 3; n++) {
    const bool admitted = co_await asks(of, true);
    EXPECT_TRUE(admitted);
  }
  EXPECT_EQ(of.look().state, lv::breaker_state::closed);
  co_return 0;
}

TEST(breaker, a_cancelled_task_gives_its_place_back) {
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 42}, probes_in_virtual_time), 0);
}

}  // namespace
