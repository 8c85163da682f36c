// channel WORKERS VALUES CAPACITY PAIRS - PAIRS tasks send, PAIRS tasks receive. One pair goes through the library's bounded
// queue for one sender and one receiver; more go through its channel, which has no bound: there CAPACITY is 0.
#include "pool.hpp"

#include <vector>

namespace {

using bounded = tmc::qu_spsc_bounded<std::uint64_t>;
using token = tmc::chan_tok<std::uint64_t>;

tmc::task<void> pushes(bounded& into, std::uint64_t values) {
  for (std::uint64_t i = 1; i <= values; i++) co_await into.push(i);
}

tmc::task<std::uint64_t> pulls(bounded& from, std::uint64_t values) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < values; i++) {
    auto got = co_await from.pull();
    sum += *got;
  }
  co_return sum;
}

tmc::task<void> sends(token into, std::uint64_t values) {
  for (std::uint64_t i = 1; i <= values; i++) co_await into.push(i);
}

tmc::task<std::uint64_t> receives(token from, std::uint64_t values) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < values; i++) {
    auto got = co_await from.pull();
    sum += got.value();
  }
  co_return sum;
}

tmc::task<std::uint64_t> moves(std::uint64_t values, std::size_t capacity, std::uint64_t pairs) {
  if (capacity != 0) {
    bounded pipe(capacity);
    auto receiver = tmc::spawn(pulls(pipe, values)).fork();
    co_await tmc::spawn(pushes(pipe, values));
    co_return co_await std::move(receiver);
  }
  token pipe = tmc::make_channel<std::uint64_t>();
  std::vector<tmc::task<void>> senders;
  std::vector<tmc::task<std::uint64_t>> receivers;
  for (std::uint64_t i = 0; i < pairs; i++) {
    senders.push_back(sends(pipe, values / pairs));
    receivers.push_back(receives(pipe, values / pairs));
  }
  auto received = tmc::spawn_many(receivers).fork();
  co_await tmc::spawn_many(senders);
  std::uint64_t total = 0;
  for (const std::uint64_t sum : co_await std::move(received)) total += sum;
  co_return total;
}

tmc::task<int> measure(std::uint64_t values, std::size_t capacity, std::uint64_t pairs) {
  co_await moves(values / 10, capacity, pairs);
  const race::stopwatch watch;
  const std::uint64_t total = co_await moves(values, capacity, pairs);
  watch.print(values, total);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return race::on_pool(race::argument(argc, argv, 1), [&] {
    return measure(race::argument(argc, argv, 2), race::argument(argc, argv, 3), race::argument(argc, argv, 4));
  });
}
