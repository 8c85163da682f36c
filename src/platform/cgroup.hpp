#pragma once

// cgroups: where the control groups of this process say how much CPU it may use, in both versions of the interface.
//
// A process has one group in each hierarchy, and what binds it is the tightest limit from there up to the root. It sees a part
// of that: in a container the root of what is mounted is often its own group, and what stands above it is hidden.
//
//   /proc/self/cgroup      the group in each hierarchy, as a path from the root that this process's namespace has
//   /proc/self/mountinfo   where each hierarchy is mounted, and which of its groups is the root of the mount
//
//                v1                                      v2
//   quota        cpu.cfs_quota_us / cpu.cfs_period_us    cpu.max
//                in the hierarchy of `cpu`               both numbers in one line; "max" for none
//   CPUs         cpuset.effective_cpus                   cpuset.cpus.effective
//                in the hierarchy of `cpuset`            in the nearest group above that has the controller
//   written by   cpuset.cpus                             cpuset.cpus
//   whoever      cpu.cfs_*_us                            cpu.max; cgroup.subtree_control, which makes the other files come and go
//   changes it

#include <optional>
#include <string>
#include <vector>

#include "platform/cpu_set.hpp"

namespace levity::inline v0::detail {

/// A look-up: when a process is moved to another group, another one is made. One thread at a time; its files may be read by any.
class cgroups {
public:
  static constexpr const char* own_process = "/proc/self";

  // All of these throw std::system_error where the kernel has no descriptor or memory for the look: what the groups say is then
  // unknown, which is not that they say nothing.

  /// Of the process that `proc`, a folder like /proc/self, describes.
  explicit cgroups(const std::string& proc = own_process);

  /// The tightest quota, in CPUs; nothing if there is none. Reads the files anew.
  [[nodiscard]] std::optional<double> cpu_quota() const;
  /// The CPUs that the groups leave; nothing if they do not say. Reads the file anew.
  [[nodiscard]] std::optional<cpu_set> cpus() const;
  /// The files that are written when one of these changes. Not all of them need exist.
  [[nodiscard]] const std::vector<std::string>& written() const noexcept { return written_; }

private:
  struct group {
    std::string folder;
    bool is_v2;
  };

  std::vector<group> for_quota_;     // the own one, then those above
  std::vector<group> for_cpus_;
  std::vector<std::string> written_;
};

}  // namespace levity::detail
