// await_call CALLS - what `co_await f()` costs when f does not wait. Its floor: floors/await_floor.cpp.
#include <levity/levity.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

[[gnu::noinline]] lv::task<std::uint64_t> callee(std::uint64_t x) { co_return x * 31 + 7; }

lv::task<std::uint64_t> calls(std::uint64_t count) {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < count; i++) x = co_await callee(x);
  co_return x;
}

lv::task<> measure(std::uint64_t count) {
  (void)co_await calls(count / 20 + 1);
  const std::int64_t from = cpu_ns();
  const std::uint64_t result = co_await calls(count);
  const std::int64_t spent = cpu_ns() - from;
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld, \"result\": \"%016llx\"}\n", static_cast<unsigned long long>(count),
              static_cast<long long>(spent), static_cast<unsigned long long>(result));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000'000;
  return lv::run(measure, count);
}
