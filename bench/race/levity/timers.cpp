// timers WORKERS OPERATIONS ARMED - a timer is made, armed for a moment in 30 s and taken away, beside ARMED others.
#include <levity/levity.hpp>

#include <chrono>
#include <memory>

#include "../stopwatch.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::task<> measure(std::uint64_t operations, std::uint64_t armed) {
  const auto others = std::make_unique<lv::timer[]>(armed);
  for (std::uint64_t i = 0; i < armed; i++) others[i].arm(1h + std::chrono::milliseconds(i));
  const race::stopwatch watch;
  std::uint64_t cancelled = 0;
  for (std::uint64_t i = 0; i < operations; i++) {
    lv::timer each;
    each.arm(30s + std::chrono::microseconds(i % 1'000'000));
    cancelled += each.cancel() ? 1 : 0;
  }
  watch.print(operations, cancelled);
  co_return;
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2), race::argument(argc, argv, 3));
}
