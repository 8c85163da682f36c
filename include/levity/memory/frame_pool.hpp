#pragma once

// frame_pool: where coroutine frames, task records and scopes come from and return to.
//
// Why: a frame lives as long as a request; a general allocator pays for generality on every spawn, keeps what a burst
// needed for good, and cannot say how many bytes of it are tasks.
//
// Layers, from fast to slow
//   magazine   one per worker thread: free blocks per size class in a singly linked stack. No lock, no atomic.
//              At most 8 KiB of a class, or one block, and 128 KiB in all; emptied when its worker goes. A thread that does the
//              work of several has one as large as theirs together.
//   depot      one per node whose workers are kept there, one for all other threads, which on a machine with one node is the
//              only one: per size class, slabs with free blocks under a spin lock. A magazine refills and spills
//              in batches, so the lock is paid once per batch. A fresh batch ends where a cache line ends, and every other
//              of its blocks comes first: what two threads use, and two tasks that one thread started, has no line in common
//              unless the pool is full or its blocks have wandered.
//   pages      64 KiB slabs, aligned, mapped from the kernel in 1 MiB regions. A slab whose last block came back is given
//              back to the kernel (MADV_DONTNEED) and its address range reused. A worker that is idle after a crowd has
//              left gives back the pages between blocks that live on, too: 10^6 tasks of many sizes, of which 1 % stay, keep
//              4 % of their memory (21 % without), and what keeps it is that frames do not move.
//
// Blocks are multiples of 16 bytes up to 1 KiB, then four steps per power of two up to 16 KiB; larger ones are mapped by
// the general allocator and counted.
//
// Equation, at rest: mapped = blocks in use + blocks in magazines + free blocks in slabs + the ends of slabs.
//
// Nodes. A page lies where it is touched first, so what a depot gives lies on the node of its workers, if there is memory (for one
// that gets none from the kernel the others give what they have); a block
// goes back to the depot that it came from, whoever spills it. Until then a block that ended elsewhere is in the magazine of that
// worker, and in its cache: at most 128 KiB a worker lie on another node, and no check is made for it when a frame is given back.
//
// Edges
//   E330  a node's depot is made -> whoever finds it.
//
// Rejected: one free list per worker with an atomic list for remote frees (mimalloc's way): faster by about 2 ns when a
// frame dies on another thread than it was born, but a slab then belongs to a thread, and what a stuck thread owns must
// never be needed by others. Blocks rounded to cache lines (a parked task would take 256 bytes instead of 192); a magazine of
// 16 KiB (a thread with more than four sizes in turns sent blocks to the depot all the time, and got its neighbour's for them).
// A segmented stack (libfork's way): needs strict last-in first-out lifetimes.
//
// Under AddressSanitizer every block comes from the general allocator, so that a use after free is found; so it does inside an
// exploration (levity/model/explore.hpp), unless it is the pool that is explored.

#include <cstddef>
#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0 {

/// Exact accounting of the memory behind tasks, in bytes and blocks.
struct frame_pool_stats {
  std::uint64_t bytes_in_use = 0;     ///< handed out and not given back, rounded to block sizes
  std::uint64_t blocks_in_use = 0;    ///< handed out and not given back
  std::uint64_t bytes_mapped = 0;     ///< backed by the pool's slabs (resident at most this much)
  std::uint64_t bytes_large = 0;      ///< of bytes_in_use: blocks beyond the largest size class
};

/// The pool's figures, summed over all threads. Exact when no thread allocates meanwhile. Any thread; O(threads).
frame_pool_stats frame_statistics() noexcept;

