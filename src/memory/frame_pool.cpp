#include "levity/memory/frame_pool.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "memory/page_source.hpp"

namespace levity::inline v0::detail {

namespace {

constexpr std::size_t granule_bytes = frame_granule_bytes;
constexpr std::size_t fine_bytes_max = frame_fine_bytes_max;
constexpr std::size_t block_bytes_max = 16 * 1024;
constexpr std::size_t fine_classes = fine_bytes_max / granule_bytes;
constexpr std::size_t class_count = frame_classes;
constexpr std::int64_t magazine_bytes_max = 128 * 1024;  // for each worker

// Classes 0..63 are 16, 32 .. 1024 bytes; then 1280, 1536, 1792, 2048, 2560 .. 16384: four steps a doubling.
constexpr std::size_t class_of(std::size_t bytes) {
  if (bytes <= fine_bytes_max) return (bytes - 1) / granule_bytes;
  const auto doubling = static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;  // 2^doubling < bytes
  const std::size_t step = ((bytes - 1) >> (doubling - 2)) & 3;
  return fine_classes + (doubling - 10) * 4 + step;
}

constexpr std::size_t class_bytes(std::size_t index) {
  if (index < fine_classes) return (index + 1) * granule_bytes;
  const std::size_t doubling = 10 + (index - fine_classes) / 4;
  const std::size_t step = (index - fine_classes) % 4;
  return (std::size_t{1} << doubling) + (step + 1) * (std::size_t{1} << (doubling - 2));
}

static_assert(class_of(1) == 0 && class_of(16) == 0 && class_of(17) == 1 && class_of(1024) == 63);
static_assert(class_of(1025) == 64 && class_bytes(64) == 1280 && class_of(1280) == 64 && class_of(1281) == 65);
static_assert(class_bytes(class_count - 1) == block_bytes_max && class_of(block_bytes_max) == class_count - 1);

using free_block = frame_block;

// How many blocks travel between a magazine and the depot at once. Small ones by fours: these end where a cache line ends, so
// that fresh batches of two threads have no line in common.
constexpr unsigned batch_of(std::size_t index) {
  const auto blocks = static_cast<unsigned>(std::clamp<std::size_t>(4096 / class_bytes(index), 1, 32));
  return blocks < 4 ? blocks : blocks / 4 * 4;
}

// How many blocks of a class a magazine may hold once it was granted room for them.
constexpr unsigned limit_of(std::size_t index) { return class_bytes(index) > 2048 ? 1 : 2 * batch_of(index); }

struct depot;

// The head of a 64 KiB slab, apart from its blocks. Guarded by its class's lock.
//
// After a crowd has left, a few of its tasks may live on, spread over all the slabs. tidy() gives back the pages between them:
// those on which every block is free. Such a page is hollow, and the blocks on it are gone: free, but in no list, for a link in
// them would be lost or bring the page back. They return when the slab has nothing else left to give (revive()).
//
//   capacity = used + free + gone + untouched
//   a block is gone  <=>  it lies on a hollow page
struct slab : list_link {
  depot* home = nullptr;   // whose it is
  free_block* free = nullptr;
  unsigned used = 0;       // handed out, or in the hands of tidy()
  unsigned untouched = 0;  // at the end, never handed out: their pages are not resident yet
  unsigned gone = 0;
  unsigned capacity = 0;
  std::uint16_t hollow = 0;       // a bit for each page
  std::uint16_t class_index = 0;
  std::uint32_t tidied = 0;       // the round of tidy() that has looked at it
  bool disturbed = false;         // blocks came back since

  [[nodiscard]] bool exhausted() const noexcept { return free == nullptr && untouched == 0 && hollow == 0; }

  std::byte* base = nullptr;
  std::uint32_t first_byte = 0;   // of the first block, from base

