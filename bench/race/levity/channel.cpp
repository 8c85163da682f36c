// channel WORKERS VALUES CAPACITY PAIRS - PAIRS tasks send, PAIRS tasks receive, through one channel.
#include <levity/levity.hpp>

#include <vector>

#include "../stopwatch.hpp"

namespace lv = levity;

namespace {

lv::task<> sends(lv::channel<std::uint64_t>* into, std::uint64_t values) {
  for (std::uint64_t i = 1; i <= values; i++) {
    const auto sent = co_await into->send(i);
    if (!sent) std::exit(1);
  }
}

lv::task<> receives(lv::channel<std::uint64_t>* from, std::uint64_t values, std::uint64_t* sum) {
  std::uint64_t own = 0;
  for (std::uint64_t i = 0; i < values; i++) {
    const auto got = co_await from->receive();
    own += got.value();
  }
  *sum = own;
}

lv::task<std::uint64_t> moves(std::uint64_t values, std::size_t capacity, std::uint64_t pairs) {
  lv::channel<std::uint64_t> pipe(capacity);
  std::vector<std::uint64_t> sums(pairs);
  lv::scope tasks;
  for (std::uint64_t& sum : sums) {
    tasks.spawn(sends, &pipe, values / pairs);
    tasks.spawn(receives, &pipe, values / pairs, &sum);
  }
  co_await tasks.join();
  std::uint64_t total = 0;
  for (const std::uint64_t sum : sums) total += sum;
  co_return total;
}

lv::task<> measure(std::uint64_t values, std::size_t capacity, std::uint64_t pairs) {
  co_await moves(values / 10, capacity, pairs);
  const race::stopwatch watch;
  const std::uint64_t total = co_await moves(values, capacity, pairs);
  watch.print(values, total);
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2), race::argument(argc, argv, 3),
                      race::argument(argc, argv, 4));
}
