// node_pages [none] - on a machine with several nodes: how much of the memory that tasks are given lies on another node than the
// CPU that they run on, as the kernel says at that moment. On each worker one task takes frames of four sizes and buffers, three
// times; once before, and once after 4,681 tasks that were run by whoever had nothing to do. And how many tasks changed the node.
// `none`: workers run where the kernel likes.
#include <levity/levity.hpp>
#include <levity/memory/buffer.hpp>
#include <levity/memory/frame_pool.hpp>
#include <levity/runtime/statistics.hpp>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace lv = levity;

namespace {

// A page that the kernel is just moving is nowhere; who touches it waits until it has arrived. Negative: the kernel does not say.
int node_of(void* page) {
  int node = -1;
  for (int tries = 0; tries < 100 && node < 0; tries++) {
    (void)*static_cast<volatile char*>(page);
    if (::syscall(SYS_move_pages, 0, 1UL, &page, nullptr, &node, 0) != 0) return -1;
  }
  return node;
}

struct tally {
  lv::atomic<std::uint64_t> bytes{0};
  lv::atomic<std::uint64_t> elsewhere{0};

  void add(std::size_t size, void* at) {
    unsigned cpu = 0;
    unsigned here = 0;
    void* page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(at) & ~std::uintptr_t{4095});
    const int node = ::getcpu(&cpu, &here) == 0 ? node_of(page) : -1;
    if (node < 0) {
      std::fputs("node_pages: the kernel does not say where a page is\n", stderr);
      std::exit(1);
    }
    bytes.fetch_add(size, std::memory_order_relaxed);
    if (node != static_cast<int>(here)) elsewhere.fetch_add(size, std::memory_order_relaxed);
  }
  void print(const char* name) const {
    std::printf("\"%s\": {\"bytes\": %llu, \"elsewhere\": %llu}, ", name,
                static_cast<unsigned long long>(bytes.load(std::memory_order_relaxed)),
                static_cast<unsigned long long>(elsewhere.load(std::memory_order_relaxed)));
  }
};

template <std::size_t size>
lv::task<> frames(tally* of, unsigned depth) {
  std::array<char, size> padding;
  padding[size - 1] = 1;
  of->add(size, &padding[size - 1]);
  if (depth > 0) co_await frames<size>(of, depth - 1);
  if (padding[size - 1] != 1) std::exit(1);
}

struct everybody {
  unsigned workers;
  lv::atomic<unsigned> here{0};
  lv::atomic<unsigned> done{0};

  void meet(lv::atomic<unsigned>& count) const {
    count.fetch_add(1, std::memory_order_relaxed);
    while (count.load(std::memory_order_relaxed) < workers) ::sched_yield();
  }
};

// One on each worker: none ends, or waits, before all have begun.
lv::task<> takes(everybody* all, tally* of) {
  all->meet(all->here);
#ifdef PLANTED_ASTRAY  // memory of the other one of two nodes: what the rows have to find
  unsigned here = 0;
  ::getcpu(nullptr, &here);
  lv::detail::take_frames_of(1 - here);
#endif
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
  all->meet(all->done);
}

lv::task<> take_on_each(unsigned workers, tally* of) {
  everybody all{workers};
  lv::scope tasks;
  for (unsigned i = 0; i < workers; i++) tasks.spawn(takes, &all, of);
  co_await tasks.join();
}

lv::task<> crowd(unsigned depth) {
  if (depth == 0) {
    co_await lv::yield();
    co_await lv::yield();
    co_return;
  }
  lv::scope children;
  for (int i = 0; i < 8; i++) children.spawn(crowd, depth - 1);
  co_await children.join();
}

lv::task<> measure(unsigned workers) {
  tally fresh;
  tally later;
  co_await take_on_each(workers, &fresh);
  const lv::node_counts before = lv::nodes_of_runtime();
  co_await crowd(4);
  const lv::node_counts after = lv::nodes_of_runtime();
  co_await take_on_each(workers, &later);
  std::printf("{");
  fresh.print("fresh");
  later.print("later");
  std::printf("\"nodes\": %u, \"taken\": %llu, \"taken_early\": %llu}\n", after.nodes,
              static_cast<unsigned long long>(after.taken - before.taken),
              static_cast<unsigned long long>(after.taken_early - before.taken_early));
}

}  // namespace

int main(int argc, char** argv) {
  lv::runtime_options options;
  if (argc > 1 && std::strcmp(argv[1], "none") == 0) options.affinity = lv::runtime_options::worker_affinity::none;
  options.workers = std::thread::hardware_concurrency();
  options.stuck_threads_max = 0;  // they keep their workers on purpose
  return lv::run_with(options, measure, options.workers);
}
