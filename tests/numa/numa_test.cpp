// Goal: what a worker allocates lies on its node, and tasks stay on theirs while there is work. Method: the kernel is asked on
// which node a page is (move_pages), of frames and buffers at the moment when a worker has got them, and on which node a task
// runs (getcpu). On a machine with one node this is true by nature; two_nodes_test.py runs it on one with two.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/runtime/runtime.hpp"
#include "levity/runtime/statistics.hpp"

namespace lv = levity;

namespace {

unsigned node_here() {
  unsigned cpu = 0;
  unsigned node = 0;
  EXPECT_EQ(::getcpu(&cpu, &node), 0);
  return node;
}

// The node of the page around `address`, which has been touched.
int node_of(const void* address) {
  void* page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(address) & ~std::uintptr_t{4095});
  int node = -1;
  for (int tries = 0; tries < 100 && node < 0; tries++) {  // one that the kernel is just moving is nowhere until it is touched
    (void)*static_cast<const volatile char*>(address);
    if (::syscall(SYS_move_pages, 0, 1UL, &page, nullptr, &node, 0) != 0) return -errno;
  }
  return node;
}

bool can_ask() {
  int touched = 0;
  return node_of(&touched) >= 0;
}

// Of one worker, by the size of blocks: where those lie that it was given.
struct tally {
  unsigned node = 0;
  bool moved = false;  // between nodes
  std::map<std::size_t, std::set<const void*>> here;
  std::map<std::size_t, std::set<const void*>> elsewhere;

  void add(std::size_t bytes, const void* at) {
    if (node_here() != node) moved = true;
    (node_of(at) == static_cast<int>(node) ? here : elsewhere)[bytes].insert(at);
  }
  static std::size_t bytes_of(const std::map<std::size_t, std::set<const void*>>& blocks, bool buffers) {
    std::size_t sum = 0;
    for (const auto& [bytes, at] : blocks) sum += (bytes == lv::detail::buffer_bytes) == buffers ? bytes * at.size() : 0;
    return sum;
  }
};

// Its frame is of a size of its own; it stays while those below it are there.
template <std::size_t bytes>
lv::task<> frames(tally* of, unsigned depth) {
  std::array<char, bytes> padding;
  padding[0] = static_cast<char>(depth);
  padding[bytes - 1] = 1;
  of->add(bytes, &padding[bytes - 1]);
  if (depth > 0) co_await frames<bytes>(of, depth - 1);
  EXPECT_EQ(padding[0], static_cast<char>(depth));
}

struct everybody {
  lv::atomic<unsigned> here{0};
  lv::atomic<unsigned> done{0};
  unsigned workers;
};

// One on each worker: none ends, or waits, before all have begun.
lv::task<> on_one_worker(everybody* all, tally* of) {
  all->here.fetch_add(1, std::memory_order_relaxed);
  while (all->here.load(std::memory_order_relaxed) < all->workers) ::sched_yield();
  of->node = node_here();
  for (int round = 0; round < 3; round++) {
    co_await frames<40>(of, 200);
    co_await frames<200>(of, 200);
    co_await frames<600>(of, 200);
    co_await frames<3000>(of, 50);
    std::vector<std::byte*> buffers;
    for (int i = 0; i < 20; i++) {
      buffers.push_back(lv::detail::take_buffer());
      std::memset(buffers.back(), 1, lv::detail::buffer_bytes);
      of->add(lv::detail::buffer_bytes, buffers.back());
    }
    for (std::byte* each : buffers) lv::detail::give_buffer(each);
  }
  all->done.fetch_add(1, std::memory_order_relaxed);
  while (all->done.load(std::memory_order_relaxed) < all->workers) ::sched_yield();
}

lv::task<> look(everybody* all, std::vector<tally>* tallies) {
  lv::scope looks;
  for (tally& each : *tallies) looks.spawn(on_one_worker, all, &each);
  co_await looks.join();
}

lv::task<> leaf(unsigned rounds) {
  for (unsigned i = 0; i < rounds; i++) co_await lv::yield();
}

lv::task<> crowd(unsigned depth) {
  if (depth == 0) {
    co_await leaf(2);
    co_return;
  }
  lv::scope children;
  for (int i = 0; i < 8; i++) children.spawn(crowd, depth - 1);
  co_await children.join();
}

lv::task<> look_before_and_after_a_crowd(unsigned workers, std::vector<tally>* before, std::vector<tally>* after) {
  everybody first{.workers = workers};
  co_await look(&first, before);
  co_await crowd(4);  // tasks that are made on one worker, run and end on any
  everybody second{.workers = workers};
  co_await look(&second, after);
}

