// Goal: the limit is that of the cgroups, and every change of it is told by the descriptor, with nothing running meanwhile. Method:
// folders that look like /proc/self and a hierarchy, on a file system in memory, whose writes inotify tells like those of cgroups;
// and, where this user may make groups, the kernel's own cgroups.

#include "platform/cpu_limit.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "platform/fault_plan.hpp"
#include "platform/text_file.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/real_cgroup.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::inline v0::detail {
namespace {

const cpu_set eight{0, 1, 2, 3, 4, 5, 6, 7};

bool is_readable(const cpu_limit& limit, int wait_ms = 0) {
  pollfd watched{limit.pollable_fd(), POLLIN, 0};
  return ::poll(&watched, 1, wait_ms) == 1;
}

// As a runtime does: waits until the descriptor says so, looks, until `cpus` is reached. False: that took too long.
bool reaches(cpu_limit& limit, unsigned cpus) {
  while (limit.cpus() != cpus) {
    constexpr int wait_ms_max = 20'000;
    if (!is_readable(limit, wait_ms_max)) return false;
    limit.refresh();
  }
  return true;
}

class limit_of_files : public testing::Test {
protected:
  limit_of_files() {
    write("proc/mountinfo", "31 23 0:26 / " + folder_.path() + "/v2 rw - cgroup2 cgroup rw\n" +
                                "32 23 0:27 / " + folder_.path() + "/v1 rw - cgroup cgroup rw,cpu\n");
    process_is_in("0::/a/b");
  }
  // Into the file that is there, as one writes to a file of a cgroup.
  void write(const std::string& file, std::string_view text) {
    const std::filesystem::path path = folder_.path() + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  void process_is_in(std::string_view lines) { write("proc/cgroup", lines); }
  [[nodiscard]] std::string proc() const { return folder_.path() + "/proc"; }

private:
  test::temporary_folder folder_ = test::temporary_folder::in_memory();
};

TEST_F(limit_of_files, is_the_quota_rounded_up_within_the_allowed_cpus_and_at_least_one) {
  const struct { const char* max; unsigned cpus; } cases[] = {
      {"max 100000", 8}, {"800000 100000", 8},   {"900000 100000", 8}, {"200000 100000", 2}, {"200001 100000", 3},
      {"100000 100000", 1}, {"1000 100000", 1}, {"99999999999999 1", 8}};
  for (const auto& each : cases) {
    write("v2/a/cpu.max", each.max);
    EXPECT_EQ(cpu_limit(proc(), eight).cpus(), each.cpus) << each.max;
  }
  EXPECT_EQ(cpu_limit(proc(), {}).cpus(), 1U);  // a kernel that does not say
}

TEST_F(limit_of_files, a_change_of_a_quota_above_makes_the_descriptor_readable_and_a_refresh_shows_it) {
  write("v2/a/b/cpu.max", "600000 100000");
  write("v2/a/cpu.max", "max 100000");
  cpu_limit limit(proc(), eight);
  unsigned told = 0;
  limit.on_change = [&told](unsigned cpus) { told = cpus; };
  EXPECT_TRUE(limit.is_followed());
  EXPECT_EQ(limit.cpus(), 6U);
  EXPECT_FALSE(is_readable(limit));
  write("v2/a/cpu.max", "300000 100000");
  EXPECT_TRUE(is_readable(limit));
  EXPECT_EQ(limit.cpus(), 6U);  // only refresh() looks
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 3U);
  EXPECT_EQ(told, 3U);
  EXPECT_FALSE(is_readable(limit));
  // A write that changes nothing is an event and no change.
  write("v2/a/cpu.max", "250001 100000");
  EXPECT_TRUE(is_readable(limit));
  told = 0;
  EXPECT_FALSE(limit.refresh());
  EXPECT_EQ(told, 0U);
}

TEST_F(limit_of_files, a_change_of_v1s_quota_or_period_is_seen) {
  process_is_in("4:cpu:/c\n0::/");
  write("v1/c/cpu.cfs_quota_us", "-1");
  write("v1/c/cpu.cfs_period_us", "100000");
  cpu_limit limit(proc(), eight);
  EXPECT_EQ(limit.cpus(), 8U);
  write("v1/c/cpu.cfs_quota_us", "100000");
  EXPECT_TRUE(is_readable(limit));
  limit.refresh();
  EXPECT_EQ(limit.cpus(), 1U);
  write("v1/c/cpu.cfs_period_us", "50000");
  EXPECT_TRUE(is_readable(limit));
  limit.refresh();
  EXPECT_EQ(limit.cpus(), 2U);
}

TEST_F(limit_of_files, a_controller_that_is_enabled_later_is_followed_from_then_on) {
  write("v2/a/cgroup.subtree_control", "");
  std::filesystem::create_directories(proc() + "/../v2/a/b");
  cpu_limit limit(proc(), eight);
  EXPECT_TRUE(limit.is_followed());
  write("v2/a/b/cpu.max", "max 100000");  // the kernel makes it, and tells nobody
  write("v2/a/cgroup.subtree_control", "cpu");
  EXPECT_TRUE(is_readable(limit));
  EXPECT_FALSE(limit.refresh());
  write("v2/a/b/cpu.max", "200000 100000");
  EXPECT_TRUE(is_readable(limit));
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 2U);
}

