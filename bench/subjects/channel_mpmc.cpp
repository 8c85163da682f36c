// channel_mpmc PAIRS VALUES [deque] - PAIRS tasks send and PAIRS tasks receive through one channel of 64, on two workers.
// With `deque`: the same tasks through a std::deque under a std::mutex, with semaphores for room and for values.
#include <levity/levity.hpp>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

#include "cpu_time.hpp"
#include "levity/base/atomic.hpp"

namespace lv = levity;

namespace {

constexpr std::size_t capacity = 64;

class plain_queue {
public:
  lv::task<> put(std::uint64_t value) {
    co_await room_.acquire();
    {
      const std::lock_guard guard{lock_};
      values_.push_back(value);
    }
    filled_.release();
  }
  lv::task<std::uint64_t> take() {
    co_await filled_.acquire();
    std::uint64_t value;
    {
      const std::lock_guard guard{lock_};
      value = values_.front();
      values_.pop_front();
    }
    room_.release();
    co_return value;
  }

private:
  lv::semaphore room_{capacity};
  lv::semaphore filled_{0};
  std::mutex lock_;
  std::deque<std::uint64_t> values_;
};

lv::task<> sends(lv::channel<std::uint64_t>* into, std::uint64_t values) {
  for (std::uint64_t i = 0; i < values; i++) {
    const auto sent = co_await into->send(i);
    if (!sent) std::exit(1);
  }
}

lv::task<> receives(lv::channel<std::uint64_t>* from, std::uint64_t values, lv::atomic<std::uint64_t>* sum) {
  std::uint64_t own = 0;
  for (std::uint64_t i = 0; i < values; i++) {
    const auto got = co_await from->receive();
    own += got.value();
  }
  sum->fetch_add(own, std::memory_order_relaxed);
}

lv::task<> puts(plain_queue* into, std::uint64_t values) {
  for (std::uint64_t i = 0; i < values; i++) co_await into->put(i);
}

lv::task<> takes(plain_queue* from, std::uint64_t values, lv::atomic<std::uint64_t>* sum) {
  std::uint64_t own = 0;
  for (std::uint64_t i = 0; i < values; i++) own += co_await from->take();
  sum->fetch_add(own, std::memory_order_relaxed);
}

std::int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

lv::task<> measure(std::uint64_t pairs, std::uint64_t values, bool plain) {
  const std::uint64_t each = values / pairs;
  lv::channel<std::uint64_t> pipe(capacity);
  plain_queue queue;
  lv::atomic<std::uint64_t> sum{0};
  lv::scope tasks;
  const std::int64_t cpu = cpu_ns();
  const std::int64_t from = wall_ns();
  for (std::uint64_t i = 0; i < pairs; i++) {
    if (plain) {
      tasks.spawn(puts, &queue, each);
      tasks.spawn(takes, &queue, each, &sum);
    } else {
      tasks.spawn(sends, &pipe, each);
      tasks.spawn(receives, &pipe, each, &sum);
    }
  }
  co_await tasks.join();
  const std::int64_t wall = wall_ns() - from;
  if (sum.load(std::memory_order_relaxed) != pairs * (each * (each - 1) / 2)) std::exit(1);
  std::printf("{\"values\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(each * pairs),
              static_cast<long long>(wall), static_cast<long long>(cpu_ns() - cpu));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t pairs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const std::uint64_t values = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  lv::runtime_options options;
  options.workers = 2;
  return lv::run_with(options, measure, pairs, values, argc > 3 && std::strcmp(argv[3], "deque") == 0);
}
