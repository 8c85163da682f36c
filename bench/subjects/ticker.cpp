// ticker WORK ticks|no_ticks - on every slot a task that wakes each millisecond, and beside them work of which one may fear that it
// stops everybody:
//
//   cancel   cancel a scope of a million tasks
//   free     let a million tasks end
//   return   let tasks end whose frames hold 200 MB, and give that back to the kernel
//   memcpy   copy 512 MiB in a task
//   idle     none
//
// Says when the work is prepared, begins when a line comes, and prints when it ran, and every tick that came late and by how
// much; `idle`: until standard input ends.
#include <levity/levity.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "rss.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t told_from_ns = 500'000;  // what comes less late than that is left out
constexpr unsigned many = 1'000'000;

std::int64_t now_ns() { return lv::clock::now().time_since_epoch().count(); }

struct late_tick {
  std::int64_t due_ns;
  std::int64_t late_ns;
};

struct seats {
  unsigned slots = 0;
  std::mutex lock;
  std::vector<std::thread::id> taken;
};

struct ticks {
  lv::atomic<bool> over{false};
  lv::atomic<unsigned> ticking{0};
  std::mutex lock;
  std::vector<late_tick> late;
};

bool takes_seat(seats* at) {
  const std::lock_guard guard{at->lock};
  if (std::find(at->taken.begin(), at->taken.end(), std::this_thread::get_id()) != at->taken.end()) return false;
  at->taken.push_back(std::this_thread::get_id());
  return true;
}

// Its timer is on the slot where it first sleeps, and stays there with whoever holds that.
lv::task<> tick(seats* at, ticks* seen) {
  while (!takes_seat(at)) co_await lv::yield();
  co_await lv::sleep(1ms);
  seen->ticking.fetch_add(1, std::memory_order_relaxed);
  std::vector<late_tick> late;
  late.reserve(1 << 16);
  for (lv::time_point due = lv::clock::now() + 1ms; !seen->over.load(std::memory_order_relaxed); due += 1ms) {
    co_await lv::sleep_until(due);
    const lv::duration by = lv::clock::now() - due;
    if (by.count() > told_from_ns) late.push_back({due.time_since_epoch().count(), by.count()});
    if (by > 1ms) due += by / 1ms * 1ms;  // those that were missed meanwhile are one
  }
  const std::lock_guard guard{seen->lock};
  seen->late.insert(seen->late.end(), late.begin(), late.end());
}

// Blocks, so it is made by lv::blocking.
bool next_line() {
  std::array<char, 64> line;
  return std::fgets(line.data(), line.size(), stdin) != nullptr;
}

lv::task<> told() {
  std::puts("{\"ready\": true}");
  std::fflush(stdout);
  co_await lv::blocking(next_line);
}