TEST_F(limit_of_files, of_a_process_that_was_moved_the_next_look_follows_the_new_group_alone) {
  write("v2/a/b/cpu.max", "300000 100000");
  write("v2/c/cpu.max", "500000 100000");
  cpu_limit limit(proc(), eight);
  EXPECT_EQ(limit.cpus(), 3U);
  process_is_in("0::/c");
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 5U);
  while (is_readable(limit)) limit.refresh();  // that its old watches are gone is an event, too
  write("v2/a/b/cpu.max", "100000 100000");
  EXPECT_FALSE(is_readable(limit));
  write("v2/c/cpu.max", "200000 100000");
  EXPECT_TRUE(is_readable(limit));
  limit.refresh();
  EXPECT_EQ(limit.cpus(), 2U);
}

TEST_F(limit_of_files, the_cpuset_is_followed_down_and_up_also_beyond_the_beginning) {
  write("v2/a/cpuset.cpus", "0-3");
  write("v2/a/cpuset.cpus.effective", "0-3");
  cpu_limit limit(proc(), {0, 1, 2, 3});
  EXPECT_EQ(limit.cpus(), 4U);
  write("v2/a/cpuset.cpus.effective", "1");
  write("v2/a/cpuset.cpus", "1");
  EXPECT_TRUE(is_readable(limit));
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 1U);
  EXPECT_EQ(limit.allowed(), cpu_set{1});
  write("v2/a/cpuset.cpus.effective", "2");  // as many, but others
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.allowed(), cpu_set{2});
  write("v2/a/cpuset.cpus.effective", "0-7");
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 8U);
}

TEST_F(limit_of_files, an_affinity_that_was_narrower_holds_as_far_as_the_cpuset_leaves_it) {
  write("v2/a/cpuset.cpus.effective", "0-7");
  cpu_limit limit(proc(), {2, 3, 4});
  EXPECT_EQ(limit.cpus(), 3U);
  write("v2/a/cpuset.cpus.effective", "3-7");
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.allowed(), (cpu_set{3, 4}));
  write("v2/a/cpuset.cpus.effective", "6-7");  // nothing of it is left: the kernel then gives what there is
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.allowed(), (cpu_set{6, 7}));
  write("v2/a/cpuset.cpus.effective", "0-7");
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.allowed(), (cpu_set{2, 3, 4}));
}

// A cpuset may grow to all CPUs of the machine, a wish does not grow.
TEST_F(limit_of_files, the_highest_it_can_be_is_known_in_the_beginning) {
  EXPECT_EQ(cpu_limit(proc(), eight).highest(), 8U);  // nobody says anything of a cpuset
  write("v2/a/cpu.max", "200000 100000");
  EXPECT_EQ(cpu_limit(proc(), eight).highest(), 8U);
  write("v2/a/cpuset.cpus.effective", "0-7");
  EXPECT_EQ(cpu_limit(proc(), {2, 3, 4}).highest(), 3U);
  write("v2/a/cpuset.cpus.effective", "0");
  EXPECT_EQ(cpu_limit(proc(), {0}).highest(),
            cpu_set::parse(read_text("/sys/devices/system/cpu/online").value()).value().count());
}

