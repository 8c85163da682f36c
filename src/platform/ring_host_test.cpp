// Goal: whatever is handed over to a ring thread is carried out, whether it was about to fall asleep or not, and it ends with
// nothing in flight. Method: threads that hand over operations that do nothing, in bursts and one by one.
#include "platform/ring_host.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "platform/futex.hpp"
#include "platform/handoff.hpp"

namespace levity::inline v0::detail {
namespace {

struct errand {
  errand* next = nullptr;
  int said = 0;  // by who hands it over
  atomic<std::uint32_t> done{0};
};

class errands final : ring_guest {
public:
  ~errands() { host.stop(); }
  io_result<void> start() { return host.start(8); }

  void hand_over(errand& each) {
    inbox_.push(each);
    host.knock();
  }

  ring_host host{*this};
  atomic<std::uint64_t> sum{0};
  std::uint64_t in_flight = 0;

private:
  unsigned take(ring& on) noexcept override {
    return inbox_.take([this, &on](errand& each) {
      io_uring_sqe& entry = on.next_entry();
      io_uring_prep_nop(&entry);
      io_uring_sqe_set_data64(&entry, reinterpret_cast<std::uint64_t>(&each));
      in_flight++;
    });
  }
  bool has_more() const noexcept override { return !inbox_.empty_approx(); }
  void completed(ring&, const completion& what) noexcept override {
    auto& each = *reinterpret_cast<errand*>(what.data);
    in_flight--;
    sum.store(sum.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(each.said), std::memory_order_relaxed);
    each.done.store(1, std::memory_order_release);  // E209 release: gone from here on.
    futex_wake_one(reinterpret_cast<const std::uint32_t*>(&each.done));
  }
  bool may_end(ring&) noexcept override { return in_flight == 0; }

  handoff<errand, &errand::next> inbox_;
};

void wait_for(const errand& each) {
  while (each.done.load(std::memory_order_acquire) == 0) {  // E209 acquire.
    futex_wait_for(reinterpret_cast<const std::uint32_t*>(&each.done), 0, 20'000'000'000);
  }
}

bool has_io_uring() {
  ring probe;
  return probe.open(8).has_value();
}

TEST(ring_host, every_errand_is_run_whether_the_thread_sleeps_or_not) {
  if (!has_io_uring()) GTEST_SKIP() << "io_uring is refused here";
  errands all;
  ASSERT_TRUE(all.start());
  constexpr int rounds = 300;
  constexpr int burst = 7;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([&all] {
      for (int round = 0; round < rounds; round++) {
        errand own[burst];
        for (errand& each : own) {
          each.said = 1;
          all.hand_over(each);
        }
        for (errand& each : own) wait_for(each);  // the thread has nothing left, so that it sleeps or is about to
      }
    });
  }
  for (std::thread& each : threads) each.join();
  all.host.stop();
  EXPECT_EQ(all.sum.load(std::memory_order_relaxed), 3u * rounds * burst);
  EXPECT_EQ(all.in_flight, 0u);
}

TEST(ring_host, what_was_handed_over_before_the_end_is_carried_out) {
  if (!has_io_uring()) GTEST_SKIP() << "io_uring is refused here";
  for (int round = 0; round < 50; round++) {
    std::vector<errand> many(100);
    {
      errands all;
      ASSERT_TRUE(all.start());
      for (errand& each : many) all.hand_over(each);
    }
    for (const errand& each : many) ASSERT_EQ(each.done.load(std::memory_order_relaxed), 1u);
  }
}

TEST(ring_host, a_thread_that_never_had_anything_to_do_ends) {
  if (!has_io_uring()) GTEST_SKIP() << "io_uring is refused here";
  errands all;
  ASSERT_TRUE(all.start());
  all.host.stop();
  EXPECT_LE(all.host.sleeps_approx(), 2u);
}

}  // namespace
}  // namespace levity::detail
