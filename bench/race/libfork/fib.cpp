// fib WORKERS N - Fibonacci's number by recursion: one half forked, the other called, then joined.
#include <libfork.hpp>

#include "../stopwatch.hpp"

namespace {

constexpr auto fib = [](auto self, unsigned n) -> lf::task<std::uint64_t> {
  if (n < 2) co_return n;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  co_await lf::fork[&left, self](n - 1);
  co_await lf::call[&right, self](n - 2);
  co_await lf::join;
  co_return left + right;
};

}  // namespace

int main(int argc, char** argv) {
  lf::lazy_pool pool(race::argument(argc, argv, 1));
  const auto n = static_cast<unsigned>(race::argument(argc, argv, 2));
  lf::sync_wait(pool, fib, n - 5);
  const race::stopwatch watch;
  const std::uint64_t sum = lf::sync_wait(pool, fib, n);
  watch.print(sum, sum);
}
