// timers ARMED OPERATIONS - what setting, moving and taking away a timer costs while ARMED others are armed.
#include <levity/levity.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::task<> ready() { co_return; }

lv::task<> measure(std::uint64_t armed, std::uint64_t operations) {
  const lv::time_point start = lv::clock::now();
  const auto others = std::make_unique<lv::timer[]>(armed);
  for (std::uint64_t i = 0; i < armed; i++) others[i].arm(start + 1h + std::chrono::microseconds(i * 977 % 3'600'000'000));

  constexpr std::uint64_t own_count = 1024;  // what one worker's connections may have in its cache
  const auto own = std::make_unique<lv::timer[]>(own_count);
  std::int64_t from = 0;
  const auto schedule_cancel = [&](std::uint64_t count) {
    from = cpu_ns();
    for (std::uint64_t i = 0; i < count; i++) {
      lv::timer& each = own[i % own_count];
      each.arm(start + 30s + std::chrono::nanoseconds(i));
      each.cancel();
    }
    return cpu_ns() - from;
  };
  schedule_cancel(operations / 10);
  const std::int64_t schedule_cancel_ns = schedule_cancel(operations);

  from = cpu_ns();
  for (std::uint64_t i = 0; i < operations; i++) own[i % own_count].arm(start + 60s + std::chrono::nanoseconds(i));
  const std::int64_t reset_ns = cpu_ns() - from;

  // A timer of its own each time: into the wheel and out of it again.
  from = cpu_ns();
  for (std::uint64_t i = 0; i < operations; i++) {
    lv::timer each;
    each.arm(start + 30s + std::chrono::microseconds(i % 1'000'000));
  }
  const std::int64_t fresh_ns = cpu_ns() - from;

  from = cpu_ns();
  for (std::uint64_t i = 0; i < operations; i++) {
    co_await lv::with_deadline(start + 30s + std::chrono::microseconds(i % 1'000'000), ready());
  }
  const std::int64_t deadline_ns = cpu_ns() - from;
  std::printf("{\"armed\": %llu, \"operations\": %llu, \"schedule_cancel_ns\": %lld, \"reset_ns\": %lld, \"fresh_ns\": %lld, "
              "\"deadline_ns\": %lld}\n",
              static_cast<unsigned long long>(armed), static_cast<unsigned long long>(operations),
              static_cast<long long>(schedule_cancel_ns), static_cast<long long>(reset_ns), static_cast<long long>(fresh_ns),
              static_cast<long long>(deadline_ns));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t armed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::uint64_t operations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5'000'000;
  return lv::run(measure, armed, operations);
}