TEST_F(limit_of_files, without_inotify_there_is_no_descriptor_and_a_refresh_still_sees) {
  write("v2/a/cpu.max", "300000 100000");
  ASSERT_EQ(fault_plan::install("emfile@inotify=1"), std::nullopt);
  cpu_limit limit(proc(), eight);
  fault_plan::remove();
  EXPECT_EQ(limit.pollable_fd(), -1);
  EXPECT_FALSE(limit.is_followed());
  EXPECT_EQ(limit.cpus(), 3U);
  write("v2/a/cpu.max", "200000 100000");
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 2U);
}

TEST_F(limit_of_files, a_watch_that_was_refused_is_set_by_a_later_look) {
  write("v2/a/cpu.max", "300000 100000");
  fault_plan::install_one(ENOMEM, 2, kernel::call::inotify);
  cpu_limit limit(proc(), eight);
  fault_plan::remove();
  EXPECT_FALSE(limit.is_followed());
  limit.refresh();
  EXPECT_TRUE(limit.is_followed());
}

#if defined(LEVITY_ASAN)
constexpr bool needs_descriptors = true;
#else
constexpr bool needs_descriptors = false;
#endif

// No descriptor more, whoever asks: those that are open stay.
class no_descriptors {
public:
  no_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;
  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
  rlimit before_{};
};

