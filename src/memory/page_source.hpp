#pragma once

// page_source: 64 KiB slabs, aligned to their size, from the kernel and back.
//
// Regions of 1 MiB, aligned to their size, are mapped once and never unmapped. The first page of a region holds a head for each
// of its slabs, so that a slab itself can be given back to its last page; its first slab is shorter by that page. A slab that
// comes back is emptied with MADV_DONTNEED, so the kernel has its pages, and its addresses wait on a list for the next taker. A
// few slabs stay warm: a load that goes up and down by one slab must not pay a page fault each time.
//
// Pages lie on the node of who touches them first, and where the kernel makes huge pages by itself one touch decides for 2 MiB. So
// each depot has a store of its own, and that of a node maps so much at a time, aligned, that no huge page reaches over its edge.
// And it tells the kernel which node is preferred for these pages. Otherwise a task that was stolen before it began may touch its
// frame first, and a kernel that balances nodes (numa_balancing) moves all 2 MiB to where one such task touched them once. Where
// the kernel refuses to be told (EPERM in many containers), the first touch decides.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "levity/base/spin_lock.hpp"

namespace levity::inline v0::detail {

struct page_source {
  static constexpr std::size_t slab_bytes = 64 * 1024;
  static constexpr std::size_t region_bytes = 1024 * 1024;
  static constexpr std::size_t huge_page_bytes = 2 * 1024 * 1024;
  static constexpr std::size_t slabs_of_region = region_bytes / slab_bytes;
  static constexpr std::size_t page_bytes = 4096;
  static constexpr std::size_t head_bytes = page_bytes / slabs_of_region;
  static constexpr std::size_t warm_slabs_max = 16;
  static constexpr int any_node = -1;

  /// Where the head of the slab around `address` is: head_bytes that nobody else uses.
  static void* head_of(const void* address) noexcept {
    const auto number = reinterpret_cast<std::uintptr_t>(address);
    return reinterpret_cast<void*>((number & ~(region_bytes - 1)) + number % region_bytes / slab_bytes * head_bytes);
  }
  /// Where the slab around `address` begins, and where what may be used of it does.
  static std::byte* base_of(const void* address) noexcept {
    return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(address) & ~(slab_bytes - 1));
  }
  static std::size_t first_byte_of(const std::byte* base) noexcept {
    return reinterpret_cast<std::uintptr_t>(base) % region_bytes == 0 ? page_bytes : 0;
  }

  /// The slabs of one depot that nobody uses.
  struct store {
    spin_lock lock;
    void* warm[warm_slabs_max];   // guarded by lock, as the rest
    std::size_t warm_count = 0;
    std::vector<void*> cold;      // capacity is reserved for every slab of every region, so that freeing never allocates
    std::uint64_t reserved = 0;   // address space taken from the kernel so far
    std::size_t piece_bytes = region_bytes;  // constant: what is mapped at once, and aligned to; whole regions
    int node = any_node;                     // constant: where its pages are to lie
  };

  /// The base of a slab, contents unspecified. Null when the kernel has none. Any thread; may sleep in the kernel.
  static void* allocate_slab(store& from) noexcept;
  /// Gives a slab back to the store that it came from.
  static void free_slab(void* slab, store& to) noexcept;

  /// Gives the pages of a part of a slab back; they are zero when they are touched again.
  static void release(void* pages, std::size_t bytes) noexcept;
  /// Whether the kernel's pages are of 4 KiB, so that a slab has many.
  static bool has_small_pages() noexcept;
};

}  // namespace levity::detail
