// await_call WORKERS CALLS - a coroutine that does not wait, awaited again and again.
#include <levity/levity.hpp>

#include "../stopwatch.hpp"

namespace lv = levity;

namespace {

[[gnu::noinline]] lv::task<std::uint64_t> callee(std::uint64_t x) { co_return x * 31 + 7; }

lv::task<> measure(std::uint64_t calls) {
  std::uint64_t x = 1;
  const race::stopwatch watch;
  for (std::uint64_t i = 0; i < calls; i++) x = co_await callee(x);
  watch.print(calls, x);
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2));
}
