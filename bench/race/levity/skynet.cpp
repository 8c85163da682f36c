// skynet WORKERS SIZE - a tree of tasks with ten children each down to SIZE leaves, a power of ten; adds up their numbers.
#include <levity/levity.hpp>

#include <array>

#include "../stopwatch.hpp"

namespace lv = levity;

namespace {

lv::task<> node(std::uint64_t number, std::uint64_t size, std::uint64_t* sum) {
  if (size == 1) {
    *sum = number;
    co_return;
  }
  std::array<std::uint64_t, 10> below;
  lv::scope children;
  for (std::uint64_t i = 0; i < 10; i++) children.spawn(node, number + i * (size / 10), size / 10, &below[i]);
  co_await children.join();
  std::uint64_t total = 0;
  for (const std::uint64_t each : below) total += each;
  *sum = total;
}

lv::task<> measure(std::uint64_t size) {
  std::uint64_t sum = 0;
  co_await node(0, size / 10, &sum);
  const race::stopwatch watch;
  co_await node(0, size, &sum);
  watch.print(size, sum);
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2));
}
