#include "levity/memory/buffer.hpp"

#include <array>
#include <cstring>

#include "levity/base/atomic.hpp"
#include "levity/memory/frame_pool.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::size_t kept_max = 8;

struct kept_buffers {
  std::array<std::byte*, kept_max> buffers;
  std::size_t count;
  std::size_t count_max;  // 0 on threads that are no workers: nobody would flush what they keep
};

constinit thread_local kept_buffers kept [[gnu::tls_model("initial-exec")]]{};

}  // namespace

std::byte* take_buffer() {
  if (kept.count > 0) return kept.buffers[--kept.count];
  return static_cast<std::byte*>(frame_allocate(buffer_bytes));
}

void give_buffer(std::byte* buffer) noexcept {
#if defined(LEVITY_DEBUG) || !defined(__OPTIMIZE__)
  std::memset(buffer, 0xdb, buffer_bytes);
#endif
#ifdef LEVITY_ASAN
  frame_free(buffer, buffer_bytes);  // a late look is a use after free
#else
  if (kept.count < kept.count_max) {
    kept.buffers[kept.count++] = buffer;
  } else {
    frame_free(buffer, buffer_bytes);
  }
#endif
}

void keep_buffers() noexcept { kept.count_max = kept_max; }

void flush_buffers() noexcept {
  kept.count_max = 0;
  while (kept.count > 0) frame_free(kept.buffers[--kept.count], buffer_bytes);
}

}  // namespace levity::detail
