// fairness flood|always_ready MILLISECONDS disturbed|alone - the longest that somebody who is ready waits for his turn beside tasks
// that never leave the worker without work:
//
//   flood          a task spawns children without end, each ready at once. A thousand older tasks wake each 5 ms, and yield
//   always_ready   a task whose awaits never have to wait: it takes from a channel that is never empty and puts back what it took,
//                  10 us of work for each. Another one wakes each millisecond
//
// `alone`: without them.
#include <levity/levity.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "levity/base/atomic.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

struct measured {
  lv::atomic<bool> over{false};
  lv::atomic<std::int64_t> wait_ns_max{0};
  lv::atomic<std::uint64_t> turns{0};

  void add(lv::duration wait) {
    turns.fetch_add(1, std::memory_order_relaxed);
    std::int64_t most = wait_ns_max.load(std::memory_order_relaxed);
    while (wait.count() > most && !wait_ns_max.compare_exchange_weak(most, wait.count(), std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] bool is_over() const { return over.load(std::memory_order_relaxed); }
};

void compute(lv::duration span) {
  for (const auto until = lv::clock::now() + span; lv::clock::now() < until;) lv::spin_hint();
}

// What the runtime cannot make good if it replaces nobody; for `bench/run --selftest`.
void hog([[maybe_unused]] unsigned& turn) {
#ifdef PLANTED_UNREPLACED
  if (++turn % 64 == 0) compute(40ms);
#endif
}

lv::task<> older(measured* seen, lv::duration period) {
  for (lv::time_point due = lv::clock::now() + period; !seen->is_over(); due += period) {
    co_await lv::sleep_until(due);
    const lv::time_point woken = lv::clock::now();
    seen->add(woken - due);
    co_await lv::yield();
    const lv::time_point now = lv::clock::now();
    seen->add(now - woken);
    if (now > due + period) due = now;  // those that were missed meanwhile are one
  }
}

lv::task<> child() {
  compute(500ns);
  co_return;
}

lv::task<> spawner(measured* seen) {
  constexpr unsigned burst = 1000;
  constexpr unsigned live_max = 100'000;
  unsigned turn = 0;
  lv::scope children;
  while (!seen->is_over()) {
    if (children.size_approx() < live_max) {
      for (unsigned i = 0; i < burst; i++) children.spawn(child);
    }
    hog(turn);
    co_await lv::yield();
  }
  co_await children.join();
}

lv::task<> goes_round(measured* seen) {
  constexpr int values = 500;
  unsigned turn = 0;
  lv::channel<int> ring(2 * values);
  for (int i = 0; i < values; i++) (void)co_await ring.send(i);
  while (!seen->is_over()) {
    const auto value = co_await ring.receive();
    compute(10us);
    (void)co_await ring.send(*value);
    hog(turn);
  }
}

lv::task<int> measure(std::string what, lv::duration span, bool disturbed) {
  measured seen;
  lv::scope tasks;
  if (what == "flood") {
    for (unsigned i = 0; i < 1000; i++) {
      tasks.spawn(older, &seen, 5ms);
      if (i % 200 == 199) co_await lv::sleep(1ms);  // not all at once
    }
    if (disturbed) tasks.spawn(spawner, &seen);
  } else {
    tasks.spawn(older, &seen, 1ms);
    co_await lv::sleep(5ms);
    if (disturbed) tasks.spawn(goes_round, &seen);
  }
  co_await lv::sleep(span);
  seen.over.store(true, std::memory_order_relaxed);
  co_await tasks.join();
  std::printf("{\"turns\": %llu, \"wait_ns_max\": %lld}\n",
              static_cast<unsigned long long>(seen.turns.load(std::memory_order_relaxed)),
              static_cast<long long>(seen.wait_ns_max.load(std::memory_order_relaxed)));
  co_return 0;
}

lv::runtime_options options() {
  lv::runtime_options as_they_come;
#ifdef PLANTED_UNREPLACED
  as_they_come.stuck_threads_max = 0;
#endif
  return as_they_come;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: fairness flood|always_ready MILLISECONDS disturbed|alone\n", stderr);
    return 2;
  }
  const auto span = std::chrono::milliseconds(std::atoi(argv[2]));
  return lv::run_with(options(), measure, std::string(argv[1]), lv::duration(span), std::string(argv[3]) == "disturbed");
}
