// Goal: who watches over tasks waits for nobody who is told of them; what is told is told in order, by one at a time.
// Method: listeners that hold on to the thread on which they hear until the teller is back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <latch>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "levity/base/atomic.hpp"
#include "sched/blocking.hpp"
#include "sched/stall_teller.hpp"

namespace levity::inline v0::detail {
namespace {

class slow_listener final : public stall_listener {
public:
  void hear(const stalled_task& of) noexcept override {
    EXPECT_FALSE(hears_.exchange(true, std::memory_order_relaxed)) << "one at a time";
    hears_in.store(::gettid(), std::memory_order_relaxed);
    if (heard.empty()) begun.count_down();
    go_on.wait();
    heard.push_back(of.id);
    hears_.store(false, std::memory_order_relaxed);
  }

  std::latch begun{1};
  std::latch go_on{1};
  atomic<pid_t> hears_in{0};
  std::vector<std::uint32_t> heard;  // to be read when the pool has ended

private:
  atomic<bool> hears_{false};
};

stalled_task number(std::uint32_t id) {
  stalled_task made;
  made.id = id;
  return made;
}

TEST(stall_teller, comes_back_while_somebody_hears) {
  slow_listener listener;
  {
    std::optional<blocking_pool> threads(std::in_place);
    stall_teller teller(*threads, &listener);
    EXPECT_TRUE(teller.tell(number(1)));
    listener.begun.wait();
    EXPECT_TRUE(teller.tell(number(2)));
    EXPECT_TRUE(teller.tell(number(3)));
    EXPECT_NE(listener.hears_in.load(std::memory_order_relaxed), ::gettid());
    listener.go_on.count_down();
    threads.reset();  // waits for its jobs, which need the teller
  }
  EXPECT_EQ(listener.heard, (std::vector<std::uint32_t>{1, 2, 3}));
}

TEST(stall_teller, what_is_too_much_is_refused_and_the_rest_is_heard) {
  slow_listener listener;
  std::vector<std::uint32_t> wanted{0};
  {
    std::optional<blocking_pool> threads(std::in_place);
    stall_teller teller(*threads, &listener);
    EXPECT_TRUE(teller.tell(number(0)));
    listener.begun.wait();
    for (std::uint32_t i = 1; i <= stall_teller::waiting_max; i++) {
      EXPECT_TRUE(teller.tell(number(i)));
      wanted.push_back(i);
    }
    EXPECT_FALSE(teller.tell(number(99)));
    listener.go_on.count_down();
    threads.reset();
  }
  EXPECT_EQ(listener.heard, wanted);
}

// It rests in between, and is told of more.
TEST(stall_teller, goes_on_after_a_rest) {
  slow_listener listener;
  listener.go_on.count_down();
  constexpr std::uint32_t count = 200;
  std::uint32_t told = 0;
  {
    std::optional<blocking_pool> threads(std::in_place);
    stall_teller teller(*threads, &listener);
    for (std::uint32_t i = 0; i < count; i++) {
      told += teller.tell(number(i)) ? 1 : 0;
      if (i % 8 == 0) std::this_thread::yield();
    }
    threads.reset();
  }
  EXPECT_EQ(listener.heard.size(), told);
  EXPECT_TRUE(std::is_sorted(listener.heard.begin(), listener.heard.end()));
}

}  // namespace
}  // namespace levity::detail
