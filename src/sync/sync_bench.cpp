// sync_bench [OPERATIONS] - what waiting for each other costs on one worker: CPU nanoseconds an operation, best of five.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "levity/runtime/run.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/sync/select.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/task/scope.hpp"

namespace lv = levity;

namespace {

std::int64_t cpu_ns() {
  timespec now;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

lv::task<> lock_loop(lv::mutex* m, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; i++) auto held = co_await m->lock();
}

lv::task<> uncontended(std::uint64_t n) {
  lv::mutex m;
  co_await lock_loop(&m, n);
}


lv::task<> permits(std::uint64_t n) {
  lv::semaphore s{1};
  for (std::uint64_t i = 0; i < n; i++) {
    co_await s.acquire();
    s.release();
  }
}

lv::task<> set_event(std::uint64_t n) {
  lv::event e;
  e.set();
  for (std::uint64_t i = 0; i < n; i++) co_await e.wait();
}

// One task fills and drains: no wait at all.
lv::task<> buffered_alone(std::uint64_t n) {
  lv::channel<std::uint64_t> c{64};
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < n; i++) {
    (void)co_await c.send(i);
    sum += *co_await c.receive();
  }
  if (sum != n * (n - 1) / 2) std::abort();
}

lv::task<> produce(lv::channel<std::uint64_t>* c, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; i++) (void)co_await c->send(i);
  c->close();
}
lv::task<> consume(lv::channel<std::uint64_t>* c, std::uint64_t n) {
  std::uint64_t sum = 0;
  while (auto got = co_await c->receive()) sum += *got;
  if (sum != n * (n - 1) / 2) std::abort();
}

lv::task<> through(std::size_t capacity, std::uint64_t n) {
  lv::channel<std::uint64_t> c{capacity};
  lv::scope both;
  both.spawn(produce, &c, n);
  both.spawn(consume, &c, n);
  co_await both.join();
}
lv::task<> buffered_pair(std::uint64_t n) { return through(64, n); }
lv::task<> rendezvous_pair(std::uint64_t n) { return through(0, n); }

lv::task<> select_ready(std::uint64_t n) {
  lv::channel<std::uint64_t> a{4};
  lv::channel<std::uint64_t> b{4};
  for (std::uint64_t i = 0; i < n; i++) {
    (void)co_await a.send(i);
    auto won = co_await lv::select(lv::receive_from(a), lv::receive_from(b));
    if (won->index() != 0) std::abort();
  }
}

lv::task<> drain_by_select(lv::channel<std::uint64_t>* a, lv::channel<std::uint64_t>* b) {
  for (;;) {
    auto won = co_await lv::select(lv::receive_from(*a), lv::receive_from(*b));
    if (won->index() == 0 && !std::get<0>(*won)) co_return;
  }
}
lv::task<> select_waiting(std::uint64_t n) {
  lv::channel<std::uint64_t> a;
  lv::channel<std::uint64_t> b;
  lv::scope both;
  both.spawn(drain_by_select, &a, &b);
  both.spawn(produce, &a, n);
  co_await both.join();
}

lv::task<> measure(std::uint64_t n) {
  struct row {
    const char* name;
    lv::task<> (*run)(std::uint64_t);
  };
  constexpr row rows[] = {
      {"sync/mutex/lock_unlock/uncontended", uncontended}, {"sync/semaphore/acquire_release/free", permits},
      {"sync/event/wait/set", set_event},                  {"sync/channel/send_receive/one_task", buffered_alone},
      {"sync/channel/hop/buffered_64", buffered_pair},     {"sync/channel/hop/rendezvous", rendezvous_pair},
      {"sync/select/send_select/ready", select_ready},     {"sync/select/hop/waiting", select_waiting},
  };
  for (const row& each : rows) {
    double best = 1e9;
    for (int turn = 0; turn < 5; turn++) {
      const std::int64_t from = cpu_ns();
      co_await each.run(n);
      best = std::min(best, static_cast<double>(cpu_ns() - from) / static_cast<double>(n));
    }
    std::printf("{\"name\": \"%s\", \"ns\": %.1f}\n", each.name, best);
  }
}

}  // namespace

int main(int argc, char** argv) {
  lv::runtime_options options;
  options.workers = 1;
  options.handle_signals = false;
  return lv::run_with(options, measure, std::uint64_t{argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000});
}
