// sleepers WORKERS TASKS - coroutines that all sleep at the same moment, then wake over half a second.
#include <asio.hpp>

#include <chrono>

#include "../stopwatch.hpp"

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

std::uint64_t asleep = 0;
std::uint64_t woken = 0;

asio::awaitable<void> sleeper(clock_type::time_point until) {
  asleep++;
  asio::steady_timer timer(co_await asio::this_coro::executor, until);
  co_await timer.async_wait(asio::use_awaitable);
  woken++;
}

asio::awaitable<void> look(std::uint64_t tasks, std::int64_t before, std::int64_t& parked) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (asleep < tasks) {
    timer.expires_after(1ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  parked = race::resident_bytes() - before;
  if (woken != 0) race::too_slow();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t tasks = race::argument(argc, argv, 2);
  asio::io_context io(1);
  const std::int64_t before = race::resident_bytes();
  std::int64_t parked = 0;
  const race::stopwatch watch;
  const auto start = clock_type::now() + 4s;
  for (std::uint64_t i = 0; i < tasks; i++) {
    asio::co_spawn(io, sleeper(start + std::chrono::milliseconds(i % 500)), asio::detached);
  }
  asio::co_spawn(io, look(tasks, before, parked), asio::detached);
  io.run();
  char more[64];
  std::snprintf(more, sizeof more, ", \"resident\": %lld", static_cast<long long>(parked));
  watch.print(tasks, woken, more);
}
