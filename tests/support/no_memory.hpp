#pragma once

#include <sys/mman.h>
#include <sys/resource.h>

namespace levity::test {

/// Why a test does without: where leave_no_memory() says no.
inline constexpr const char* limits_nothing = "RLIMIT_AS limits nothing, as below an emulator";

/// This process gets no more memory from here on, what it has in reserve aside. False: the system does not know how.
inline bool leave_no_memory() noexcept {
  const rlimit least{0, 0};
  return ::setrlimit(RLIMIT_AS, &least) == 0 &&
         ::mmap(nullptr, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

}  // namespace levity::test
