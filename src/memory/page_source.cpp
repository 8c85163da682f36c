#include "memory/page_source.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "levity/base/spin_lock.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

struct slab_store {
  spin_lock lock;
  void* warm[page_source::warm_slabs_max];
  std::size_t warm_count = 0;
  std::vector<void*> cold;  // capacity is reserved for every slab of every region, so that freeing never allocates
  std::uint64_t reserved = 0;
};

slab_store& the_store() noexcept {
  static slab_store* const instance = new slab_store;
  return *instance;
}

// Maps one region and adds its slabs to the cold ones.
bool map_region(slab_store& store) noexcept {
  constexpr std::size_t bytes = 2 * page_source::region_bytes;
  void* mapped = kernel::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return false;
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t first = (address + page_source::region_bytes - 1) & ~(page_source::region_bytes - 1);
  if (first > address) kernel::munmap(mapped, first - address);
  const std::uintptr_t end = first + page_source::region_bytes;
  if (address + bytes > end) kernel::munmap(reinterpret_cast<void*>(end), address + bytes - end);

  std::vector<void*> roomier;  // grown outside the lock: a spin lock never covers the general allocator
  store.lock.lock();
  const std::size_t slabs = (store.reserved + page_source::region_bytes) / page_source::slab_bytes;
  const bool grow = store.cold.capacity() < slabs;
  store.lock.unlock();
  if (grow) roomier.reserve(slabs * 2);

  store.lock.lock();
  if (roomier.capacity() > store.cold.capacity()) {
    roomier.assign(store.cold.begin(), store.cold.end());
    store.cold.swap(roomier);
  }
  store.reserved += page_source::region_bytes;
  bool added = store.cold.capacity() >= store.reserved / page_source::slab_bytes;
  if (added) {
    for (std::uintptr_t slab = first; slab < end; slab += page_source::slab_bytes) {
      store.cold.push_back(reinterpret_cast<void*>(slab));
    }
  } else {
    store.reserved -= page_source::region_bytes;  // others grew meanwhile: give the region back and try again
  }
  store.lock.unlock();
  if (!added) {
    kernel::munmap(reinterpret_cast<void*>(first), page_source::region_bytes);
    return map_region(store);
  }
  return true;
}

}  // namespace

void* page_source::allocate_slab() noexcept {
  slab_store& store = the_store();
  for (;;) {
    void* slab = nullptr;
    store.lock.lock();
    if (store.warm_count > 0) {
      slab = store.warm[--store.warm_count];
    } else if (!store.cold.empty()) {
      slab = store.cold.back();
      store.cold.pop_back();
    }
    store.lock.unlock();
    if (slab != nullptr) return slab;
    if (!map_region(store)) return nullptr;
  }
}

void page_source::free_slab(void* slab) noexcept {
  slab_store& store = the_store();
  store.lock.lock();
  const bool keep = store.warm_count < warm_slabs_max;
  if (keep) store.warm[store.warm_count++] = slab;
  store.lock.unlock();
  if (keep) return;
  auto* const base = static_cast<std::byte*>(slab);
  release(base + first_byte_of(base), slab_bytes - first_byte_of(base));
  store.lock.lock();
  store.cold.push_back(slab);
  store.lock.unlock();
}

void page_source::release(void* pages, std::size_t bytes) noexcept { kernel::madvise(pages, bytes, MADV_DONTNEED); }

bool page_source::has_small_pages() noexcept {
  static const bool small = ::sysconf(_SC_PAGESIZE) == page_bytes;
  return small;
}

std::uint64_t page_source::bytes_reserved() noexcept {
  slab_store& store = the_store();
  store.lock.lock();
  const std::uint64_t reserved = store.reserved;
  store.lock.unlock();
  return reserved;
}

}  // namespace levity::detail