struct span {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

#ifdef PLANTED_STOPPING  // for `bench/run --selftest`: every slot stands still for a while
lv::task<> stand_still() {
  for (const lv::time_point until = lv::clock::now() + 100ms; lv::clock::now() < until;) {
  }
  co_return;
}

lv::task<> planted() {
  lv::scope all;
  for (unsigned i = 0; i < lv::threads_of_runtime().workers; i++) all.spawn(stand_still);
  co_await all.join();
}
#else
lv::task<> planted() { co_return; }
#endif

lv::task<> sleeper() { co_await lv::sleep(1h); }
lv::task<> waiter(lv::event* end) { co_await end->wait(); }

lv::task<> large_waiter(lv::event* end) {
  std::array<std::byte, 3500> ballast;  // lives in the frame, as the buffer of a connection might
  std::memset(ballast.data(), 1, ballast.size());
  co_await end->wait();
  if (ballast[ballast.size() / 2] != std::byte{1}) std::abort();
}

lv::task<span> cancel() {
  lv::scope children;
  for (unsigned i = 0; i < many; i++) children.spawn(sleeper);
  co_await lv::sleep(500ms);
  co_await told();
  span took{now_ns(), 0};
  children.cancel();
  co_await children.join();
  co_await planted();
  took.to_ns = now_ns();
  co_return took;
}

lv::task<span> free_tasks() {
  lv::event end;
  lv::scope children;
  for (unsigned i = 0; i < many; i++) children.spawn(waiter, &end);
  co_await lv::sleep(500ms);
  co_await told();
  span took{now_ns(), 0};
  end.set();
  co_await children.join();
  co_await planted();
  took.to_ns = now_ns();
  co_return took;
}

lv::task<span> return_memory() {
  constexpr std::int64_t bytes = 200'000'000;
  lv::event end;
  lv::scope children;
  const std::int64_t before = rss_bytes();
  while (rss_bytes() - before < bytes) {
    for (unsigned i = 0; i < 1000; i++) children.spawn(large_waiter, &end);
    co_await lv::sleep(2ms);
  }
  co_await lv::sleep(500ms);
  co_await told();
  span took{now_ns(), 0};
  const std::int64_t full = rss_bytes();
  end.set();
  co_await children.join();
  for (unsigned i = 0; full - rss_bytes() < bytes * 9 / 10; i++) {
    if (i == 50) {
      std::fprintf(stderr, "ticker: 5 s after the end of tasks with 200 MB only %lld MB have gone back\n",
                   static_cast<long long>((full - rss_bytes()) / 1'000'000));
      std::exit(1);
    }
    co_await lv::sleep(100ms);
  }
  co_await planted();
  took.to_ns = now_ns();
  co_return took;
}

lv::task<span> copy() {
  constexpr std::size_t bytes = std::size_t{512} << 20;
  std::vector<std::byte> from(bytes, std::byte{1});
  std::vector<std::byte> to(bytes);
  co_await told();
  span took{now_ns(), 0};
  std::memcpy(to.data(), from.data(), bytes);
  took.to_ns = now_ns();
  if (to[bytes / 2] != std::byte{1}) std::abort();
  co_return took;
}

lv::task<span> idle() {
  co_await told();
  const span took{now_ns(), 0};
  while (co_await lv::blocking(next_line)) {
  }
  co_return span{took.from_ns, now_ns()};
}

lv::task<int> measure(std::string work, bool with_ticks) {
  seats at;
  at.slots = lv::threads_of_runtime().workers;
  ticks seen;
  lv::scope tickers;
  for (unsigned i = 0; with_ticks && i < at.slots; i++) tickers.spawn(tick, &at, &seen);
  while (with_ticks && seen.ticking.load(std::memory_order_relaxed) < at.slots) co_await lv::sleep(1ms);
  span took;
  if (work == "cancel") {
    took = co_await cancel();
  } else if (work == "free") {
    took = co_await free_tasks();
  } else if (work == "return") {
    took = co_await return_memory();
  } else if (work == "memcpy") {
    took = co_await copy();
  } else {
    took = co_await idle();
  }
  co_await lv::sleep(50ms);
  seen.over.store(true, std::memory_order_relaxed);
  co_await tickers.join();
  std::printf("{\"from_ns\": %lld, \"to_ns\": %lld, \"late\": [", static_cast<long long>(took.from_ns),
              static_cast<long long>(took.to_ns));
  for (std::size_t i = 0; i < seen.late.size(); i++) {
    std::printf("%s[%lld, %lld]", i == 0 ? "" : ", ", static_cast<long long>(seen.late[i].due_ns),
                static_cast<long long>(seen.late[i].late_ns));
  }
  std::puts("]}");
  co_return 0;
}

lv::runtime_options options() {
  lv::runtime_options as_they_come;
#if defined(PLANTED_UNREPLACED) || defined(PLANTED_STOPPING)
  as_they_come.stuck_threads_max = 0;
#endif
  return as_they_come;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: ticker cancel|free|return|memcpy|idle ticks|no_ticks\n", stderr);
    return 2;
  }
  return lv::run_with(options(), measure, std::string(argv[1]), std::string(argv[2]) == "ticks");
}
