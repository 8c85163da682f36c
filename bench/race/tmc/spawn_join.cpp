// spawn_join WORKERS BATCHES - a thousand empty tasks, submitted together and awaited, and the next thousand.
#include "pool.hpp"

#include <ranges>

namespace {

constexpr std::uint64_t batch = 1000;

tmc::task<void> child() { co_return; }

tmc::task<void> batches(std::uint64_t count) {
  const auto make = [](std::uint64_t) { return child(); };
  for (std::uint64_t i = 0; i < count; i++) {
    co_await tmc::spawn_many<batch>((std::views::iota(std::uint64_t{0}) | std::views::transform(make)).begin());
  }
}

tmc::task<int> measure(std::uint64_t count) {
  co_await batches(count / 10);
  const race::stopwatch watch;
  co_await batches(count);
  watch.print(count * batch, count * batch);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return race::on_pool(race::argument(argc, argv, 1), [&] { return measure(race::argument(argc, argv, 2)); });
}
