// skynet WORKERS SIZE - a tree of coroutines with ten children each down to SIZE leaves, a power of ten; adds up their numbers.
#include <libfork.hpp>

#include <array>

#include "../stopwatch.hpp"

namespace {

constexpr auto node = [](auto self, std::uint64_t number, std::uint64_t size) -> lf::task<std::uint64_t> {
  if (size == 1) co_return number;
  std::array<std::uint64_t, 10> below;
  const std::uint64_t part = size / 10;
  for (std::uint64_t i = 0; i < 9; i++) co_await lf::fork[&below[i], self](number + i * part, part);
  co_await lf::call[&below[9], self](number + 9 * part, part);
  co_await lf::join;
  std::uint64_t sum = 0;
  for (const std::uint64_t each : below) sum += each;
  co_return sum;
};

}  // namespace

int main(int argc, char** argv) {
  lf::lazy_pool pool(race::argument(argc, argv, 1));
  const std::uint64_t size = race::argument(argc, argv, 2);
  lf::sync_wait(pool, node, std::uint64_t{0}, size / 10);
  const race::stopwatch watch;
  const std::uint64_t sum = lf::sync_wait(pool, node, std::uint64_t{0}, size);
  watch.print(size, sum);
}
