#pragma once

// own_memory: memory of this process that may not be there, or no longer.

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace levity::inline v0::detail {

/// What there is of `size` bytes at `at`: an address that is not there is an answer and no fault. Any thread, signal handlers too;
/// errno is left as it was.
inline std::size_t read_own_memory(std::uint64_t at, void* into, std::size_t size) noexcept {
  const int errno_before = errno;
  const iovec local{into, size};
  const iovec remote{reinterpret_cast<void*>(at), size};
  const auto got = ::syscall(SYS_process_vm_readv, ::getpid(), &local, 1L, &remote, 1L, 0L);
  errno = errno_before;
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

}  // namespace levity::detail
