#include "platform/time_slice.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <semaphore>
#include <thread>

namespace levity::inline v0::detail {
namespace {

struct seen {
  std::uint32_t policy = 0;
  std::int32_t nice = 0;
  std::uint64_t slice_ns = 0;  // 0: the kernel does not tell
};

seen look_at(pid_t thread) {
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime_ns, deadline_ns, period_ns;
  } all{};
  EXPECT_EQ(::syscall(SYS_sched_getattr, thread, &all, sizeof all, 0), 0);
  return {all.policy, all.nice, all.runtime_ns};
}

constexpr const char* idle = "threads that run only where nobody else wants to (SCHED_IDLE) choose no time slices";

// Of a thread of its own: whatever this one had, it has still.
TEST(time_slice, a_thread_gets_brief_ones_and_its_usual_ones_back_and_keeps_its_priority) {
  std::binary_semaphore known{0};
  std::binary_semaphore over{0};
  pid_t thread = 0;
  std::thread sleeper([&] {
    thread = ::gettid();
    known.release();
    over.acquire();
  });
  known.acquire();
  const seen before = look_at(thread);
  const int nice = std::min(before.nice + 1, 19);
  ASSERT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), nice), 0);
  set_time_slice(thread, time_slice::brief);
  const seen brief = look_at(thread);
  set_time_slice(thread, time_slice::usual);
  const seen usual = look_at(thread);
  over.release();
  sleeper.join();
  for (const seen& each : {brief, usual}) {
    EXPECT_EQ(each.policy, before.policy);
    EXPECT_EQ(each.nice, nice);
  }
  EXPECT_EQ(usual.slice_ns, before.slice_ns);
  if (before.policy == SCHED_IDLE) GTEST_SKIP() << idle;
  if (before.slice_ns == 0) GTEST_SKIP() << "this kernel has no time slices that a thread may choose (Linux 6.12 has)";
  EXPECT_EQ(brief.slice_ns, 100'000U);
}

TEST(time_slice, of_the_calling_thread_it_is_that_of_the_threads_it_starts) {
  std::array<seen, 2> both;
  std::thread([&both] {
    set_time_slice(0, time_slice::brief);
    both[0] = look_at(0);
    std::thread([&both] { both[1] = look_at(0); }).join();
  }).join();
  EXPECT_EQ(both[0].slice_ns, both[1].slice_ns);
  if (both[0].policy == SCHED_IDLE) GTEST_SKIP() << idle;
  if (both[0].slice_ns == 0) GTEST_SKIP() << "this kernel has no time slices that a thread may choose (Linux 6.12 has)";
  EXPECT_EQ(both[0].slice_ns, 100'000U);
}

TEST(time_slice, of_a_thread_that_has_ended_is_nobodys) {
  pid_t thread = 0;
  std::thread([&thread] { thread = ::gettid(); }).join();
  set_time_slice(thread, time_slice::brief);
}

}  // namespace
}  // namespace levity::detail
