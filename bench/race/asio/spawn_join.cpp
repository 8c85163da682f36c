// spawn_join WORKERS BATCHES - a thousand empty coroutines, all ended, and the next thousand. The library has no join for a
// number that is not known to the compiler: the last completion handler starts the next batch.
#include <asio.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "../stopwatch.hpp"

namespace {

constexpr std::uint64_t batch = 1000;

asio::awaitable<void> child() { co_return; }

struct batches {
  asio::io_context& io;
  std::uint64_t left;
  std::atomic<std::uint64_t> running{0};

  void next() {
    if (left == 0) return;
    left--;
    running.store(batch, std::memory_order_relaxed);
    for (std::uint64_t i = 0; i < batch; i++) {
      asio::co_spawn(io, child(), [this](std::exception_ptr) {
        if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) next();
      });
    }
  }
};

void run(std::uint64_t workers, std::uint64_t count) {
  asio::io_context io(static_cast<int>(workers));
  batches all{io, count};
  asio::post(io, [&] { all.next(); });
  std::vector<std::thread> others;
  for (std::uint64_t i = 1; i < workers; i++) others.emplace_back([&] { io.run(); });
  io.run();
  for (std::thread& each : others) each.join();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t workers = race::argument(argc, argv, 1);
  const std::uint64_t count = race::argument(argc, argv, 2);
  run(workers, count / 10);
  const race::stopwatch watch;
  run(workers, count);
  watch.print(count * batch, count * batch);
}
