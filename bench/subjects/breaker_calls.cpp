// breaker_calls WHAT CALLS - what a circuit breaker costs each call. WHAT is one of
//   well        closed, every call a success: admit and record, one thread
//   failing     closed, every fourth call a failure, so that each verdict moves the word: the same
//   rejected    open: try_admit, which says when to ask again
//   contended   as `well`, two threads on one breaker;   contended_failing   as `failing`, two threads
// What is allocated meanwhile is counted. With two threads, the time of 32 calls in a row is noted again and again: the 99th
// percentile of these, a call's part.
#include <levity/base/clock.hpp>
#include <levity/resilience/breaker.hpp>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

namespace lv = levity;
using namespace std::chrono_literals;

// Of this program alone; counted by each thread for itself.
static thread_local std::uint64_t allocations = 0;

void* operator new(std::size_t size) {
  allocations++;
  if (void* const made = std::malloc(size)) return made;
  throw std::bad_alloc();
}
void operator delete(void* given) noexcept { std::free(given); }
void operator delete(void* given, std::size_t) noexcept { std::free(given); }

namespace {

constexpr lv::time_point start{1000s};
constexpr int batch = 32;

std::int64_t thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::int64_t wall_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// A quarter of failures, or none; never over 40 %.
void calls(lv::breaker& through, std::uint64_t from, std::uint64_t count, bool failing) {
  for (std::uint64_t i = from; i < from + count; i++) {
    const lv::time_point now = start + lv::duration(i);
    auto permit = through.try_admit(now);
    if (!permit) std::exit(1);
    permit->record(failing && i % 4 == 0 ? lv::verdict::failure : lv::verdict::success, now);
  }
}

void print(std::uint64_t count, std::int64_t cpu_ns, std::uint64_t allocated, double p99_ns = 0) {
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld, \"allocations\": %llu, \"p99_ns\": %.2f}\n",
              static_cast<unsigned long long>(count), static_cast<long long>(cpu_ns), static_cast<unsigned long long>(allocated),
              p99_ns);
}

void alone(std::uint64_t count, bool failing) {
  lv::breaker through;
  calls(through, 0, count / 10, failing);
  const std::uint64_t before = allocations;
  const std::int64_t from = thread_ns();
  calls(through, 0, count, failing);
  const std::int64_t spent = thread_ns() - from;
  print(count, spent, allocations - before);
}

void rejected(std::uint64_t count) {
  lv::breaker through(lv::breaker_settings::consecutive(1));
  through.try_admit(start)->record(lv::verdict::failure, start);
  lv::duration least = 1h;
  std::int64_t from = 0;
  const std::uint64_t before = allocations;
  for (int round = 0; round < 2; round++) {  // the first one warms up
    from = thread_ns();
    for (std::uint64_t i = 0; i < count; i++) {
      const auto permit = through.try_admit(start + lv::duration(i));
      if (permit) std::exit(1);
      least = std::min(least, permit.error().retry_after);
    }
  }
  const std::int64_t spent = thread_ns() - from;
  if (least <= 0s || least > 7s) std::exit(1);
  print(count, spent, allocations - before);
}

void contended(std::uint64_t count, bool failing) {
  lv::breaker through;
  std::vector<std::vector<std::int64_t>> noted(2);
  std::vector<std::int64_t> spent(2);
  std::vector<std::uint64_t> allocated(2);
  std::vector<std::thread> threads;
  for (std::size_t each = 0; each < 2; each++) {
    threads.emplace_back([&, each] {
      noted[each].reserve(count / batch);
      calls(through, 0, count / 10, failing);
      const std::uint64_t allocated_before = allocations;
      const std::int64_t from = thread_ns();
      std::int64_t before = wall_ns();
      for (std::uint64_t done = 0; done < count; done += batch) {
        calls(through, done, batch, failing);
        const std::int64_t now = wall_ns();
        noted[each].push_back(now - before);
        before = now;
      }
      spent[each] = thread_ns() - from;
      allocated[each] = allocations - allocated_before;
    });
  }
  for (std::thread& each : threads) each.join();
  if (through.look().state != lv::breaker_state::closed) std::exit(1);
  std::vector<std::int64_t>& all = noted[0];
  all.insert(all.end(), noted[1].begin(), noted[1].end());
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 99 / 100);
  std::nth_element(all.begin(), at, all.end());
  print(2 * count, spent[0] + spent[1], allocated[0] + allocated[1], static_cast<double>(*at) / batch);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "well";
  const std::uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
  if (what == "well" || what == "failing") {
    alone(count, what == "failing");
  } else if (what == "rejected") {
    rejected(count);
  } else if (what == "contended" || what == "contended_failing") {
    contended(count, what == "contended_failing");
  } else {
    return 1;
  }
}
