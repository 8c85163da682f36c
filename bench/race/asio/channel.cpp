// channel WORKERS VALUES CAPACITY PAIRS - PAIRS coroutines send, PAIRS receive, through one channel. The channel that locks
// is taken for two threads only, as its documentation says.
#include <asio.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>

#include <thread>
#include <vector>

#include "../stopwatch.hpp"

namespace {

using signature = void(asio::error_code, std::uint64_t);
using one_thread = asio::experimental::channel<signature>;
using threads = asio::experimental::concurrent_channel<signature>;

template <class Channel>
asio::awaitable<void> sends(Channel& into, std::uint64_t values) {
  for (std::uint64_t i = 1; i <= values; i++) co_await into.async_send(asio::error_code{}, i, asio::use_awaitable);
}

template <class Channel>
asio::awaitable<void> receives(Channel& from, std::uint64_t values, std::uint64_t& sum) {
  std::uint64_t own = 0;
  for (std::uint64_t i = 0; i < values; i++) own += co_await from.async_receive(asio::use_awaitable);
  sum = own;
}

template <class Channel>
std::uint64_t moves(std::uint64_t workers, std::uint64_t values, std::size_t capacity, std::uint64_t pairs) {
  asio::io_context io(static_cast<int>(workers));
  Channel pipe(io, capacity);
  std::vector<std::uint64_t> sums(pairs);
  for (std::uint64_t& sum : sums) {
    asio::co_spawn(io, sends(pipe, values / pairs), asio::detached);
    asio::co_spawn(io, receives(pipe, values / pairs, sum), asio::detached);
  }
  std::vector<std::thread> others;
  for (std::uint64_t i = 1; i < workers; i++) others.emplace_back([&] { io.run(); });
  io.run();
  for (std::thread& each : others) each.join();
  std::uint64_t total = 0;
  for (const std::uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t workers = race::argument(argc, argv, 1);
  const std::uint64_t values = race::argument(argc, argv, 2);
  const std::size_t capacity = race::argument(argc, argv, 3);
  const std::uint64_t pairs = race::argument(argc, argv, 4);
  const auto run = workers == 1 ? moves<one_thread> : moves<threads>;
  run(workers, values / 10, capacity, pairs);
  const race::stopwatch watch;
  const std::uint64_t total = run(workers, values, capacity, pairs);
  watch.print(values, total);
}