namespace detail {

/// A free block.
struct frame_block {
  frame_block* next;
};

/// One class of a magazine: free blocks, and how many more it may hold. Written by its thread, read by statistics.
struct frame_stack {
  frame_block* top = nullptr;
  atomic<std::uint32_t> room{0};   // blocks it may still take
  atomic<std::uint32_t> limit{0};  // granted; holds limit - room blocks
  atomic<std::int64_t> taken{0};   // from the depot, less given back
};

inline constexpr std::size_t frame_granule_bytes = 16;
inline constexpr std::size_t frame_fine_bytes_max = 1024;
inline constexpr std::size_t frame_classes = frame_fine_bytes_max / frame_granule_bytes + 16;

struct frame_stacks {
  frame_stack classes[frame_classes];
};

/// The magazine of this thread. Threads without one share an empty one, whose stacks hold nothing and have no room.
extern constinit thread_local frame_stacks* this_magazine [[gnu::tls_model("initial-exec")]];

#ifdef LEVITY_MODEL
/// Set while an exploration is one of the pool itself.
extern constinit bool pool_is_explored;
/// Whether frames come from the general allocator, where the explorer sees their ends.
inline bool frames_are_watched() noexcept { return this_explorer != nullptr && !pool_is_explored; }
#else
constexpr bool frames_are_watched() noexcept { return false; }
#endif

/// What frame_allocate and frame_free do when this thread's magazine cannot.
[[nodiscard, gnu::cold]] void* frame_allocate_slowly(std::size_t bytes);
[[gnu::cold]] void frame_free_slowly(void* block, std::size_t bytes) noexcept;

// Inline, for the size of a frame is known where it is made: half of what an await costs would else be two calls. They run
// at the first and the last moment of a coroutine, between which no address of the thread is kept.

/// `bytes` > 0. Never returns null: throws std::bad_alloc when the kernel has no memory. Any thread.
[[nodiscard, gnu::always_inline]] inline void* frame_allocate(std::size_t bytes) {
  if (frames_are_watched()) return ::operator new(bytes);
  if (bytes > frame_fine_bytes_max) return frame_allocate_slowly(bytes);
  frame_stack& stack = this_magazine->classes[(bytes - 1) / frame_granule_bytes];
  frame_block* block = stack.top;
  if (block == nullptr) [[unlikely]] return frame_allocate_slowly(bytes);
  stack.top = block->next;
  add_owned(stack.room, 1);
  return block;
}

/// Gives back a block of frame_allocate with the same `bytes`. Any thread.
[[gnu::always_inline]] inline void frame_free(void* memory, std::size_t bytes) noexcept {
  if (frames_are_watched()) return ::operator delete(memory, bytes);
  if (bytes > frame_fine_bytes_max) return frame_free_slowly(memory, bytes);
  frame_stack& stack = this_magazine->classes[(bytes - 1) / frame_granule_bytes];
  if (stack.room.load(std::memory_order_relaxed) == 0) [[unlikely]] return frame_free_slowly(memory, bytes);
  auto* block = static_cast<frame_block*>(memory);
  block->next = stack.top;
  stack.top = block;
  add_owned(stack.room, ~std::uint32_t{0});
}

/// A worker's magazine, in force for its thread while it lives. Inside another one, on a thread that runs a second runtime in a
/// blocking call of the first, it does nothing: the thread goes on with the magazine it has.
class frame_magazine_scope {
public:
  /// `workers`: how many do their work on this thread, in turns. It is as large as that of so many.
  explicit frame_magazine_scope(unsigned workers = 1);
  ~frame_magazine_scope();
  frame_magazine_scope(const frame_magazine_scope&) = delete;
  frame_magazine_scope& operator=(const frame_magazine_scope&) = delete;

  const bool is_outermost;
};

/// From here on this thread's magazine, if it has one, is filled from the depot of that node. What it holds is given back first.
/// Throws std::bad_alloc, and nothing has changed.
void take_frames_of(unsigned node);

/// Whether this thread's magazine gave blocks back since it was flushed last: what it holds is then spread over many slabs, and
/// a block may keep the 64 KiB around it.
[[nodiscard]] bool magazine_is_scattered() noexcept;
/// Gives all of it back. O(blocks held).
void flush_magazine() noexcept;
/// Gives pages back to the kernel on which nothing lives, between blocks that do: a slice of a round over all slabs, some tens of
/// microseconds. True: the round is not over. Any thread; one at a time does something.
bool tidy_frames() noexcept;

}  // namespace detail
}  // namespace levity
