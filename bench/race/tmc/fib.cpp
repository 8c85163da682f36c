// fib WORKERS N - Fibonacci's number by recursion: one half forked, the other awaited, then joined.
#include "pool.hpp"

namespace {

tmc::task<std::uint64_t> fib(unsigned n) {
  if (n < 2) co_return n;
  auto left = tmc::spawn(fib(n - 1)).fork();
  const std::uint64_t right = co_await fib(n - 2);
  co_return co_await std::move(left) + right;
}

tmc::task<int> measure(unsigned n) {
  co_await fib(n - 5);
  const race::stopwatch watch;
  const std::uint64_t sum = co_await fib(n);
  watch.print(sum, sum);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto n = static_cast<unsigned>(race::argument(argc, argv, 2));
  return race::on_pool(race::argument(argc, argv, 1), [&] { return measure(n); });
}
