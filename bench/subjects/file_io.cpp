// file_io WORKLOAD PATH DEPTH OPERATIONS [direct] - DEPTH tasks that use one file until OPERATIONS are done.
//   read    4 KiB at random places of a file that is there
//   append  4 KiB at the end, then fdatasync: one operation, and the file is emptied first
#include <levity/levity.hpp>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "cpu_time.hpp"
#include "levity/base/atomic.hpp"

namespace lv = levity;

namespace {

constexpr std::size_t block_bytes = 4096;

struct freed {
  void operator()(std::byte* block) const { std::free(block); }
};

struct work {
  lv::file file;
  bool appends = false;
  std::uint64_t blocks = 0;
  lv::atomic<std::uint64_t> next_block{0};
  std::uint64_t end = 0;
};

// The finaliser of SplitMix64: a number's place in the file, the same in every program and run.
std::uint64_t scattered(std::uint64_t number, std::uint64_t blocks) {
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebU;
  return (number ^ (number >> 31)) % blocks;
}

std::int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

lv::task<> uses(work* with) {
  const std::unique_ptr<std::byte, freed> block(static_cast<std::byte*>(std::aligned_alloc(block_bytes, block_bytes)));
  std::memset(block.get(), 7, block_bytes);
  for (;;) {
    const std::uint64_t number = with->next_block.fetch_add(1, std::memory_order_relaxed);
    if (number >= with->end) co_return;
    if (with->appends) {
      const auto written = co_await with->file.write_durably_at(number * block_bytes, std::span{block.get(), block_bytes});
      if (!written) std::exit(1);
    } else {
      const std::uint64_t place = scattered(number, with->blocks);
      const auto got = co_await with->file.read_at(place * block_bytes, std::span{block.get(), block_bytes});
      if (!got || *got != block_bytes) std::exit(1);
    }
  }
}

lv::task<> run(work* with, std::uint64_t depth, std::uint64_t operations) {
  with->end = with->next_block.load(std::memory_order_relaxed) + operations;
  lv::scope tasks;
  for (std::uint64_t i = 0; i < depth; i++) tasks.spawn(uses, with);
  co_await tasks.join();
  with->next_block.store(with->end, std::memory_order_relaxed);
}

lv::task<> measure(bool appends, std::string path, std::uint64_t depth, std::uint64_t operations, bool direct) {
  work with;
  with.appends = appends;
  auto opened = co_await lv::file::open(
      path, {.read = true, .write = appends, .create = appends, .truncate = appends, .direct = direct});
  if (!opened) {
    std::fprintf(stderr, "file_io: %s\n", opened.error().message().c_str());
    std::exit(1);
  }
  with.file = std::move(*opened);
  with.blocks = with.file.size().value_or(0) / block_bytes;
  co_await run(&with, depth, operations / 10 > depth ? operations / 10 : depth);  // threads, rings and caches
  const std::int64_t cpu = cpu_ns();
  const std::int64_t from = wall_ns();
  co_await run(&with, depth, operations);
  const std::int64_t wall = wall_ns() - from;
  std::printf("{\"operations\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(operations),
              static_cast<long long>(wall), static_cast<long long>(cpu_ns() - cpu));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "file_io read|append PATH DEPTH OPERATIONS [direct]\n");
    return 2;
  }
  lv::runtime_options options;
  options.workers = 2;
  return lv::run_with(options, measure, std::strcmp(argv[1], "append") == 0, std::string(argv[2]),
                      std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10),
                      argc > 5 && std::strcmp(argv[5], "direct") == 0);
}
