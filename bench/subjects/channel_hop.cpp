// channel_hop VALUES CAPACITY - what a value costs from one task to another through a channel, on one worker.
#include <levity/levity.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

lv::task<> sends(lv::channel<std::uint64_t>* into, std::uint64_t values) {
  for (std::uint64_t i = 0; i < values; i++) {
    const auto sent = co_await into->send(i);
    if (!sent) std::exit(1);
  }
}

lv::task<std::int64_t> moves(std::uint64_t values, std::size_t capacity) {
  lv::channel<std::uint64_t> pipe(capacity);
  lv::scope sender;
  sender.spawn(sends, &pipe, values);
  const std::int64_t from = cpu_ns();
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < values; i++) {
    const auto got = co_await pipe.receive();
    sum += got.value();
  }
  const std::int64_t spent = cpu_ns() - from;
  if (sum != values * (values - 1) / 2) std::exit(1);
  co_await sender.join();
  co_return spent;
}

lv::task<> measure(std::uint64_t values, std::size_t capacity) {
  co_await moves(values / 10, capacity);
  const std::int64_t spent = co_await moves(values, capacity);
  std::printf("{\"values\": %llu, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(values), static_cast<long long>(spent));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t values = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2'000'000;
  const std::size_t capacity = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  lv::runtime_options options;
  options.workers = 1;
  return lv::run_with(options, measure, values, capacity);
}
