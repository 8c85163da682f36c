// Sets of CPUs as the kernel writes them.

#include "platform/cpu_set.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "levity/base/rng.hpp"

namespace levity::inline v0::detail {
namespace {

TEST(cpu_set, is_read_as_the_kernel_writes_it) {
  EXPECT_EQ(cpu_set::parse("0-3,8,10-11\n"), (cpu_set{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(cpu_set::parse("5"), cpu_set{5});
  EXPECT_EQ(cpu_set::parse(""), cpu_set{});
  EXPECT_EQ(cpu_set::parse("\n"), cpu_set{});
  EXPECT_EQ(cpu_set::parse("1023-1025")->numbers(), (std::vector<unsigned>{1023, 1024, 1025}));
}

TEST(cpu_set, what_is_no_list_is_refused) {
  for (const char* wrong : {"x", "-1", "1-", "3-1", "1,,2", "1,", "1-2-3", "1;2", "70000", "0-4294967296", "0x1"}) {
    EXPECT_EQ(cpu_set::parse(wrong), std::nullopt) << wrong;
  }
}

TEST(cpu_set, any_set_is_written_and_read_back) {
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    rng random(seed);
    cpu_set some;
    unsigned count = 0;
    for (unsigned cpu = static_cast<unsigned>(random.below(3)); cpu < 2000; cpu += 1 + static_cast<unsigned>(random.below(seed))) {
      some.insert(cpu);
      count++;
    }
    EXPECT_EQ(some.count(), count) << "seed " << seed;
    EXPECT_EQ(some.numbers().size(), count) << "seed " << seed;
    EXPECT_EQ(cpu_set::parse(some.to_string()), some) << "seed " << seed << ": " << some.to_string();
  }
}

TEST(cpu_set, what_is_in_both_is_in_the_intersection_and_nothing_else) {
  EXPECT_EQ((cpu_set{1, 2, 300} & cpu_set{2, 300, 301}), (cpu_set{2, 300}));
  EXPECT_TRUE((cpu_set{1, 300} & cpu_set{2, 301}).empty());
  EXPECT_EQ((cpu_set{1, 300} & cpu_set{1}), cpu_set{1});  // no trace of the longer one is left
}

TEST(cpu_set, a_thread_runs_where_it_is_told) {
  const cpu_set before = cpu_set::of_this_thread();
  ASSERT_FALSE(before.empty());
  const cpu_set last{before.numbers().back()};
  std::thread([&] {
    EXPECT_EQ(last.apply_to_this_thread(), 0);
    EXPECT_EQ(cpu_set::of_this_thread(), last);
    EXPECT_EQ(before.apply_to_this_thread(), 0);
    EXPECT_EQ(cpu_set::of_this_thread(), before);
    EXPECT_EQ(cpu_set{}.apply_to_this_thread(), EINVAL);
    EXPECT_EQ(cpu_set{60'000}.apply_to_this_thread(), EINVAL);
  }).join();
}

}  // namespace
}  // namespace levity::detail
