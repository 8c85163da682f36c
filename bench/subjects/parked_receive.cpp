// parked_receive TASKS - what memory a task takes that waits to receive from a channel; all from one channel, which then closes.
#include <levity/levity.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "levity/base/atomic.hpp"
#include "rss.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

lv::atomic<std::uint64_t> waiting{0};
lv::atomic<std::uint64_t> ended{0};

lv::task<> receiver(lv::channel<int>* from) {
  waiting.fetch_add(1, std::memory_order_relaxed);
  const auto got = co_await from->receive();
  if (!got) ended.fetch_add(1, std::memory_order_relaxed);
}

lv::task<> measure(std::uint64_t tasks) {
  lv::channel<int> pipe;
  const std::int64_t before = rss_bytes();
  lv::scope receivers;
  for (std::uint64_t i = 0; i < tasks; i++) {
    receivers.spawn("receiver", receiver, &pipe);
    if (i % 1000 == 999) co_await lv::yield();
  }
  while (waiting.load(std::memory_order_relaxed) < tasks) co_await lv::sleep(1ms);
  const std::int64_t parked = rss_bytes();
  pipe.close();
  co_await receivers.join();
  if (ended.load(std::memory_order_relaxed) != tasks) std::exit(1);
  std::printf("{\"tasks\": %llu, \"rss_before\": %lld, \"rss_parked\": %lld}\n", static_cast<unsigned long long>(tasks),
              static_cast<long long>(before), static_cast<long long>(parked));
}

}  // namespace

int main(int argc, char** argv) { return lv::run(measure, argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000); }
