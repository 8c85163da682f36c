// tree DEPTH ROUNDS - a tree of tasks, ten children each, every leaf a task of its own. Prints the CPU time of all threads.
#include <levity/levity.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

lv::task<> node(unsigned depth, std::uint64_t* leaves) {
  if (depth == 0) {
    *leaves = 1;
    co_return;
  }
  std::array<std::uint64_t, 10> below{};
  lv::scope children;
  for (std::uint64_t& each : below) children.spawn(node, depth - 1, &each);
  co_await children.join();
  for (const std::uint64_t each : below) *leaves += each;
}

lv::task<int> measure(unsigned depth, unsigned rounds) {
  std::uint64_t leaves = 0;
  co_await node(depth, &leaves);
  const std::uint64_t expected = leaves;
  std::uint64_t tasks = 0;
  for (std::uint64_t level = expected; level > 0; level /= 10) tasks += level;
  const std::int64_t from = cpu_ns();
  for (unsigned i = 0; i < rounds; i++) {
    leaves = 0;
    co_await node(depth, &leaves);
    if (leaves != expected) co_return 1;
  }
  std::printf("{\"tasks\": %llu, \"leaves\": %llu, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>((tasks - 1) * rounds),
              static_cast<unsigned long long>(expected), static_cast<long long>(cpu_ns() - from));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned depth = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 6;
  const unsigned rounds = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
  return lv::run(measure, depth, rounds);
}
