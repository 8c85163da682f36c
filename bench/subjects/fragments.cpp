// fragments TASKS - spawns tasks with frames of many sizes, lets 99 of 100 end in a random order, idles, and prints what memory
// the process still holds beside what lives.
#include <levity/levity.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "levity/base/rng.hpp"
#include "rss.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

template <std::size_t Bytes>
lv::task<> holds(lv::event* end) {
  std::array<std::byte, Bytes> ballast;
  ballast[Bytes / 2] = std::byte{1};
  co_await end->wait();
  if (ballast[Bytes / 2] != std::byte{1}) std::exit(1);
}

using starter = lv::task<> (*)(lv::event*);
constexpr std::array<starter, 8> sizes{holds<16>,  holds<100>,  holds<250>,  holds<500>,
                                       holds<900>, holds<2000>, holds<4000>, holds<8000>};

lv::task<> measure(std::uint64_t tasks) {
  lv::rng random(1);
  const std::int64_t rss_start = rss_bytes();
  // A task's turn to end: which of a thousand events it waits for. The last ten of them never come.
  constexpr std::uint64_t turns = 1000;
  constexpr std::uint64_t turns_that_come = turns - turns / 100;
  std::vector<lv::event> ends(turns);
  lv::scope crowd;
  for (std::uint64_t i = 0; i < tasks; i++) {
    crowd.spawn(sizes[random.below(sizes.size())], &ends[random.below(turns)]);
    if (i % 1000 == 999) co_await lv::yield();
  }
  co_await lv::sleep(100ms);
  const std::int64_t rss_full = rss_bytes();
  for (std::uint64_t i = 0; i < turns_that_come; i++) {
    ends[i].set();
    if (i % 10 == 9) co_await lv::sleep(1ms);
  }
  while (crowd.size_approx() > tasks / 50) co_await lv::sleep(10ms);
  std::array<std::int64_t, 3> rss{};
  for (std::int64_t& each : rss) {
    co_await lv::sleep(1s);
    each = rss_bytes();
  }
  const std::uint64_t live_bytes = lv::frame_statistics().bytes_in_use;  // when the last of those whose turn came have ended, too
  std::printf("{\"tasks\": %llu, \"live_tasks\": %llu, \"live_bytes\": %llu, "
              "\"rss_start\": %lld, \"rss_full\": %lld, \"rss_1s\": %lld, \"rss_2s\": %lld}\n",
              static_cast<unsigned long long>(tasks), static_cast<unsigned long long>(crowd.size_approx()),
              static_cast<unsigned long long>(live_bytes), static_cast<long long>(rss_start), static_cast<long long>(rss_full),
              static_cast<long long>(rss[0]), static_cast<long long>(rss[1]));
  for (lv::event& each : ends) each.set();
  co_await crowd.join();
}

}  // namespace

int main(int argc, char** argv) { return lv::run(measure, argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000); }
