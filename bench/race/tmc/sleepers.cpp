// sleepers WORKERS TASKS - tasks that all sleep at the same moment, then wake over half a second, on the executor over Asio.
#define TMC_IMPL
#include <tmc/all_headers.hpp>
#include <tmc/asio/aw_asio.hpp>
#include <tmc/asio/ex_asio.hpp>

#include <asio.hpp>
#include <chrono>
#include <vector>

#include "../stopwatch.hpp"

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using timer_type = asio::basic_waitable_timer<clock_type, asio::wait_traits<clock_type>, asio::io_context::executor_type>;

std::uint64_t asleep = 0;  // one thread
std::uint64_t woken = 0;

tmc::task<void> sleeper(tmc::ex_asio& executor, clock_type::time_point until) {
  asleep++;
  timer_type timer(executor, until);
  co_await timer.async_wait(tmc::aw_asio);
  woken++;
}

tmc::task<void> measure(tmc::ex_asio& executor, std::uint64_t tasks) {
  const std::int64_t before = race::resident_bytes();
  const race::stopwatch watch;
  const auto start = clock_type::now() + 4s;
  auto sleepers = tmc::fork_group();
  for (std::uint64_t i = 0; i < tasks; i++) sleepers.fork(sleeper(executor, start + std::chrono::milliseconds(i % 500)));
  timer_type timer(executor);
  while (asleep < tasks) {
    timer.expires_after(1ms);
    co_await timer.async_wait(tmc::aw_asio);
  }
  const std::int64_t parked = race::resident_bytes() - before;
  if (woken != 0) race::too_slow();
  co_await std::move(sleepers);
  char more[64];
  std::snprintf(more, sizeof more, ", \"resident\": %lld", static_cast<long long>(parked));
  watch.print(tasks, woken, more);
}

}  // namespace

int main(int argc, char** argv) {
  tmc::ex_asio executor;
  executor.init();
  tmc::post_waitable(executor, measure(executor, race::argument(argc, argv, 2))).wait();
}