  [[nodiscard]] std::byte* block(std::size_t number, std::size_t bytes) const noexcept {
    return base + first_byte + number * bytes;
  }
  // The pages that a block lies on, as bits.
  [[nodiscard]] unsigned pages_of(std::size_t number, std::size_t bytes) const noexcept {
    const std::size_t first = (first_byte + number * bytes) / page_bytes;
    const std::size_t last = (first_byte + (number + 1) * bytes - 1) / page_bytes;
    return (2U << last) - (1U << first);
  }
  [[nodiscard]] std::size_t number_of(const void* memory, std::size_t bytes) const noexcept {
    return (static_cast<std::size_t>(static_cast<const std::byte*>(memory) - base) - first_byte) / bytes;
  }
  // Makes the blocks of the first hollow page free again; the kernel fills the page with zeros when it is touched.
  void revive(std::size_t bytes) noexcept {
    const auto page = static_cast<std::size_t>(std::countr_zero(hollow));
    hollow = static_cast<std::uint16_t>(hollow & (hollow - 1));
    for (std::size_t number = (page * page_bytes - first_byte) / bytes; number < capacity - untouched; number++) {
      const unsigned on = pages_of(number, bytes);
      if ((on & 1U << page) == 0) break;
      if ((on & hollow) != 0) continue;
      auto* back = reinterpret_cast<free_block*>(block(number, bytes));
      back->next = free;
      free = back;
      gone--;
    }
  }

  static constexpr std::size_t page_bytes = page_source::page_bytes;
  static constexpr std::size_t pages = page_source::slab_bytes / page_bytes;
};
static_assert(sizeof(slab) <= page_source::head_bytes && slab::pages == 16);

slab* slab_of(void* block) noexcept {
  return static_cast<slab*>(page_source::head_of(block));
}

// The slabs of one size class that have something to give. Full slabs are in no list.
struct alignas(cache_line_bytes) depot_class {
  spin_lock lock;
  link_list partial;
  atomic<std::uint64_t> slabs{0};
};

struct depot {
  std::array<depot_class, class_count> classes;
  page_source::store unused;
  unsigned node = 0;  // constant; of all but the first
  atomic<depot*> next_depot{nullptr};

  // One at a time makes a round over all slabs, in slices.
  spin_lock tidying;
  std::size_t tidy_class = 0;
  std::uint32_t round = 0;

  // Takes up to `wanted` blocks of the class, linked; at least one. Null when the kernel has no memory. Every other one comes
  // first: neighbours may have a cache line in common, and the tasks that a thread starts one after the other soon run on several.
  free_block* take(std::size_t index, unsigned wanted, unsigned& got) noexcept {
    depot_class& from = classes[index];
    const std::size_t bytes = class_bytes(index);
    free_block* taken[2] = {};
    free_block* last = nullptr;
    got = 0;
    from.lock.lock();
    while (got < wanted) {
      auto* source = static_cast<slab*>(from.partial.front());
      if (source == nullptr) {
        if (got > 0) break;
        // Mapping may sleep in the kernel; nobody shall spin for that.
        from.lock.unlock();
        void* memory = page_source::allocate_slab(unused);
        if (memory == nullptr) return nullptr;
        source = new (page_source::head_of(memory)) slab;
        source->home = this;
        source->base = static_cast<std::byte*>(memory);
        source->first_byte = static_cast<std::uint32_t>(page_source::first_byte_of(source->base));
        source->class_index = static_cast<std::uint16_t>(index);
        source->capacity = static_cast<unsigned>((page_source::slab_bytes - source->first_byte) / bytes);
        source->untouched = source->capacity;
        from.slabs.fetch_add(1, std::memory_order_relaxed);
        from.lock.lock();
        from.partial.push_front(*source);
      }
      while (got < wanted) {
        free_block* block;
        if (source->free != nullptr) {
          block = source->free;
          source->free = block->next;
        } else if (source->untouched > 0) {
          block = reinterpret_cast<free_block*>(source->block(source->capacity - source->untouched, bytes));
          source->untouched--;
        } else if (source->hollow != 0) {
          source->revive(bytes);
          continue;
        } else {
          break;
        }
        source->used++;
        block->next = std::exchange(taken[got % 2], block);
        if (got == 0) last = block;
        got++;
      }
      if (source->exhausted()) source->unlink();
    }
    from.lock.unlock();
    if (last == nullptr) return nullptr;
    last->next = taken[1];
    return taken[0];
  }

