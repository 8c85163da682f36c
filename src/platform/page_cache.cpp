#include "platform/page_cache.hpp"

#include <unistd.h>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

bool is_cached(int fd, std::uint64_t offset, std::uint64_t size) noexcept {
  if (size == 0) return true;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  kernel::cachestat_range range{offset, size};
  kernel::cachestat_answer answer{};
  if (kernel::cachestat(fd, &range, &answer) != 0) return false;
  const std::uint64_t wanted = (offset + size - 1) / page - offset / page + 1;
  return answer.pages_cached >= wanted;
}

}  // namespace levity::detail
