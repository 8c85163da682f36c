// fib WORKERS N - Fibonacci's number by recursion: one half a task of its own, the other awaited, then joined.
#include <levity/levity.hpp>

#include "../stopwatch.hpp"

namespace lv = levity;

namespace {

lv::task<> fib(unsigned n, std::uint64_t* sum) {
  if (n < 2) {
    *sum = n;
    co_return;
  }
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  lv::scope other;
  other.spawn(fib, n - 1, &left);
  co_await fib(n - 2, &right);
  co_await other.join();
  *sum = left + right;
}

lv::task<> measure(unsigned n) {
  std::uint64_t sum = 0;
  co_await fib(n - 5, &sum);
  const race::stopwatch watch;
  co_await fib(n, &sum);
  watch.print(sum, sum);  // as many leaves of 1 as the sum says
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, static_cast<unsigned>(race::argument(argc, argv, 2)));
}
