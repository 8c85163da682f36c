#include "sched/stall_fault.hpp"

#include <time.h>

#include <cmath>
#include <coroutine>
#include <exception>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0::detail {

// A thread's part: what it draws, and the coroutine that stands still within the runs of tasks.
class stall_fault::victim {
public:
  explicit victim(std::uint64_t seed) : random_(seed), inside_(stand_still_inside(*this).frame) {}
  victim(const victim&) = delete;
  victim& operator=(const victim&) = delete;
  ~victim() { inside_.destroy(); }

  static victim& here() {
    static thread_local victim own(seed_.fetch_add(1, std::memory_order_relaxed));
    return own;
  }

  std::uint64_t strike(run_state& run, unsigned period) noexcept {
    if (random_.below(4) == 0) {
      stand_still();
    } else {
      run.bounced = inside_;
    }
    return 1 + random_.below(2 * std::uint64_t{period} - 1);
  }

private:
  struct forever {
    struct promise_type {
      forever get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_always final_suspend() noexcept { return {}; }
      void return_void() noexcept {}
      void unhandled_exception() noexcept { std::terminate(); }
    };
    std::coroutine_handle<> frame;
  };

  static forever stand_still_inside(victim& here) {
    for (;;) {
      here.stand_still();
      co_await std::suspend_always{};
    }
  }

  void stand_still() noexcept {
    constexpr std::uint64_t steps = 1000;
    const double magnitude = static_cast<double>(random_.below(steps + 1)) / steps;
    const auto ns = static_cast<std::int64_t>(shortest_ns * std::pow(double{longest_ns} / shortest_ns, magnitude));
    time_left_ns_.fetch_sub(ns, std::memory_order_relaxed);
    if (random_.below(2) == 0) {
      const timespec wanted{0, ns};
      ::nanosleep(&wanted, nullptr);
    } else {
      for (const std::int64_t until = kernel_now_ns() + ns; kernel_now_ns() < until;) spin_hint();
    }
    struck_.fetch_add(1, std::memory_order_relaxed);
  }

  rng random_;
  const std::coroutine_handle<> inside_;
};

void stall_fault::install(unsigned period, std::uint64_t seed, std::int64_t time_ns) noexcept {
  time_left_ns_.store(time_ns, std::memory_order_relaxed);
  seed_.store(seed, std::memory_order_relaxed);
  period_.store(period, std::memory_order_relaxed);
}

std::uint64_t stall_fault::strike(run_state& run) noexcept {
  const unsigned period = period_.load(std::memory_order_relaxed);
  if (period == 0) return 1;
  return time_left_ns_.load(std::memory_order_relaxed) > 0 ? victim::here().strike(run, period) : looks_for_time_each;
}

}  // namespace levity::detail
