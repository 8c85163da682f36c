// spawn_join WORKERS BATCHES - a thousand empty coroutines, forked and joined, and the next thousand.
#include <libfork.hpp>

#include "../stopwatch.hpp"

namespace {

constexpr std::uint64_t batch = 1000;

constexpr auto child = [](auto) -> lf::task<void> { co_return; };

constexpr auto batches = [](auto, std::uint64_t count) -> lf::task<void> {
  for (std::uint64_t i = 0; i < count; i++) {
    for (std::uint64_t j = 0; j < batch; j++) co_await lf::fork[child]();
    co_await lf::join;
  }
};

}  // namespace

int main(int argc, char** argv) {
  lf::lazy_pool pool(race::argument(argc, argv, 1));
  const std::uint64_t count = race::argument(argc, argv, 2);
  lf::sync_wait(pool, batches, count / 10);
  const race::stopwatch watch;
  lf::sync_wait(pool, batches, count);
  watch.print(count * batch, count * batch);
}
