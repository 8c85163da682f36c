// await_call WORKERS CALLS - a coroutine that does not wait, awaited again and again.
#include <asio.hpp>

#include "../stopwatch.hpp"

namespace {

[[gnu::noinline]] asio::awaitable<std::uint64_t> callee(std::uint64_t x) { co_return x * 31 + 7; }

asio::awaitable<void> measure(std::uint64_t calls) {
  std::uint64_t x = 1;
  const race::stopwatch watch;
  for (std::uint64_t i = 0; i < calls; i++) x = co_await callee(x);
  watch.print(calls, x);
}

}  // namespace

int main(int argc, char** argv) {
  asio::io_context io(1);
  asio::co_spawn(io, measure(race::argument(argc, argv, 2)), asio::detached);
  io.run();
}
