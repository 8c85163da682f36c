#include "memory/page_source.hpp"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <new>
#include <vector>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

// Preferred, not bound: when the node has no memory left, another one's is better than none.
void prefer_node(void* pages, std::size_t bytes, int node) noexcept {
  constexpr std::size_t word_bits = sizeof(unsigned long) * CHAR_BIT;
  std::array<unsigned long, 16> nodes{};
  const auto number = static_cast<std::size_t>(node);
  if (number >= nodes.size() * word_bits) return;
  nodes[number / word_bits] = 1UL << (number % word_bits);
  kernel::mbind(pages, bytes, MPOL_PREFERRED, nodes.data(), nodes.size() * word_bits + 1, 0);  // the kernel reads one bit less
}

// Maps one piece and adds its slabs to the cold ones. False: no memory.
bool map_piece(page_source::store& store) noexcept {
  const std::size_t piece = store.piece_bytes;
  const std::size_t bytes = 2 * piece;
  void* mapped = kernel::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return false;
  const auto address = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t first = (address + piece - 1) & ~(piece - 1);
  if (first > address) kernel::munmap(mapped, first - address);
  const std::uintptr_t end = first + piece;
  if (address + bytes > end) kernel::munmap(reinterpret_cast<void*>(end), address + bytes - end);
  if (store.node != page_source::any_node) prefer_node(reinterpret_cast<void*>(first), piece, store.node);

  std::vector<void*> roomier;  // grown outside the lock: a spin lock never covers the general allocator
  store.lock.lock();
  const std::size_t slabs = (store.reserved + piece) / page_source::slab_bytes;
  const bool grow = store.cold.capacity() < slabs;
  store.lock.unlock();
  if (grow) {
    try {
      roomier.reserve(slabs * 2);
    } catch (const std::bad_alloc&) {
      kernel::munmap(reinterpret_cast<void*>(first), piece);
      return false;
    }
  }

  store.lock.lock();
  if (roomier.capacity() > store.cold.capacity()) {
    roomier.assign(store.cold.begin(), store.cold.end());
    store.cold.swap(roomier);
  }
  store.reserved += piece;
  bool added = store.cold.capacity() >= store.reserved / page_source::slab_bytes;
  if (added) {
    for (std::uintptr_t slab = first; slab < end; slab += page_source::slab_bytes) {
      store.cold.push_back(reinterpret_cast<void*>(slab));
    }
  } else {
    store.reserved -= piece;  // others grew meanwhile: give the piece back and try again
  }
  store.lock.unlock();
  if (!added) {
    kernel::munmap(reinterpret_cast<void*>(first), piece);
    return map_piece(store);
  }
  return true;
}

}  // namespace

void* page_source::allocate_slab(store& from) noexcept {
  for (;;) {
    void* slab = nullptr;
    from.lock.lock();
    if (from.warm_count > 0) {
      slab = from.warm[--from.warm_count];
    } else if (!from.cold.empty()) {
      slab = from.cold.back();
      from.cold.pop_back();
    }
    from.lock.unlock();
    if (slab != nullptr) return slab;
    if (!map_piece(from)) return nullptr;
  }
}

void page_source::free_slab(void* slab, store& to) noexcept {
  to.lock.lock();
  const bool keep = to.warm_count < warm_slabs_max;
  if (keep) to.warm[to.warm_count++] = slab;
  to.lock.unlock();
  if (keep) return;
  auto* const base = static_cast<std::byte*>(slab);
  release(base + first_byte_of(base), slab_bytes - first_byte_of(base));
  to.lock.lock();
  to.cold.push_back(slab);
  to.lock.unlock();
}

void page_source::release(void* pages, std::size_t bytes) noexcept { kernel::madvise(pages, bytes, MADV_DONTNEED); }

bool page_source::has_small_pages() noexcept {
  static const bool small = ::sysconf(_SC_PAGESIZE) == page_bytes;
  return small;
}

}  // namespace levity::detail
