// skynet WORKERS SIZE - a tree of tasks with ten children each down to SIZE leaves, a power of ten; adds up their numbers.
#include "pool.hpp"

#include <array>
#include <ranges>

namespace {

tmc::task<std::uint64_t> node(std::uint64_t number, std::uint64_t size) {
  if (size == 1) co_return number;
  const auto child = [=](std::uint64_t i) { return node(number + i * (size / 10), size / 10); };
  const std::array<std::uint64_t, 10> below =
      co_await tmc::spawn_many<10>((std::views::iota(std::uint64_t{0}) | std::views::transform(child)).begin());
  std::uint64_t sum = 0;
  for (const std::uint64_t each : below) sum += each;
  co_return sum;
}

tmc::task<int> measure(std::uint64_t size) {
  co_await node(0, size / 10);
  const race::stopwatch watch;
  const std::uint64_t sum = co_await node(0, size);
  watch.print(size, sum);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return race::on_pool(race::argument(argc, argv, 1), [&] { return measure(race::argument(argc, argv, 2)); });
}