void print(const char* when, const std::vector<tally>& tallies) {
  for (std::size_t i = 0; i < tallies.size(); i++) {
    const tally& each = tallies[i];
    std::printf("%s: worker %zu on node %u: KiB of frames %zu here, %zu elsewhere; of buffers %zu here, %zu elsewhere\n", when, i,
                each.node, tally::bytes_of(each.here, false) / 1024, tally::bytes_of(each.elsewhere, false) / 1024,
                tally::bytes_of(each.here, true) / 1024, tally::bytes_of(each.elsewhere, true) / 1024);
  }
}

TEST(numa, what_a_worker_gets_lies_on_its_node) {
  if (!can_ask()) GTEST_SKIP() << "the kernel does not say where a page is: " << std::strerror(errno);
  const unsigned workers = std::max(2U, std::thread::hardware_concurrency());
  std::vector<tally> before(workers);
  std::vector<tally> after(workers);
  lv::runtime_options options;
  options.workers = workers;
  options.handle_signals = false;
  options.stuck_threads_max = 0;  // they keep their workers on purpose
  EXPECT_EQ(lv::run_with(options, look_before_and_after_a_crowd, workers, &before, &after), 0);
  print("fresh", before);
  print("after a crowd", after);
  for (const tally& each : before) {
    EXPECT_FALSE(each.moved);
    EXPECT_TRUE(each.elsewhere.empty());
  }
  // What others began and this worker ended is in its magazine, and in its cache, until it is spilled: 128 KiB, and the few
  // buffers that a worker keeps.
  for (const tally& each : after) {
    EXPECT_FALSE(each.moved);
    EXPECT_LE(tally::bytes_of(each.elsewhere, false), 128U * 1024);
    EXPECT_LE(tally::bytes_of(each.elsewhere, true), 9U * lv::detail::buffer_bytes);
  }
}

struct stay {
  unsigned yields_of_each;
  lv::atomic<unsigned> changes{0};
  lv::node_counts counted;
};

// Who only yields changes the node where a worker of another one takes it, and nowhere else.
lv::task<> stays(stay* all) {
  unsigned node = node_here();
  for (unsigned i = 0; i < all->yields_of_each; i++) {
    co_await lv::yield();
    const unsigned now = node_here();
    if (now != node) all->changes.fetch_add(1, std::memory_order_relaxed);
    node = now;
  }
}

lv::task<> start_and_stay(everybody* all, stay* of) {
  all->here.fetch_add(1, std::memory_order_relaxed);
  while (all->here.load(std::memory_order_relaxed) < all->workers) ::sched_yield();
  lv::scope tasks;
  for (int i = 0; i < 4; i++) tasks.spawn(stays, of);
  co_await tasks.join();
}

lv::task<> stay_on_each(everybody* all, stay* of) {
  lv::scope tasks;
  for (unsigned i = 0; i < all->workers; i++) tasks.spawn(start_and_stay, all, of);
  co_await tasks.join();
  of->counted = lv::nodes_of_runtime();
}

TEST(numa, who_changes_the_node_is_counted_and_few_do_while_their_own_has_work) {
  const unsigned workers = std::max(2U, std::thread::hardware_concurrency());
  everybody all{.workers = workers};
  stay of{.yields_of_each = 2000, .counted = {}};
  lv::runtime_options options;
  options.workers = workers;
  options.handle_signals = false;
  options.stuck_threads_max = 0;
  EXPECT_EQ(lv::run_with(options, stay_on_each, &all, &of), 0);
  const unsigned yields = 4 * workers * of.yields_of_each;
  std::printf("%u nodes: %u changes in %u yields, %llu tasks taken from another node, %llu of them early\n", of.counted.nodes,
              of.changes.load(std::memory_order_relaxed), yields, static_cast<unsigned long long>(of.counted.taken),
              static_cast<unsigned long long>(of.counted.taken_early));
  EXPECT_LE(of.changes.load(std::memory_order_relaxed), of.counted.taken);
  EXPECT_LE(of.counted.taken_early, yields / 100);
}

int cpus_of_this_thread() {
  cpu_set_t cpus;
  EXPECT_EQ(::sched_getaffinity(0, sizeof cpus, &cpus), 0);
  return CPU_COUNT(&cpus);
}

lv::task<int> cpus_of_a_worker() { co_return cpus_of_this_thread(); }

TEST(numa, a_worker_may_run_on_its_node_alone_and_anywhere_if_told_so) {
  const int all = cpus_of_this_thread();
  using affinity = lv::runtime_options::worker_affinity;
  for (const affinity each : {affinity::none, affinity::automatic, affinity::node}) {
    lv::runtime_options options;
    options.workers = 2;
    options.affinity = each;
    lv::runtime tasks(options);
    const int here = tasks.block_on(cpus_of_a_worker);
    std::printf("affinity %d: %d of %d CPUs\n", static_cast<int>(each), here, all);
    EXPECT_LE(here, all);
    EXPECT_TRUE(here == all || each != affinity::none);
  }
}

}  // namespace