TEST_F(limit_of_files, a_look_without_descriptors_keeps_limit_and_watches_and_a_later_one_sees) {
  if (needs_descriptors) GTEST_SKIP() << "this sanitizer asks by a pipe of its own whether memory can be read";
  write("v2/a/b/cpu.max", "300000 100000");
  write("v2/a/cpuset.cpus.effective", "0-5");
  cpu_limit limit(proc(), eight);
  ASSERT_EQ(limit.cpus(), 3U);
  unsigned told = 0;
  limit.on_change = [&told](unsigned cpus) { told = cpus; };
  {
    const no_descriptors here;
    EXPECT_FALSE(limit.refresh());
  }
  EXPECT_EQ(told, 0U);
  EXPECT_EQ(limit.cpus(), 3U);
  EXPECT_EQ(limit.allowed(), (cpu_set{0, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(limit.is_followed());
  write("v2/a/b/cpu.max", "200000 100000");
  EXPECT_TRUE(is_readable(limit));
  EXPECT_TRUE(limit.refresh());
  EXPECT_EQ(limit.cpus(), 2U);
  EXPECT_TRUE(limit.is_followed());
}

TEST_F(limit_of_files, made_without_descriptors_it_is_what_the_affinity_says_until_a_look_can_be_made) {
  if (needs_descriptors) GTEST_SKIP() << "this sanitizer asks by a pipe of its own whether memory can be read";
  write("v2/a/b/cpu.max", "300000 100000");
  write("v2/a/cpuset.cpus.effective", "0-6");
  std::optional<cpu_limit> limit;
  {
    const no_descriptors here;
    limit.emplace(proc(), eight);
  }
  EXPECT_EQ(limit->cpus(), 8U);
  EXPECT_EQ(limit->pollable_fd(), -1);
  EXPECT_TRUE(limit->refresh());
  EXPECT_EQ(limit->cpus(), 3U);
  EXPECT_EQ(limit->allowed(), (cpu_set{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(limit->is_followed());
  write("v2/a/b/cpu.max", "100000 100000");
  EXPECT_TRUE(is_readable(*limit));
}

TEST_F(limit_of_files, a_watch_that_cannot_be_set_anew_stays) {
  write("v2/a/b/cpu.max", "300000 100000");
  cpu_limit limit(proc(), eight);
  ASSERT_EQ(fault_plan::install("enomem@inotify=1"), std::nullopt);
  limit.refresh();
  fault_plan::remove();
  EXPECT_FALSE(limit.is_followed());
  EXPECT_FALSE(is_readable(limit));  // that a watch is gone would be an event, too
  write("v2/a/b/cpu.max", "200000 100000");
  EXPECT_TRUE(is_readable(limit));
}

TEST_F(limit_of_files, the_last_of_many_writes_is_never_missed) {
  write("v2/a/cpu.max", "300000 100000");
  cpu_limit limit(proc(), eight);
  for (int round = 0; round < 50; round++) {
    const unsigned last = round % 2 == 0 ? 7 : 6;
    std::thread writer([&] {
      for (int i = 0; i < 20; i++) write("v2/a/cpu.max", std::to_string(1 + i % 5) + "00000 100000");
      write("v2/a/cpu.max", std::to_string(last) + "00000 100000");
    });
    EXPECT_TRUE(reaches(limit, last));
    writer.join();
  }
}

TEST_F(limit_of_files, it_keeps_no_descriptor_open) {
  const int before = test::open_descriptors();
  { const cpu_limit limit(proc(), eight); }
  EXPECT_EQ(test::open_descriptors(), before);
}

// ---- the kernel's own ----------------------------------------------------------------------------------------------------

TEST(real_cgroup, a_quota_of_v1_is_followed) {
  const test::real_group group(test::find_hierarchy("cpu"), test::name_of_group());
  if (!group.is_made()) GTEST_SKIP() << "no group can be made in v1's hierarchy of cpu: " << group.why_not();
  const test::process_in process("4:cpu:" + group.in_root());
  cpu_limit limit(process.proc(), eight);
  ASSERT_TRUE(limit.is_followed());
  EXPECT_EQ(limit.cpus(), 8U);
  EXPECT_FALSE(is_readable(limit));
  group.write("cpu.cfs_quota_us", "150000");
  EXPECT_TRUE(reaches(limit, 2));
  group.write("cpu.cfs_period_us", "50000");
  EXPECT_TRUE(reaches(limit, 3));
  group.write("cpu.cfs_quota_us", "-1");
  EXPECT_TRUE(reaches(limit, 8));
  EXPECT_FALSE(is_readable(limit));
}

TEST(real_cgroup, a_quota_of_v2_is_followed) {
  const test::real_group group(test::find_hierarchy(nullptr), test::name_of_group());
  if (!group.is_made()) GTEST_SKIP() << "no group can be made in v2's hierarchy: " << group.why_not();
  if (!group.has("cpu.max")) GTEST_SKIP() << "v2's hierarchy does not have the cpu controller for its groups";
  const test::process_in process("0::" + group.in_root());
  cpu_limit limit(process.proc(), eight);
  ASSERT_TRUE(limit.is_followed());
  const unsigned without = limit.cpus();
  group.write("cpu.max", "50000 100000");
  EXPECT_TRUE(reaches(limit, 1));
  group.write("cpu.max", "max");
  EXPECT_TRUE(reaches(limit, without));
}

TEST(real_cgroup, a_cpuset_of_v1_is_followed) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "a set of CPUs of one cannot be made smaller";
  const test::hierarchy cpusets = test::find_hierarchy("cpuset");
  const test::real_group group(cpusets, test::name_of_group());
  if (!group.is_made()) GTEST_SKIP() << "no group can be made in v1's hierarchy of cpuset: " << group.why_not();
  const cpu_set all = cpu_set::parse(read_text(cpusets.at + "/cpuset.effective_cpus").value_or("")).value();
  group.write("cpuset.cpus", all.to_string());
  const test::process_in process("3:cpuset:" + group.in_root());
  cpu_limit limit(process.proc(), all);
  ASSERT_TRUE(limit.is_followed());
  EXPECT_EQ(limit.allowed(), all);
  group.write("cpuset.cpus", std::to_string(all.numbers().front()));
  EXPECT_TRUE(reaches(limit, 1));
  group.write("cpuset.cpus", all.to_string());
  EXPECT_TRUE(reaches(limit, all.count()));
}

}  // namespace
}  // namespace levity::detail
