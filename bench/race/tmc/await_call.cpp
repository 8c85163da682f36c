// await_call WORKERS CALLS - a coroutine that does not wait, awaited again and again.
#include "pool.hpp"

namespace {

[[gnu::noinline]] tmc::task<std::uint64_t> callee(std::uint64_t x) { co_return x * 31 + 7; }

tmc::task<int> measure(std::uint64_t calls) {
  std::uint64_t x = 1;
  const race::stopwatch watch;
  for (std::uint64_t i = 0; i < calls; i++) x = co_await callee(x);
  watch.print(calls, x);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return race::on_pool(race::argument(argc, argv, 1), [&] { return measure(race::argument(argc, argv, 2)); });
}
