// Goal: the limits that bind a process are found wherever hierarchies are mounted, whatever part of them is seen. Method: a folder
// like /proc/self and the hierarchies that it names, written by each test.

#include "platform/cgroup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "levity/base/rng.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::inline v0::detail {
namespace {

class cgroup : public testing::Test {
protected:
  void write(const std::string& file, std::string_view text) {
    const std::filesystem::path path = folder_.path() + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  // Mounts the hierarchy of `type` at `at`, below the folder; `root` is the group that is seen there.
  void mount(const std::string& type, const std::string& root, const std::string& at, const std::string& options) {
    mounts_ += "31 23 0:26 " + root + " " + folder_.path() + "/" + at + " rw,nosuid shared:9 master:1 - " + type + " cgroup " +
               options + "\n";
    write("proc/mountinfo", "22 1 8:1 / / rw - ext4 /dev/vda rw\n" + mounts_);
  }
  void process_is_in(std::string_view lines) { write("proc/cgroup", lines); }
  [[nodiscard]] cgroups look() const { return cgroups(folder_.path() + "/proc"); }
  [[nodiscard]] const std::string& path() const { return folder_.path(); }

private:
  test::temporary_folder folder_ = test::temporary_folder::in_memory();
  std::string mounts_;
};

TEST_F(cgroup, of_v2_the_tightest_quota_from_the_own_group_to_the_root_counts) {
  mount("cgroup2", "/", "unified", "rw,nsdelegate");
  process_is_in("0::/a/b");
  write("unified/a/b/cpu.max", "400000 100000");
  EXPECT_EQ(look().cpu_quota(), 4.0);
  write("unified/a/cpu.max", "75000 50000");
  EXPECT_EQ(look().cpu_quota(), 1.5);
  write("unified/a/cpu.max", "max 100000");
  write("unified/a/b/c/cpu.max", "10000 100000");  // below us: not ours
  EXPECT_EQ(look().cpu_quota(), 4.0);
  write("unified/a/b/cpu.max", "max 100000");
  EXPECT_EQ(look().cpu_quota(), std::nullopt);
}

TEST_F(cgroup, of_v1_the_tightest_quota_from_the_own_group_to_the_root_counts) {
  mount("cgroup", "/", "memory", "rw,memory");
  mount("cgroup", "/", "cpu,cpuacct", "rw,cpu,cpuacct");
  process_is_in("5:memory:/elsewhere\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x");
  for (const char* group : {"", "/a", "/a/b"}) {
    write(std::string("cpu,cpuacct") + group + "/cpu.cfs_quota_us", "-1");
    write(std::string("cpu,cpuacct") + group + "/cpu.cfs_period_us", "100000");
  }
  EXPECT_EQ(look().cpu_quota(), std::nullopt);
  write("cpu,cpuacct/a/b/cpu.cfs_quota_us", "250000");
  EXPECT_EQ(look().cpu_quota(), 2.5);
  write("cpu,cpuacct/a/cpu.cfs_quota_us", "50000");
  write("cpu,cpuacct/a/cpu.cfs_period_us", "25000");
  EXPECT_EQ(look().cpu_quota(), 2.0);
  write("cpu,cpuacct/cpu.cfs_quota_us", "100000");
  EXPECT_EQ(look().cpu_quota(), 1.0);
}

// Both kinds are mounted, as systemd's hybrid mode has it: the controllers are v1's.
TEST_F(cgroup, of_both_versions_side_by_side_each_is_asked_for_what_it_has) {
  mount("cgroup2", "/", "unified", "rw");
  mount("cgroup", "/", "cpu", "rw,cpu");
  mount("cgroup", "/", "cpuset", "rw,cpuset");
  process_is_in("3:cpuset:/s\n2:cpu:/c\n0::/u");
  write("unified/u/cgroup.procs", "1");
  write("cpu/c/cpu.cfs_quota_us", "300000");
  write("cpu/c/cpu.cfs_period_us", "100000");
  write("cpuset/s/cpuset.effective_cpus", "2-4");
  EXPECT_EQ(look().cpu_quota(), 3.0);
  EXPECT_EQ(look().cpus(), (cpu_set{2, 3, 4}));
  const std::vector<std::string> written = look().written();
  for (const char* file : {"/cpu/c/cpu.cfs_quota_us", "/cpu/cpu.cfs_period_us", "/cpuset/s/cpuset.cpus", "/cpuset/cpuset.cpus",
                           "/unified/u/cpu.max", "/unified/cgroup.subtree_control"}) {
    EXPECT_EQ(std::count(written.begin(), written.end(), path() + file), 1) << file;
  }
  EXPECT_EQ(written.size(), 2U * 2 + 2 + 2 * 3);
}

TEST_F(cgroup, in_a_container_that_keeps_the_hosts_paths_its_own_group_is_the_root) {
  mount("cgroup", "/docker/4f", "cpu", "rw,cpu");
  process_is_in("2:cpu:/docker/4f/inner");
  write("cpu/cpu.cfs_quota_us", "200000");
  write("cpu/cpu.cfs_period_us", "100000");
  write("cpu/inner/cpu.cfs_quota_us", "-1");
  write("cpu/inner/cpu.cfs_period_us", "100000");
  EXPECT_EQ(look().cpu_quota(), 2.0);
  // A group whose name only begins like it is another one.
  process_is_in("2:cpu:/docker/4f0/inner");
  write("cpu/0/inner/cpu.cfs_quota_us", "100000");
  write("cpu/0/inner/cpu.cfs_period_us", "100000");
  EXPECT_EQ(look().cpu_quota(), 2.0);
}

TEST_F(cgroup, a_group_outside_of_what_is_mounted_has_the_limits_of_that_root) {
  mount("cgroup2", "/", "unified", "rw");
  process_is_in("0::/../other");
  write("unified/cpu.max", "200000 100000");
  write("other/cpu.max", "100000 100000");  // outside, where ".." would lead
  write("unified/other/cpu.max", "100000 100000");
  EXPECT_EQ(look().cpu_quota(), 2.0);
}

TEST_F(cgroup, of_two_mounts_the_one_that_shows_the_group_is_asked) {
  mount("cgroup2", "/elsewhere", "first", "rw");
  mount("cgroup2", "/", "second", "rw");
  process_is_in("0::/a");
  write("first/cpu.max", "100000 100000");
  write("second/a/cpu.max", "300000 100000");
  EXPECT_EQ(look().cpu_quota(), 3.0);
}

TEST_F(cgroup, a_mount_point_with_a_space_is_found) {
  mount("cgroup2", "/", "my\\040groups", "rw");
  process_is_in("0::/");
  write("my groups/cpu.max", "300000 100000");
  EXPECT_EQ(look().cpu_quota(), 3.0);
}

TEST_F(cgroup, of_v2_the_nearest_group_that_has_cpus_says_which) {
  mount("cgroup2", "/", "unified", "rw");
  process_is_in("0::/a/b");
  EXPECT_EQ(look().cpus(), std::nullopt);
  write("unified/cpuset.cpus.effective", "0-7");
  EXPECT_EQ(look().cpus()->to_string(), "0-7");
  write("unified/a/cpuset.cpus.effective", "2-3");
  EXPECT_EQ(look().cpus()->to_string(), "2-3");
  write("unified/a/b/cpuset.cpus.effective", "");
  EXPECT_EQ(look().cpus()->to_string(), "2-3");
}

TEST_F(cgroup, without_any_nothing_is_limited_and_nothing_is_written) {
  EXPECT_EQ(look().cpu_quota(), std::nullopt);
  EXPECT_EQ(look().cpus(), std::nullopt);
  EXPECT_TRUE(look().written().empty());
  process_is_in("0::/a\nnonsense\n7:cpu");
  write("proc/mountinfo", "nonsense\n31 23 0:26 / /x rw - cgroup2");
  EXPECT_EQ(look().cpu_quota(), std::nullopt);
}

TEST_F(cgroup, a_quota_that_is_no_number_or_not_positive_is_none) {
  mount("cgroup2", "/", "unified", "rw");
  process_is_in("0::/");
  for (const char* wrong : {"", "max", "0 100000", "-1 100000", "100000", "100000 0", "x y", "nan 100000"}) {
    write("unified/cpu.max", wrong);
    EXPECT_EQ(look().cpu_quota(), std::nullopt) << wrong;
  }
}

// Any chain of groups of either version, some with quotas: the least of them.
TEST_F(cgroup, of_any_chain_of_groups_the_least_quota_counts) {
  mount("cgroup2", "/", "v2", "rw");
  mount("cgroup", "/", "v1", "rw,cpu");
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    rng random(seed);
    const bool is_v2 = random.below(2) == 0;
    const std::string top = "/run" + std::to_string(seed);
    std::string group = top;
    std::optional<double> least;
    for (std::uint64_t depth = random.below(6); depth > 0; depth--) {
      group += "/g" + std::to_string(random.below(3));
      const auto quota = static_cast<unsigned>(1000 + random.below(800'000));
      const auto period = static_cast<unsigned>(1000 + random.below(100'000));
      const bool has_one = random.below(3) != 0;
      if (is_v2) {
        write("v2" + group + "/cpu.max", (has_one ? std::to_string(quota) : "max") + " " + std::to_string(period));
      } else {
        write("v1" + group + "/cpu.cfs_quota_us", has_one ? std::to_string(quota) : "-1");
        write("v1" + group + "/cpu.cfs_period_us", std::to_string(period));
      }
      if (has_one) least = std::min(least.value_or(1e9), static_cast<double>(quota) / period);
    }
    process_is_in(is_v2 ? "0::" + group : "4:cpu:" + group + "\n0::/");
    EXPECT_EQ(look().cpu_quota(), least) << "seed " << seed << ", " << group;
  }
}

}  // namespace
}  // namespace levity::detail
