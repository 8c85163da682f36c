#include "platform/page_cache.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace levity::inline v0::detail {
namespace {

// linux/mman.h, since 6.5; the headers may be older than the kernel.
constexpr long cachestat_number = 451;
struct cachestat_range {
  std::uint64_t offset;
  std::uint64_t size;
};
struct cachestat_answer {
  std::uint64_t pages_cached;
  std::uint64_t pages_dirty;
  std::uint64_t pages_in_writeback;
  std::uint64_t pages_evicted;
  std::uint64_t pages_recently_evicted;
};

}  // namespace

bool is_cached(int fd, std::uint64_t offset, std::uint64_t size) noexcept {
  if (size == 0) return true;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  cachestat_range range{offset, size};
  cachestat_answer answer{};
  if (::syscall(cachestat_number, fd, &range, &answer, 0) != 0) return false;
  const std::uint64_t wanted = (offset + size - 1) / page - offset / page + 1;
  return answer.pages_cached >= wanted;
}

}  // namespace levity::detail
