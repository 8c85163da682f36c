#pragma once

#include <optional>
#include <string>

namespace levity::inline v0::detail {

/// What a small file of the kernel's holds, less the line feeds at its end; nothing if it cannot be read, and errno says why. At
/// most 1 MiB of it. Waits for no disk in /proc, /sys and cgroups. Any thread.
std::optional<std::string> read_text(const std::string& path);

}  // namespace levity::detail