  // Takes those that are its own, and returns the others.
  free_block* give(std::size_t index, free_block* blocks) noexcept {
    depot_class& to = classes[index];
    link_list empty;
    free_block* others = nullptr;
    to.lock.lock();
    while (blocks != nullptr) {
      free_block* block = blocks;
      blocks = block->next;
      slab* home = slab_of(block);
      if (home->home != this) [[unlikely]] {
        block->next = std::exchange(others, block);
        continue;
      }
      const bool was_full = home->exhausted();
      block->next = home->free;
      home->free = block;
      home->used--;
      home->disturbed = true;
      if (was_full) to.partial.push_back(*home);
      if (home->used == 0) {
        home->unlink();
        empty.push_back(*home);
      }
    }
    to.lock.unlock();
    while (list_link* link = empty.pop_front()) {
      to.slabs.fetch_sub(1, std::memory_order_relaxed);
      page_source::free_slab(static_cast<slab*>(link)->base, unused);
    }
    return others;
  }

  // Looks at up to `slabs` of them. True: the round is not over.
  bool tidy(unsigned slabs) noexcept {
    if (!tidying.try_lock()) return false;
    if (tidy_class == 0) round++;
    while (slabs > 0 && tidy_class < class_count) {
      if (tidy_next(tidy_class)) {
        slabs--;
      } else {
        tidy_class++;
      }
    }
    const bool more = tidy_class < class_count;
    if (!more) tidy_class = 0;
    tidying.unlock();
    return more;
  }

private:
  // False: this round has seen every slab of the class.
  bool tidy_next(std::size_t index) noexcept {
    depot_class& of = classes[index];
    const std::size_t bytes = class_bytes(index);
    of.lock.lock();
    auto* next = static_cast<slab*>(of.partial.front());
    if (next == nullptr || next->tidied == round) {
      of.lock.unlock();
      return false;
    }
    next->tidied = round;
    next->unlink();
    const unsigned count = next->capacity - next->used - next->untouched - next->gone;
    if (!std::exchange(next->disturbed, false) || count * bytes < slab::page_bytes) {
      of.partial.push_back(*next);
      of.lock.unlock();
      return true;
    }
    // Its free blocks are ours, as if handed out. Out of the list, the slab gives nothing meanwhile, unless a block comes back to
    // one that had no hollow pages: so what is hollow stays so.
    free_block* blocks = std::exchange(next->free, nullptr);
    next->used += count;
    of.lock.unlock();

    const unsigned hollow = pages_to_release(*next, blocks, bytes);
    unsigned gone = 0;
    free_block* last = nullptr;
    for (free_block** link = &blocks; *link != nullptr;) {
      if ((next->pages_of(next->number_of(*link, bytes), bytes) & hollow) != 0) {
        *link = (*link)->next;
        gone++;
      } else {
        last = *link;
        link = &(*link)->next;
      }
    }
    for (unsigned left = hollow; left != 0;) {
      const auto first = static_cast<unsigned>(std::countr_zero(left));
      const auto length = static_cast<unsigned>(std::countr_one(left >> first));
      page_source::release(next->base + first * slab::page_bytes, length * slab::page_bytes);
      left &= ~(((1U << length) - 1) << first);
    }

    of.lock.lock();
    if (last != nullptr) {
      last->next = next->free;
      next->free = blocks;
    }
    next->used -= count;
    next->gone += gone;
    next->hollow = static_cast<std::uint16_t>(next->hollow | hollow);
    const bool empty = next->used == 0;
    if (next->linked()) {
      if (empty) next->unlink();
    } else if (!empty) {
      of.partial.push_back(*next);
    }
    of.lock.unlock();
    if (empty) {
      of.slabs.fetch_sub(1, std::memory_order_relaxed);
      page_source::free_slab(next->base, unused);
    }
    return true;
  }

