// The frame pool: blocks are usable, distinct and counted exactly, and what is free goes back to the kernel.

#include "levity/memory/frame_pool.hpp"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "platform/fault_plan.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

[[maybe_unused]] thread_local bool refuses = false;  // the general allocator, this thread

}  // namespace

#if !defined(LEVITY_ASAN) && !defined(LEVITY_TSAN)  // they have their own
// Not inlined: g++ 12 takes one half of a pair that it sees through for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* const memory = refuses ? nullptr : std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace {

using levity::detail::fault_plan;
using levity::frame_statistics;
using levity::detail::frame_allocate;
using levity::detail::frame_free;
using levity::detail::frame_magazine_scope;

struct block {
  unsigned char* memory;
  std::size_t bytes;
  unsigned char mark;
};

void fill(const block& each) { std::memset(each.memory, each.mark, each.bytes); }

bool intact(const block& each) {
  for (std::size_t i = 0; i < each.bytes; i++) {
    if (each.memory[i] != each.mark) return false;
  }
  return true;
}

void churn(std::uint64_t seed, int operations) {
  levity::rng random{seed};
  std::vector<block> live;
  for (int i = 0; i < operations; i++) {
    if (live.empty() || random.below(100) < 52) {
      const std::size_t bytes = random.below(10) == 0 ? 1 + random.below(40'000) : 1 + random.below(600);
      block fresh{static_cast<unsigned char*>(frame_allocate(bytes)), bytes, static_cast<unsigned char>(random())};
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(fresh.memory) % 16, 0U);
      fill(fresh);
      live.push_back(fresh);
    } else {
      std::swap(live[random.below(live.size())], live.back());
      ASSERT_TRUE(intact(live.back()));
      frame_free(live.back().memory, live.back().bytes);
      live.pop_back();
    }
  }
  for (const block& each : live) {
    ASSERT_TRUE(intact(each));
    frame_free(each.memory, each.bytes);
  }
}

