// blocking_call CALLS - what it costs to declare a call as blocking that does nothing. Prints the CPU time of so many.
#include <levity/levity.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

void nothing() {
#ifdef PLANTED_DELAY_NS  // for `bench/run --selftest`
  const lv::time_point until = lv::clock::now() + lv::duration(PLANTED_DELAY_NS);
  while (lv::clock::now() < until) {
  }
#endif
}

lv::task<> measure(std::uint64_t calls) {
  for (std::uint64_t i = 0; i < calls / 100; i++) co_await lv::blocking(nothing);  // warms
  const std::int64_t from_ns = cpu_ns();
  for (std::uint64_t i = 0; i < calls; i++) co_await lv::blocking(nothing);
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(calls),
              static_cast<long long>(cpu_ns() - from_ns));
}

}  // namespace

int main(int argc, char** argv) { return lv::run(measure, argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000); }
