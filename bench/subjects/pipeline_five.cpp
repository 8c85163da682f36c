// pipeline_five CALLS - what a pipeline of five parts costs around a call that does not wait, and what an empty await of a task
// does.
#include <levity/levity.hpp>
#include <levity/resilience/pipeline.hpp>

#if __has_include(<levity/resilience/breaker.hpp>)
#include <levity/resilience/breaker.hpp>
#define HAS_BREAKER 1
#endif
#if __has_include(<levity/resilience/adaptive_limit.hpp>)
#include <levity/resilience/adaptive_limit.hpp>
#define HAS_LIMIT 1
#endif

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

// Stand-ins that cost what the policies do: a compare-and-swap to admit where a state is entered, one to record.
class stand_in_breaker {
public:
  class permit {
  public:
    explicit permit(stand_in_breaker* of) noexcept : of_(of) {}
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    permit& operator=(permit&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~permit() {
      if (of_ != nullptr) record(lv::verdict::neutral, {});
    }
    void record(lv::verdict said, lv::time_point) noexcept {
      stand_in_breaker* const of = std::exchange(of_, nullptr);
      if (of == nullptr || said == lv::verdict::neutral) return;
      std::uint64_t seen = of->ring_.load(std::memory_order_relaxed);
      while (!of->ring_.compare_exchange_weak(seen, (seen << 1 | (said == lv::verdict::failure ? 1 : 0)) & 0x3ff,
                                              std::memory_order_relaxed, std::memory_order_relaxed)) {
      }
    }

  private:
    stand_in_breaker* of_;
  };

  std::expected<permit, lv::rejection> try_admit(lv::time_point) noexcept {
    if (std::popcount(ring_.load(std::memory_order_relaxed)) > 4)
      return std::unexpected(lv::rejection{lv::rejection_cause::breaker_open});
    return permit{this};
  }

private:
  std::atomic<std::uint64_t> ring_{0};
};

class stand_in_limit {
public:
  class permit {
  public:
    permit(stand_in_limit* of, lv::time_point since) noexcept : of_(of), since_(since) {}
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), since_(other.since_) {}
    permit& operator=(permit&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(since_, other.since_);
      return *this;
    }
    ~permit() {
      if (of_ != nullptr) record(lv::verdict::neutral, since_);
    }
    void record(lv::verdict, lv::time_point now) noexcept {
      stand_in_limit* const of = std::exchange(of_, nullptr);
      if (of == nullptr) return;
      of->sum_ns_.fetch_add((now - since_).count(), std::memory_order_relaxed);
      of->under_way_.fetch_sub(1, std::memory_order_relaxed);
    }

  private:
    stand_in_limit* of_;
    lv::time_point since_;
  };

  std::expected<permit, lv::rejection> try_admit(lv::time_point now) noexcept {
    if (under_way_.fetch_add(1, std::memory_order_relaxed) >= 20) {
      under_way_.fetch_sub(1, std::memory_order_relaxed);
      return std::unexpected(lv::rejection{lv::rejection_cause::limit_reached});
    }
    return permit{this, now};
  }

private:
  std::atomic<std::int64_t> under_way_{0};
  std::atomic<std::int64_t> sum_ns_{0};
};

#ifdef HAS_BREAKER
using breaker = lv::breaker;
#else
using breaker = stand_in_breaker;
#endif
#ifdef HAS_LIMIT
using limit = lv::adaptive_limit;
#else
using limit = stand_in_limit;
#endif

using answer = std::expected<std::uint64_t, int>;

[[gnu::noinline]] lv::task<answer> callee(std::uint64_t x) { co_return x * 31 + 7; }

lv::task<std::uint64_t> bare(std::uint64_t count) {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < count; i++) {
    const answer got = co_await callee(x);
    x = *got;
  }
  co_return x;
}

template <class Calls>
lv::task<std::uint64_t> through(Calls& calls, std::uint64_t count) {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < count; i++) {
    const auto got = co_await calls.run(lv::repeatable::yes, [x] { return callee(x); });
    x = got ? *got : 0;
  }
  co_return x;
}

// What malloc_counter.so has counted; 0 where it is not loaded.
std::uint64_t allocations() {
  static const char* const path = std::getenv("ALLOCATION_COUNT_FILE");
  static const int fd = path != nullptr ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
  std::uint64_t count = 0;
  if (fd < 0 || ::pread(fd, &count, sizeof count, 0) != static_cast<ssize_t>(sizeof count)) return 0;
  return count;
}

[[gnu::noinline]] std::uint64_t clock_reads(std::uint64_t count) {
  std::int64_t sum = 0;
  for (std::uint64_t i = 0; i < count; i++) sum += lv::clock::now().time_since_epoch().count() & 1;
  return static_cast<std::uint64_t>(sum);
}

lv::task<> measure(std::uint64_t count) {
  limit limiter;
  breaker door;
  lv::retry_budget budget;
  lv::retry_policy policy;
  auto five = lv::pipeline(lv::total_timeout{3s}, limiter, lv::retrying{policy, budget}, door, lv::attempt_timeout{1s});
  auto none = lv::pipeline();

  (void)co_await bare(count / 20 + 1);
  (void)co_await through(five, count / 20 + 1);

  std::int64_t from = cpu_ns();
  const std::uint64_t expected = co_await bare(count);
  const std::int64_t bare_ns = cpu_ns() - from;
  from = cpu_ns();
  const std::uint64_t by_none = co_await through(none, count);
  const std::int64_t none_ns = cpu_ns() - from;
  from = cpu_ns();
  const std::uint64_t by_five = co_await through(five, count);
  const std::int64_t five_ns = cpu_ns() - from;
  from = cpu_ns();
  (void)clock_reads(count);
  const std::int64_t clock_ns = cpu_ns() - from;

  // So few that nobody finds this thread stuck, and writes about it.
  co_await lv::yield();
  const std::uint64_t allocated_before = allocations();
  (void)co_await through(five, 10'000);
  const std::uint64_t allocated = allocations() - allocated_before;

  const bool right = expected == by_none && expected == by_five;
  std::printf("{\"calls\": %llu, \"bare_ns\": %lld, \"none_ns\": %lld, \"five_ns\": %lld, \"clock_ns\": %lld, \"right\": %s, "
              "\"succeeded\": %llu, \"allocations\": %llu, \"stand_ins\": %d}\n",
              static_cast<unsigned long long>(count), static_cast<long long>(bare_ns), static_cast<long long>(none_ns),
              static_cast<long long>(five_ns), static_cast<long long>(clock_ns), right ? "true" : "false",
              static_cast<unsigned long long>(five.counted().succeeded), static_cast<unsigned long long>(allocated),
#if defined(HAS_BREAKER) && defined(HAS_LIMIT)
              0
#elif defined(HAS_BREAKER) || defined(HAS_LIMIT)
              1
#else
              2
#endif
  );
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 5'000'000;
  return lv::run(measure, count);
}