TEST(frame_pool, blocks_are_aligned_and_never_overlap) {
  const auto before = frame_statistics();
  {
    frame_magazine_scope magazine;
    churn(1, 200'000 / levity::test::slow_build_factor);
  }
  churn(2, 100'000 / levity::test::slow_build_factor);  // a thread without a magazine
  const auto after = frame_statistics();
  EXPECT_EQ(after.blocks_in_use, before.blocks_in_use);
  EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
}

TEST(frame_pool, counts_exactly_what_is_in_use) {
  const auto before = frame_statistics();
  frame_magazine_scope magazine;
  std::vector<void*> held;
  for (int i = 0; i < 1000; i++) held.push_back(frame_allocate(96));
  const auto full = frame_statistics();
  EXPECT_EQ(full.blocks_in_use - before.blocks_in_use, 1000U);
  EXPECT_EQ(full.bytes_in_use - before.bytes_in_use, 96'000U);
  for (void* each : held) frame_free(each, 96);
  EXPECT_EQ(frame_statistics().blocks_in_use, before.blocks_in_use);
}

TEST(frame_pool, counts_stay_exact_when_blocks_die_on_other_threads) {
  const auto before = frame_statistics();
  constexpr int count = 20'000;
  std::vector<void*> passed(count);
  std::thread born([&] {
    frame_magazine_scope magazine;
    for (void*& each : passed) each = frame_allocate(200);
  });
  born.join();
  EXPECT_EQ(frame_statistics().blocks_in_use - before.blocks_in_use, static_cast<unsigned>(count));
  std::thread died([&] {
    frame_magazine_scope magazine;
    for (void* each : passed) frame_free(each, 200);
  });
  died.join();
  EXPECT_EQ(frame_statistics().blocks_in_use, before.blocks_in_use);
}

TEST(frame_pool, threads_share_it) {
  const auto before = frame_statistics();
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 10; seed < 14; seed++) {
    threads.emplace_back([seed] {
      frame_magazine_scope magazine;
      churn(seed, 50'000 / levity::test::slow_build_factor);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(frame_statistics().blocks_in_use, before.blocks_in_use);
}

#ifndef LEVITY_ASAN

long resident_bytes() {
  long total = 0;
  long resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = -1;
  if (file != nullptr) std::fclose(file);
  return resident * 4096;
}

TEST(frame_pool, gives_memory_back_to_the_kernel) {
  frame_magazine_scope magazine;
  constexpr std::size_t count = 300'000;
  std::vector<void*> held(count);
  const long before = resident_bytes();
  for (void*& each : held) each = std::memset(frame_allocate(208), 1, 208);
  EXPECT_GT(resident_bytes() - before, static_cast<long>(count * 200));
  for (void* each : held) frame_free(each, 208);
#ifndef LEVITY_TSAN  // its shadow of our memory stays resident
  EXPECT_LT(resident_bytes() - before, 4 << 20);
#endif
  EXPECT_LT(frame_statistics().bytes_mapped, 4U << 20);
}

// Blocks of many sizes, of which all but every hundredth are freed in a random order.
std::vector<block> leave_one_in_a_hundred(std::uint64_t seed, std::size_t count) {
  levity::rng random{seed};
  std::vector<block> live;
  for (std::size_t i = 0; i < count; i++) {
    constexpr std::size_t sizes[] = {48, 96, 208, 512, 1000, 2000, 5000, 9000, 16384};
    const std::size_t bytes = sizes[random.below(std::size(sizes))];
    live.push_back({static_cast<unsigned char*>(frame_allocate(bytes)), bytes, static_cast<unsigned char>(random())});
    fill(live.back());
  }
  while (live.size() > count / 100) {
    std::swap(live[random.below(live.size())], live.back());
    frame_free(live.back().memory, live.back().bytes);
    live.pop_back();
  }
  return live;
}

TEST(frame_pool, gives_the_pages_between_survivors_back) {
  frame_magazine_scope magazine;
  while (levity::detail::tidy_frames()) {  // what other tests have left would be used again, and count for nothing
  }
  const long before = resident_bytes();
  const std::vector<block> live = leave_one_in_a_hundred(7, 50'000 / levity::test::slow_build_factor);
  levity::detail::flush_magazine();
  [[maybe_unused]] const long scattered = resident_bytes() - before;
  while (levity::detail::tidy_frames()) {
  }
#ifndef LEVITY_TSAN
  // A survivor keeps the pages that it lies on: at most two more than it fills, and one for the head of its slab.
  long kept = 1 << 20;
  for (const block& each : live) kept += static_cast<long>(each.bytes) + 3 * 4096;
  EXPECT_LT(resident_bytes() - before, kept);
  EXPECT_LT(kept, scattered) << "nothing was scattered, so nothing was shown";
#endif
  // What is handed out again overlaps nothing that lives.
  std::vector<block> again = leave_one_in_a_hundred(8, 40'000 / levity::test::slow_build_factor);
  for (const block& each : live) ASSERT_TRUE(intact(each));
  again.insert(again.end(), live.begin(), live.end());
  for (const block& each : again) {
    ASSERT_TRUE(intact(each));
    frame_free(each.memory, each.bytes);
  }
}

TEST(frame_pool, takes_what_it_gave_back_before_new_memory) {
  frame_magazine_scope magazine;
  std::vector<void*> held(20'000);
  for (void*& each : held) each = frame_allocate(208);
  for (std::size_t i = 0; i < held.size(); i++) {
    if (i % 100 != 0) frame_free(std::exchange(held[i], nullptr), 208);
  }
  levity::detail::flush_magazine();
  while (levity::detail::tidy_frames()) {
  }
  const auto mapped = frame_statistics().bytes_mapped;
  for (void*& each : held) {
    if (each == nullptr) each = frame_allocate(208);
  }
  EXPECT_LE(frame_statistics().bytes_mapped, mapped + 64 * 1024);
  for (void* each : held) frame_free(each, 208);
}

TEST(frame_pool, is_tidied_while_others_use_it) {
  const auto before = frame_statistics();
  levity::atomic<bool> stop{false};
  std::thread tidies([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      while (levity::detail::tidy_frames()) {
      }
    }
  });
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 20; seed < 22; seed++) {
    threads.emplace_back([seed] {
      frame_magazine_scope magazine;
      for (std::uint64_t round = 0; round < 4; round++) {
        for (const block& each : leave_one_in_a_hundred(seed * 10 + round, 10'000 / levity::test::slow_build_factor)) {
          ASSERT_TRUE(intact(each));
          frame_free(each.memory, each.bytes);
        }
        churn(seed + round, 30'000 / levity::test::slow_build_factor);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stop.store(true, std::memory_order_relaxed);
  tidies.join();
  EXPECT_EQ(frame_statistics().blocks_in_use, before.blocks_in_use);
}

TEST(frame_pool, a_magazine_stays_small) {
  frame_magazine_scope magazine;
  const auto before = frame_statistics();
  // Blocks of many classes come back at once: what stays in the magazine and its partly used slabs is bounded.
  std::vector<std::pair<void*, std::size_t>> held;
  for (std::size_t bytes = 16; bytes <= 1024; bytes += 16) {
    for (int i = 0; i < 64; i++) held.emplace_back(frame_allocate(bytes), bytes);
  }
  for (auto [memory, bytes] : held) frame_free(memory, bytes);
  EXPECT_EQ(frame_statistics().bytes_in_use, before.bytes_in_use);
}

// What is mapped when blocks of all small sizes have come back to such a magazine: it keeps the slabs of those that it holds.
std::uint64_t mapped_for_magazine_of(unsigned workers) {
  frame_magazine_scope magazine(workers);
  std::vector<std::pair<void*, std::size_t>> held;
  for (std::size_t bytes = 16; bytes <= 1024; bytes += 16) {
    for (int i = 0; i < 4; i++) held.emplace_back(frame_allocate(bytes), bytes);
  }
  for (auto [memory, bytes] : held) frame_free(memory, bytes);
  return frame_statistics().bytes_mapped;
}

TEST(frame_pool, a_magazine_of_several_workers_holds_more_sizes) {
  const std::uint64_t of_one = mapped_for_magazine_of(1);
  EXPECT_GT(mapped_for_magazine_of(5), of_one);
  EXPECT_EQ(mapped_for_magazine_of(1), of_one);
}

constexpr std::size_t line_bytes = 64;

std::uintptr_t first_line(const void* block) { return reinterpret_cast<std::uintptr_t>(block) / line_bytes; }
std::uintptr_t last_line(const void* block, std::size_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(block) + bytes - 1) / line_bytes;
}

// Sizes that no other test uses, so that their slabs are fresh.
// Nodes that no machine has, so that this test's depots are its own. A huge page is 2 MiB: of one node as a whole.
constexpr unsigned some_node = 1000;
constexpr unsigned another_node = 1001;

std::uintptr_t huge_page_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block) >> 21; }

std::vector<void*> take_of_many_sizes(std::set<std::uintptr_t>& huge_pages) {
  std::vector<void*> taken;
  for (std::size_t i = 0; i < 600; i++) {
    taken.push_back(frame_allocate(64 + i * 16));
    huge_pages.insert(huge_page_of(taken.back()));
  }
  return taken;
}

void give_of_many_sizes(const std::vector<void*>& taken) {
  for (std::size_t i = 0; i < taken.size(); i++) frame_free(taken[i], 64 + i * 16);
}

TEST(frame_pool, what_nodes_have_lies_apart_and_goes_back_to_where_it_came_from) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  const auto before = frame_statistics();
  std::set<std::uintptr_t> of_one;
  std::set<std::uintptr_t> of_the_other;
  std::vector<void*> taken;
  std::thread([&] {
    frame_magazine_scope magazine;
    levity::detail::take_frames_of(some_node);
    taken = take_of_many_sizes(of_one);
  }).join();
  std::thread([&] {
    frame_magazine_scope magazine;
    levity::detail::take_frames_of(another_node);
    // Those of the other node and own ones in turns: what is spilled at once is of both.
    const std::vector<void*> own = take_of_many_sizes(of_the_other);
    for (std::size_t i = 0; i < own.size(); i++) {
      frame_free(taken[i], 64 + i * 16);
      frame_free(own[i], 64 + i * 16);
    }
    levity::detail::flush_magazine();
    for (int round = 0; round < 5; round++) give_of_many_sizes(take_of_many_sizes(of_the_other));
    void* const before_moving = frame_allocate(96);
    frame_free(before_moving, 96);
    levity::detail::take_frames_of(some_node);
    void* const after_moving = frame_allocate(96);  // not what this thread held until now
    of_one.insert(huge_page_of(after_moving));
    frame_free(after_moving, 96);
    give_of_many_sizes(take_of_many_sizes(of_one));
  }).join();
  for (const std::uintptr_t each : of_one) EXPECT_FALSE(of_the_other.contains(each)) << std::hex << each;
  // It had all that it needs: the blocks that the other one gave back were there again.
  EXPECT_LE(of_one.size(), 1 + 2 * of_the_other.size());
  const auto after = frame_statistics();
  EXPECT_EQ(after.blocks_in_use, before.blocks_in_use);
  EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
}

TEST(frame_pool, no_huge_page_is_of_two_nodes_that_grow_in_turns) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  constexpr std::size_t bytes = 16'000;
  std::set<std::uintptr_t> of[2];
  std::vector<void*> taken;
  for (unsigned turn = 0; turn < 16; turn++) {
    std::thread([&] {
      frame_magazine_scope magazine;
      levity::detail::take_frames_of(3000 + turn % 2);
      for (int i = 0; i < 80; i++) {  // more than a region
        taken.push_back(frame_allocate(bytes));
        of[turn % 2].insert(huge_page_of(taken.back()));
      }
    }).join();
  }
  for (const std::uintptr_t each : of[0]) EXPECT_FALSE(of[1].contains(each)) << std::hex << each;
  // Nor of a node and of whatever the kernel maps beside it later: all of it is the depot's.
  for (const auto& pages : of) {
    for (const std::uintptr_t each : pages) {
      std::array<unsigned char, (1 << 21) / 4096> resident;
      EXPECT_EQ(::mincore(reinterpret_cast<void*>(each << 21), 1 << 21, resident.data()), 0) << std::hex << each;
    }
  }
  for (void* each : taken) frame_free(each, bytes);
}

// What the kernel is told of the page around `block`: prefers the node, or nothing; null: it does not say.
std::optional<bool> prefers_node(const void* block, unsigned node) {
  int mode = MPOL_DEFAULT;
  std::array<unsigned long, 16> nodes{};
  if (::syscall(SYS_get_mempolicy, &mode, nodes.data(), nodes.size() * 64, block, MPOL_F_ADDR) != 0) return std::nullopt;
  if (mode == MPOL_DEFAULT) return false;
  EXPECT_EQ(mode, MPOL_PREFERRED);
  EXPECT_NE(nodes[node / 64] >> (node % 64) & 1, 0U);
  return true;
}

// Of each piece that a depot maps.
TEST(frame_pool, the_kernel_is_told_on_which_node_the_pages_of_a_node_belong) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  constexpr std::size_t bytes = 16'000;
  constexpr std::size_t blocks = 400;  // more than three pieces
  std::optional<bool> of_none;
  std::set<std::uintptr_t> pieces;
  std::vector<std::optional<bool>> told;
  void* const first = frame_allocate(bytes);
  of_none = prefers_node(first, 0);
  frame_free(first, bytes);
  std::thread([&] {
    frame_magazine_scope magazine;
    unsigned node = 0;
    ASSERT_EQ(::getcpu(nullptr, &node), 0);
    levity::detail::take_frames_of(node);
    std::vector<void*> taken;
    for (std::size_t i = 0; i < blocks; i++) {
      taken.push_back(frame_allocate(bytes));
      pieces.insert(huge_page_of(taken.back()));
      told.push_back(prefers_node(taken.back(), node));
    }
    for (void* each : taken) frame_free(each, bytes);
  }).join();
  if (!of_none) GTEST_SKIP() << "the kernel does not say what it was told";
  EXPECT_FALSE(*of_none);
  EXPECT_GE(pieces.size(), 3U);
  for (const auto& each : told) EXPECT_EQ(each, true);
}

TEST(frame_pool, a_kernel_that_will_not_be_told_gives_memory_all_the_same) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  std::thread([] {
    frame_magazine_scope magazine;
    levity::detail::take_frames_of(900);
    ASSERT_EQ(fault_plan::install("enomem@mbind=1"), std::nullopt);
    void* const block = frame_allocate(16'000);
    const std::uint64_t struck = fault_plan::tallies()[0].struck;
    fault_plan::remove();
    EXPECT_EQ(struck, 1U);
    std::memset(block, 1, 16'000);
    frame_free(block, 16'000);
  }).join();
}

// The plan refuses at most three calls in a row: so few mappings may be tried.
TEST(frame_pool, a_node_without_memory_is_given_what_another_depot_has_free) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  constexpr std::size_t bytes = 12'000;
  std::vector<void*> taken;
  for (int i = 0; i < 8; i++) taken.push_back(frame_allocate(bytes));  // of the first depot
  while (taken.size() > 1) {
    frame_free(taken.back(), bytes);
    taken.pop_back();
  }
  const auto before = frame_statistics();
  std::thread([] {
    frame_magazine_scope magazine;
    levity::detail::take_frames_of(4000);
    ASSERT_EQ(fault_plan::install("enomem@mmap=1"), std::nullopt);
    void* block = nullptr;
    EXPECT_NO_THROW(block = frame_allocate(bytes));
    fault_plan::remove();
    ASSERT_NE(block, nullptr);
    std::memset(block, 1, bytes);
    frame_free(block, bytes);
  }).join();
  EXPECT_EQ(frame_statistics().blocks_in_use, before.blocks_in_use);
  frame_free(taken[0], bytes);
}

// The list of a depot's slabs cannot grow: that is no memory, too.
TEST(frame_pool, a_slab_that_cannot_be_listed_is_no_memory_and_not_the_end) {
#if defined(LEVITY_ASAN) || defined(LEVITY_TSAN)
  GTEST_SKIP() << "this sanitizer has a general allocator of its own, which refuses nothing";
#endif
  std::thread([] {
    frame_magazine_scope magazine;
    levity::detail::take_frames_of(4001);
    void* block = nullptr;
    refuses = true;
    try {
      block = frame_allocate(16'000);  // another depot may have one
    } catch (const std::bad_alloc&) {
    }
    refuses = false;
    void* const after = frame_allocate(16'000);
    frame_free(after, 16'000);
    if (block != nullptr) frame_free(block, 16'000);
  }).join();
}

TEST(frame_pool, depots_that_threads_ask_for_at_the_same_time_are_whole_and_apart) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "under this sanitizer every block comes from the general allocator";
#endif
  constexpr unsigned nodes = 50;
  constexpr unsigned threads = 4;
  std::array<std::array<void*, nodes>, threads> taken;
  levity::atomic<unsigned> here{0};
  std::vector<std::thread> askers;
  for (unsigned t = 0; t < threads; t++) {
    askers.emplace_back([&, t] {
      here.fetch_add(1, std::memory_order_relaxed);
      while (here.load(std::memory_order_relaxed) < threads) std::this_thread::yield();
      for (unsigned node = 0; node < nodes; node++) {
        frame_magazine_scope magazine;
        levity::detail::take_frames_of(2000 + node);
        taken[t][node] = frame_allocate(16'000);
        std::memset(taken[t][node], 1, 16'000);
      }
    });
  }
  for (std::thread& each : askers) each.join();
  std::map<std::uintptr_t, unsigned> node_of;
  for (unsigned node = 0; node < nodes; node++) {
    for (unsigned t = 0; t < threads; t++) {
      EXPECT_EQ(node_of.try_emplace(huge_page_of(taken[t][node]), node).first->second, node);
    }
  }
  for (auto& each : taken) {
    for (void* block : each) frame_free(block, 16'000);
  }
}

TEST(frame_pool, blocks_that_a_thread_takes_one_after_the_other_have_no_cache_line_in_common) {
  frame_magazine_scope magazine;
  for (const std::size_t bytes : {std::size_t{80}, std::size_t{112}, std::size_t{176}, std::size_t{400}}) {
    void* first = frame_allocate(bytes);
    void* second = frame_allocate(bytes);
    const void* lower = std::min(first, second);
    const void* upper = std::max(first, second);
    EXPECT_LT(last_line(lower, bytes), first_line(upper)) << bytes;
    frame_free(second, bytes);
    frame_free(first, bytes);
  }
}

// Each thread does with some sizes in turns what a worker does at every spawn and await. Nothing of it goes through the depot, so
// none ever gets a block beside one of the other's.
TEST(frame_pool, threads_that_use_many_sizes_in_turns_have_no_cache_line_in_common) {
  std::set<std::uintptr_t> lines[2];
  levity::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (auto& own : lines) {
    threads.emplace_back([&own, &ready] {
      frame_magazine_scope magazine;
      ready.fetch_add(1, std::memory_order_relaxed);
      while (ready.load(std::memory_order_relaxed) < 2) {
      }
      constexpr std::size_t sizes[] = {144, 240, 272, 304, 336, 368, 432, 464, 496};
      for (int round = 0; round < 200; round++) {
        for (const std::size_t bytes : sizes) {
          void* block = frame_allocate(bytes);
          for (std::uintptr_t line = first_line(block); line <= last_line(block, bytes); line++) own.insert(line);
          frame_free(block, bytes);
        }
      }
      ready.fetch_add(1, std::memory_order_relaxed);
      while (ready.load(std::memory_order_relaxed) < 4) {  // what one gave back the other would get
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::uintptr_t> common;
  std::set_intersection(lines[0].begin(), lines[0].end(), lines[1].begin(), lines[1].end(), std::back_inserter(common));
  EXPECT_EQ(common.size(), 0U);
}

#endif

}  // namespace
