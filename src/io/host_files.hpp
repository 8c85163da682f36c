#pragma once

// host_files: whose files a thread that runs no task means. Within blocking(f), on the main thread of a simulated host, in a
// destructor there: all of it must come to the host's disk. See runtime/run_host.hpp, which installs it.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>

namespace levity::inline v0::detail {

struct file_backend;

/// Who carries out this thread's operations on files; null: the kernel.
[[nodiscard]] file_backend* host_files() noexcept;

/// Installs `files` (null: the kernel) for this thread and returns what was there.
file_backend* exchange_host_files(file_backend* files) noexcept;

/// All of a file, read in place on a thread that may block and runs no task: the kernel's, or on a thread of a simulated host the
/// host's. A negative errno if that fails, -EFBIG where there is more than `size_max`. Throws std::bad_alloc.
std::expected<std::string, std::int64_t> read_file_now(const char* path, std::size_t size_max);

}  // namespace levity::detail
