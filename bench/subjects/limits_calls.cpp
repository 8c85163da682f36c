// limits_calls WHAT CALLS - what each limiter of calls costs a call that does not wait: admitted, and its place given back. The
// time is given, as a program that has read the clock for a request gives it; where a task waits, admit() reads it itself.
#include <levity/levity.hpp>
#include <levity/base/rng.hpp>
#include <levity/resilience/adaptive_limit.hpp>
#include <levity/resilience/bulkhead.hpp>
#include <levity/resilience/keyed_rate_limiter.hpp>
#include <levity/resilience/load_shedder.hpp>
#include <levity/resilience/token_bucket.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

std::atomic<std::uint64_t> allocations{0};

void* counted(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const block = std::malloc(bytes != 0 ? bytes : 1)) return block;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace {

struct measured {
  std::int64_t cpu_ns;
  std::uint64_t allocated;
};

// Each step of `call(now)` is a microsecond later; its result counts how many were admitted.
template <class Call>
measured timed(std::uint64_t calls, std::uint64_t wanted, Call call) {
  std::uint64_t admitted = 0;
  lv::time_point now = lv::clock::now();
  for (std::uint64_t i = 0; i < calls / 20 + 1; i++) (void)call(now += 1us);
  const std::uint64_t before = allocations.load(std::memory_order_relaxed);
  const std::int64_t from = cpu_ns();
  for (std::uint64_t i = 0; i < calls; i++) admitted += call(now += 1us);
  const measured done{cpu_ns() - from, allocations.load(std::memory_order_relaxed) - before};
  if (admitted != wanted) {
    std::fprintf(stderr, "limits_calls: %llu of %llu were admitted\n", static_cast<unsigned long long>(admitted),
                 static_cast<unsigned long long>(wanted));
    std::exit(1);
  }
  return done;
}

template <class Policy>
measured tried(Policy& policy, std::uint64_t calls) {
  return timed(calls, calls, [&](lv::time_point now) -> std::uint64_t {
    auto permit = policy.try_admit(now);
    if (!permit) return 0;
    permit->record(lv::verdict::success, now + 500ns);
    return 1;
  });
}

// Inside a task, by co_await, where the clock is read on the way in and, for who wants the verdict, on the way out.
template <class Policy>
lv::task<measured> awaited(Policy* policy, std::uint64_t calls) {
  const std::uint64_t before = allocations.load(std::memory_order_relaxed);
  const std::int64_t from = cpu_ns();
  for (std::uint64_t i = 0; i < calls; i++) {
    auto permit = co_await policy->admit();
    if (!permit) std::exit(1);
    permit->record(lv::verdict::success, lv::time_point{});
  }
  co_return measured{cpu_ns() - from, allocations.load(std::memory_order_relaxed) - before};
}

lv::task<int> measure(std::string what, std::uint64_t calls) {
  measured done{};
  if (what == "token_bucket") {
    lv::token_bucket policy{{.per_second = 1e9, .burst = 1000}};
    done = tried(policy, calls);
  } else if (what == "keyed") {
    lv::keyed_rate_limiter<std::string> policy{{.per_second = 1e8, .burst = 1000}};
    const std::string keys[] = {"10.0.0.1", "10.0.0.2", "user-4711", "tenant/acme/eu-central-1"};
    std::uint64_t which = 0;
    done = timed(calls, calls,
                 [&](lv::time_point now) -> std::uint64_t { return policy.try_take(keys[which++ % 4], 1, now) ? 1 : 0; });
  } else if (what == "keyed_many") {  // a hundred thousand keys: their places are not in the cache
    lv::keyed_rate_limiter<std::uint64_t> policy{{.per_second = 1e8, .burst = 1000, .keys_max = 100'000}};
    lv::rng random{1};
    done = timed(calls, calls, [&](lv::time_point now) -> std::uint64_t {
      return policy.try_take(random.below(100'000), 1, now) ? 1 : 0;
    });
  } else if (what == "bulkhead") {
    lv::bulkhead policy;
    done = tried(policy, calls);
  } else if (what == "adaptive") {
    lv::adaptive_limit policy;
    done = tried(policy, calls);
  } else if (what == "shedder") {
    lv::load_shedder policy;
    done = tried(policy, calls);
  } else if (what == "shedder_refusal") {
    lv::load_shedder policy{{.concurrent_max = 1}};
    auto inside = policy.try_admit(lv::clock::now());
    done = timed(calls, 0, [&](lv::time_point now) -> std::uint64_t { return policy.try_admit(now) ? 1 : 0; });
  } else if (what == "bulkhead_await") {
    lv::bulkhead policy;
    done = co_await awaited(&policy, calls);
  } else if (what == "shedder_await") {
    lv::load_shedder policy;
    done = co_await awaited(&policy, calls);
  } else {
    std::fputs("limits_calls: token_bucket, keyed, keyed_many, bulkhead, adaptive, shedder, shedder_refusal, bulkhead_await or "
               "shedder_await\n", stderr);
    co_return 1;
  }
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld, \"allocations\": %llu}\n", static_cast<unsigned long long>(calls),
              static_cast<long long>(done.cpu_ns), static_cast<unsigned long long>(done.allocated));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "token_bucket";
  const std::uint64_t calls = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
  return lv::run(measure, what, calls);
}
