// await_call WORKERS CALLS - a coroutine that does not wait, called again and again.
#include <libfork.hpp>

#include "../stopwatch.hpp"

namespace {

constexpr auto callee = [](auto, std::uint64_t x) __attribute__((noinline)) -> lf::task<std::uint64_t> { co_return x * 31 + 7; };

constexpr auto calls = [](auto, std::uint64_t count) -> lf::task<std::uint64_t> {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < count; i++) x = co_await lf::just[callee](x);
  co_return x;
};

}  // namespace

int main(int argc, char** argv) {
  lf::lazy_pool pool(race::argument(argc, argv, 1));
  const std::uint64_t count = race::argument(argc, argv, 2);
  const race::stopwatch watch;
  watch.print(count, lf::sync_wait(pool, calls, count));
}
