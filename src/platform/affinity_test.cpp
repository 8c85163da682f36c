// Whoever is kept on some CPUs is alone in that: the threads that it starts are where it was before.

#include "platform/affinity.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "platform/thread.hpp"

namespace levity::inline v0::detail {
namespace {

// Each fact on a thread of its own, so that the test's own stays as it is.
template <class Facts>
void on_a_thread(Facts facts) {
  std::thread(facts).join();
}

cpu_set affinity_of_started_thread() {
  cpu_set of_it;
  start_thread("of a test", [&of_it] { of_it = cpu_set::of_this_thread(); }).join();
  return of_it;
}

TEST(affinity, a_thread_that_is_narrowed_starts_threads_that_are_not) {
  const cpu_set all = cpu_set::of_this_thread();
  if (all.count() < 2) GTEST_SKIP() << "an affinity of one CPU cannot be narrowed";
  const cpu_set first{all.numbers().front()};
  const cpu_set last{all.numbers().back()};
  on_a_thread([&] {
    EXPECT_EQ(wide_affinity(), nullptr);
    EXPECT_TRUE(narrow_affinity(first));
    EXPECT_EQ(cpu_set::of_this_thread(), first);
    EXPECT_EQ(affinity_of_started_thread(), all);
    EXPECT_TRUE(narrow_affinity(last));  // what it had before is what it had in the beginning
    EXPECT_EQ(cpu_set::of_this_thread(), last);
    EXPECT_EQ(affinity_of_started_thread(), all);
    widen_affinity();
    EXPECT_EQ(cpu_set::of_this_thread(), all);
    EXPECT_EQ(wide_affinity(), nullptr);
    EXPECT_EQ(affinity_of_started_thread(), all);
  });
}

TEST(affinity, what_the_kernel_refuses_changes_nothing) {
  const cpu_set all = cpu_set::of_this_thread();
  on_a_thread([&] {
    EXPECT_FALSE(narrow_affinity({60'000}));
    EXPECT_FALSE(narrow_affinity({}));
    EXPECT_EQ(cpu_set::of_this_thread(), all);
    EXPECT_EQ(wide_affinity(), nullptr);
    widen_affinity();
    EXPECT_EQ(cpu_set::of_this_thread(), all);
  });
}

}  // namespace
}  // namespace levity::detail
