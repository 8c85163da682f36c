#pragma once

namespace levity::inline v0::detail {

/// CPUs this process may use now: its affinity mask, bounded by the cgroup's CPU quota (v1 and v2), rounded up. At least 1.
unsigned usable_cpus() noexcept;

}  // namespace levity::detail
