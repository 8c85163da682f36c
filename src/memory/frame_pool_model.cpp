#include "levity/memory/frame_pool.hpp"

#include <cstddef>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

// Explored is the pool itself, which is the process's: it keeps something from one execution to the next, if only how contended its
// locks are. So no execution can be given the answers of another, and all are by chance.
model::options by_chance(std::uint64_t executions) {
  return {.how = model::options::mode::random, .executions_max = executions, .remembers = true};
}

const bool is_ready = [] {
  model::per_thread(this_magazine);
  const frame_magazine_scope mine;
  frame_free(frame_allocate(64), 64);
  pool_is_explored = true;
  return true;
}();

constexpr std::size_t bytes = 2000;  // few of them in a batch

// A block is somebody's alone, from the one call to the other.
void* take() {
  void* const block = frame_allocate(bytes);
  model::write(*static_cast<int*>(block));
  return block;
}
void give(void* block) {
  model::write(*static_cast<int*>(block));
  frame_free(block, bytes);
}

// Each thread takes and gives back for itself; all of it meets in one slab.
LEVITY_SCENARIO(a_block_is_of_one_owner, by_chance(3000)) {
  const auto uses = [] {
    const frame_magazine_scope mine;
    give(take());
  };
  model::together(uses, uses);
}

// A frame ends on another thread than the one on which it began.
LEVITY_SCENARIO(a_block_that_ends_elsewhere_is_given_home, by_chance(3000)) {
  levity::atomic<void*> passed{nullptr};
  model::together(
      [&] {
        const frame_magazine_scope mine;
        passed.store(take(), std::memory_order_release);
        give(take());
      },
      [&] {
        const frame_magazine_scope mine;
        give(take());
        void* block = nullptr;
        while ((block = passed.load(std::memory_order_acquire)) == nullptr) levity::spin_hint();
        give(block);
      });
}

// E330. Depots stay, so each execution names a node of its own, and a few are enough of a list that grows.
LEVITY_SCENARIO(a_depot_that_is_found_is_made, by_chance(6)) {
  static unsigned node = 0;
  node++;
  const auto settles = [] {
    const frame_magazine_scope mine;
    take_frames_of(node);
    give(take());
  };
  model::together(settles, settles);
}

}  // namespace
