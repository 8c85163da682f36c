#pragma once

#include <optional>
#include <string>

#include "platform/topology.hpp"

namespace levity::inline v0::detail {

/// The machine as `system`, a folder like /sys/devices/system, describes it. Nothing if it does not say which CPUs are on line.
std::optional<topology> read_sysfs_topology(const std::string& system);

}  // namespace levity::detail