  // The pages that these free blocks and those that are gone cover, as bits; less those that are hollow already. Behind the last
  // block of a slab there is nothing to keep.
  static unsigned pages_to_release(slab& of, const free_block* blocks, std::size_t bytes) noexcept {
    std::array<std::size_t, slab::pages> covered{};
    auto cover = [&](std::size_t number) {
      const std::size_t from = of.first_byte + number * bytes;
      for (std::size_t at = from; at < from + bytes;) {
        const std::size_t end = std::min(from + bytes, (at / slab::page_bytes + 1) * slab::page_bytes);
        covered[at / slab::page_bytes] += end - at;
        at = end;
      }
    };
    for (; blocks != nullptr; blocks = blocks->next) cover(of.number_of(blocks, bytes));
    for (std::size_t number = 0; of.hollow != 0 && number < of.capacity - of.untouched; number++) {
      if ((of.pages_of(number, bytes) & of.hollow) != 0) cover(number);
    }
    const std::size_t end = of.first_byte + of.capacity * bytes;
    if (end % slab::page_bytes != 0) covered[end / slab::page_bytes] += slab::page_bytes - end % slab::page_bytes;
    unsigned hollow = 0;
    for (std::size_t page = of.first_byte / slab::page_bytes; page < slab::pages; page++) {
      if (covered[page] == slab::page_bytes && page * slab::page_bytes < end) hollow |= 1U << page;
    }
    return hollow & ~unsigned{of.hollow};
  }
};

// Of the threads that no node is named for: on a machine with one node all.
depot& first_depot() noexcept {
  static depot* const instance = new depot;  // never destroyed: frames may die after static destructors began
  return *instance;
}

// The first one, then those of nodes, in the order in which they were asked for first.
template <class Visit>
void each_depot(Visit&& visit) {
  for (depot* each = &first_depot(); each != nullptr; each = each->next_depot.load(std::memory_order_acquire)) {  // E330 acquire.
    visit(*each);
  }
}

depot& depot_of(unsigned node) {
  static spin_lock adding;
  const auto find = [node](depot*& last) {
    depot* found = nullptr;
    each_depot([&](depot& each) {
      if (&each != &first_depot() && each.node == node) found = &each;
      last = &each;
    });
    return found;
  };
  depot* last = nullptr;
  if (depot* found = find(last)) return *found;
  auto made = std::make_unique<depot>();
  made->node = node;
  made->unused.piece_bytes = page_source::huge_page_bytes;
  made->unused.node = static_cast<int>(node);
  adding.lock();
  depot* found = find(last);
  if (found == nullptr) {
    found = made.release();
    last->next_depot.store(found, std::memory_order_release);  // E330 release.
  }
  adding.unlock();
  return *found;
}

// Each block to where it came from.
void give_home(std::size_t index, free_block* blocks) noexcept {
  while (blocks != nullptr) blocks = slab_of(blocks)->home->give(index, blocks);
}

// A thread's magazine. A class gets room when it is first used; together the grants stay within `bytes_max`, and the oldest
// one is taken back when they would not. Others only read it, for statistics: blocks in use are those that came from
// the depot, less those that went back, less those held here. Summed over all threads that is exact, whoever frees what.
struct alignas(cache_line_bytes) magazine : frame_stacks, list_link {
  std::array<std::uint16_t, class_count> granted;  // classes with room, oldest grant first
  std::size_t granted_count = 0;
  std::int64_t granted_bytes = 0;
  bool scattered = false;  // gave blocks back since the last flush
  depot* from = &first_depot();
  std::int64_t bytes_max = magazine_bytes_max;  // constant
};

// Owner only, as add_owned().
void count_owned(atomic<std::int64_t>& sum, std::int64_t delta) noexcept {
  sum.store(sum.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
}

struct counts {
  atomic<std::int64_t> bytes{0};
  atomic<std::int64_t> blocks{0};
};

struct magazine_registry {
  spin_lock lock;
  link_list magazines;
  counts shared;               // threads without a magazine, and magazines that are gone
  atomic<std::int64_t> large{0};
};

magazine_registry& the_registry() noexcept {
  static magazine_registry* const instance = new magazine_registry;
  return *instance;
}

// Stands for the magazine of threads that have none.
constinit frame_stacks no_magazine;

magazine* own_magazine() noexcept {
  return this_magazine == &no_magazine ? nullptr : static_cast<magazine*>(this_magazine);
}

void count_shared(std::int64_t bytes, std::int64_t blocks) noexcept {
  magazine_registry& registry = the_registry();
  registry.shared.bytes.fetch_add(bytes, std::memory_order_relaxed);
  registry.shared.blocks.fetch_add(blocks, std::memory_order_relaxed);
}

// Gives blocks of a class back to the depot until `keep` are left.
void spill(magazine& own, std::size_t index, std::uint32_t keep) noexcept {
  frame_stack& stack = own.classes[index];
  free_block* spilled = nullptr;
  std::uint32_t held = stack.limit.load(std::memory_order_relaxed) - stack.room.load(std::memory_order_relaxed);
  std::uint32_t blocks = 0;
  for (; held > keep; held--, blocks++) {
    free_block* block = stack.top;
    stack.top = block->next;
    block->next = spilled;
    spilled = block;
  }
  if (spilled == nullptr) return;
  add_owned(stack.room, blocks);
  count_owned(stack.taken, -static_cast<std::int64_t>(blocks));
  give_home(index, spilled);
}

[[maybe_unused]] void grant(magazine& own, std::size_t index) noexcept {
  const auto bytes = static_cast<std::int64_t>(limit_of(index) * class_bytes(index));
  while (own.granted_bytes + bytes > own.bytes_max) {
    const std::size_t oldest = own.granted[0];
    std::copy(own.granted.begin() + 1, own.granted.begin() + static_cast<std::ptrdiff_t>(own.granted_count),
              own.granted.begin());
    own.granted_count--;
    spill(own, oldest, 0);
    own.classes[oldest].limit.store(0, std::memory_order_relaxed);
    own.classes[oldest].room.store(0, std::memory_order_relaxed);
    own.granted_bytes -= static_cast<std::int64_t>(limit_of(oldest) * class_bytes(oldest));
  }
  own.granted[own.granted_count++] = static_cast<std::uint16_t>(index);
  own.granted_bytes += bytes;
  own.classes[index].limit.store(limit_of(index), std::memory_order_relaxed);
  own.classes[index].room.store(limit_of(index), std::memory_order_relaxed);
}

// The class is empty here, or the thread has no magazine.
[[maybe_unused, gnu::noinline]] void* allocate_slowly(std::size_t index) {
  magazine* own = own_magazine();
  if (own != nullptr && own->classes[index].limit.load(std::memory_order_relaxed) == 0) grant(*own, index);
  unsigned got = 0;
  depot& from = own == nullptr ? first_depot() : *own->from;
  const unsigned wanted = own == nullptr ? 1 : batch_of(index);
  free_block* blocks = from.take(index, wanted, got);
  if (blocks == nullptr) {  // another node's memory is farther away, but it is there
    each_depot([&](depot& other) {
      if (blocks == nullptr && &other != &from) blocks = other.take(index, wanted, got);
    });
  }
  if (blocks == nullptr) throw std::bad_alloc{};
  if (own == nullptr) {
    count_shared(static_cast<std::int64_t>(class_bytes(index)), 1);
    return blocks;
  }
  frame_stack& stack = own->classes[index];
  stack.top = blocks->next;
  add_owned(stack.room, -(got - 1));
  count_owned(stack.taken, static_cast<std::int64_t>(got));
  return blocks;
}

// The class has no room here, or the thread has no magazine.
[[maybe_unused, gnu::noinline]] void free_slowly(void* memory, std::size_t index) noexcept {
  auto* block = static_cast<free_block*>(memory);
  magazine* own = own_magazine();
  if (own == nullptr) {
    block->next = nullptr;
    give_home(index, block);
    count_shared(-static_cast<std::int64_t>(class_bytes(index)), -1);
    return;
  }
  frame_stack& stack = own->classes[index];
  if (stack.limit.load(std::memory_order_relaxed) == 0) {
    grant(*own, index);
  } else {
    spill(*own, index, limit_of(index) - batch_of(index));
    own->scattered = true;
  }
  block->next = stack.top;
  stack.top = block;
  add_owned(stack.room, ~std::uint32_t{0});
}

[[maybe_unused]] void* allocate_large(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc{};
  count_shared(static_cast<std::int64_t>(bytes), 1);
  the_registry().large.fetch_add(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
  return memory;
}

[[maybe_unused]] void free_large(void* memory, std::size_t bytes) noexcept {
  std::free(memory);
  count_shared(-static_cast<std::int64_t>(bytes), -1);
  the_registry().large.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
}

}  // namespace

constinit thread_local frame_stacks* this_magazine [[gnu::tls_model("initial-exec")]] = &no_magazine;

#ifdef LEVITY_MODEL
constinit bool pool_is_explored = false;
#endif

#ifdef LEVITY_ASAN

void* frame_allocate_slowly(std::size_t bytes) { return allocate_large(bytes); }
void frame_free_slowly(void* block, std::size_t bytes) noexcept { free_large(block, bytes); }

#else

// A medium block comes here also when the magazine has one.
void* frame_allocate_slowly(std::size_t bytes) {
  if (bytes > block_bytes_max) return allocate_large(bytes);
  const std::size_t index = class_of(bytes);
  frame_stack& stack = this_magazine->classes[index];
  if (stack.top == nullptr) return allocate_slowly(index);
  free_block* block = stack.top;
  stack.top = block->next;
  add_owned(stack.room, std::uint32_t{1});
  return block;
}

void frame_free_slowly(void* memory, std::size_t bytes) noexcept {
  if (bytes > block_bytes_max) return free_large(memory, bytes);
  const std::size_t index = class_of(bytes);
  frame_stack& stack = this_magazine->classes[index];
  if (stack.room.load(std::memory_order_relaxed) == 0) return free_slowly(memory, index);
  auto* block = static_cast<free_block*>(memory);
  block->next = stack.top;
  stack.top = block;
  add_owned(stack.room, ~std::uint32_t{0});
}

#endif

frame_magazine_scope::frame_magazine_scope(unsigned workers)
    : is_outermost(!frames_are_watched() && own_magazine() == nullptr) {
  if (!is_outermost) return;
  auto* own = new magazine;
  own->bytes_max = workers * magazine_bytes_max;
  magazine_registry& registry = the_registry();
  registry.lock.lock();
  registry.magazines.push_back(*own);
  registry.lock.unlock();
  this_magazine = own;
}

bool magazine_is_scattered() noexcept {
  const magazine* own = own_magazine();
  return own != nullptr && own->scattered;
}

void flush_magazine() noexcept {
  magazine* own = own_magazine();
  if (own == nullptr) return;
  for (std::size_t index = 0; index < class_count; index++) spill(*own, index, 0);
  own->scattered = false;
}

bool tidy_frames() noexcept {
  constexpr unsigned slice = 32;
  if (!page_source::has_small_pages()) return false;
  const magazine* own = own_magazine();
  if (own != nullptr && own->from != &first_depot() && own->from->tidy(slice)) return true;
  return first_depot().tidy(slice);
}

void take_frames_of(unsigned node) {
  magazine* own = own_magazine();
  if (own == nullptr || (own->from != &first_depot() && own->from->node == node)) return;
  depot& from = depot_of(node);
  flush_magazine();
  own->from = &from;
}

frame_magazine_scope::~frame_magazine_scope() {
  if (!is_outermost) return;
  magazine* own = own_magazine();
  std::int64_t bytes = 0;
  std::int64_t blocks = 0;
  for (std::size_t index = 0; index < class_count; index++) {
    spill(*own, index, 0);
    const std::int64_t taken = own->classes[index].taken.load(std::memory_order_relaxed);
    blocks += taken;
    bytes += taken * static_cast<std::int64_t>(class_bytes(index));
  }
  this_magazine = &no_magazine;
  magazine_registry& registry = the_registry();
  registry.lock.lock();
  count_shared(bytes, blocks);
  own->unlink();
  registry.lock.unlock();
  delete own;
}

}  // namespace levity::detail

namespace levity::inline v0 {

frame_pool_stats frame_statistics() noexcept {
  using namespace detail;
  magazine_registry& registry = the_registry();
  std::int64_t bytes = 0;
  std::int64_t blocks = 0;
  registry.lock.lock();
  for (list_link* link = registry.magazines.front(); link != nullptr && link != registry.magazines.end();
       link = link->next) {
    const auto* each = static_cast<magazine*>(link);
    for (std::size_t index = 0; index < class_count; index++) {
      const frame_stack& stack = each->classes[index];
      const std::int64_t held = static_cast<std::int64_t>(stack.limit.load(std::memory_order_relaxed)) -
                                static_cast<std::int64_t>(stack.room.load(std::memory_order_relaxed));
      const std::int64_t used = stack.taken.load(std::memory_order_relaxed) - held;
      blocks += used;
      bytes += used * static_cast<std::int64_t>(class_bytes(index));
    }
  }
  bytes += registry.shared.bytes.load(std::memory_order_relaxed);
  blocks += registry.shared.blocks.load(std::memory_order_relaxed);
  registry.lock.unlock();
  frame_pool_stats stats;
  stats.bytes_in_use = static_cast<std::uint64_t>(bytes);
  stats.blocks_in_use = static_cast<std::uint64_t>(blocks);
  stats.bytes_large = static_cast<std::uint64_t>(registry.large.load(std::memory_order_relaxed));
  each_depot([&stats](depot& of) {
    for (depot_class& each : of.classes) {
      stats.bytes_mapped += each.slabs.load(std::memory_order_relaxed) * page_source::slab_bytes;
    }
  });
  return stats;
}

}  // namespace levity
