#pragma once

// page_source: 64 KiB slabs, aligned to their size, from the kernel and back.
//
// Regions of 1 MiB are mapped once and never unmapped; a slab that comes back is emptied with MADV_DONTNEED, so the kernel
// has its pages, and its addresses wait on a list for the next taker. A few slabs stay warm: a load that goes up and down
// by one slab must not pay a page fault each time.

#include <cstddef>
#include <cstdint>

namespace levity::inline v0::detail {

struct page_source {
  static constexpr std::size_t slab_bytes = 64 * 1024;
  static constexpr std::size_t region_bytes = 1024 * 1024;
  static constexpr std::size_t warm_slabs_max = 16;

  /// Memory of slab_bytes, contents unspecified. Null when the kernel has none. Any thread; may sleep in the kernel.
  static void* allocate_slab() noexcept;
  static void free_slab(void* slab) noexcept;

  /// Address space taken from the kernel so far.
  static std::uint64_t bytes_reserved() noexcept;
};

}  // namespace levity::detail
