// timers WORKERS OPERATIONS ARMED - a timer is made, armed for a moment in 30 s and taken away, beside ARMED others. Its
// handler, which hears of it, runs in batches of a thousand.
#include <asio.hpp>

#include <chrono>
#include <vector>

#include "../stopwatch.hpp"

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const std::uint64_t operations = race::argument(argc, argv, 2);
  const std::uint64_t armed = race::argument(argc, argv, 3);
  asio::io_context io(1);
  std::vector<asio::steady_timer> others;
  others.reserve(armed);
  for (std::uint64_t i = 0; i < armed; i++) {
    others.emplace_back(io, 1h + std::chrono::milliseconds(i));
    others.back().async_wait([](asio::error_code) {});
  }
  const race::stopwatch watch;
  std::uint64_t cancelled = 0;
  for (std::uint64_t i = 0; i < operations; i++) {
    asio::steady_timer each(io, 30s + std::chrono::microseconds(i % 1'000'000));
    each.async_wait([&](asio::error_code why) { cancelled += why == asio::error::operation_aborted ? 1 : 0; });
    each.cancel();
    if (i % 1000 == 999) io.poll();
  }
  io.poll();
  watch.print(operations, cancelled);
  std::_Exit(0);  // without an hour for the others
}
