#include "sched/parking.hpp"

#include <bit>

#include "levity/base/clock.hpp"
#include "platform/futex.hpp"

namespace levity::inline v0::detail {

void idle_set::enter(unsigned worker, bool searching) noexcept {
  idle_[worker / 64].fetch_or(std::uint64_t{1} << (worker % 64), std::memory_order_release);  // E250 release.
  if (searching) searchers_.fetch_sub(1, std::memory_order_relaxed);
  full_fence();  // E14.
}

bool idle_set::leave(unsigned worker) noexcept {
  const std::uint64_t bit = std::uint64_t{1} << (worker % 64);
  return (idle_[worker / 64].fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
}

bool idle_set::any_idle_beyond_approx() const noexcept {
  for (unsigned word = 1; word < words_; word++) {
    if (idle_[word].load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

bool idle_set::all_idle_approx(unsigned workers) const noexcept {
  unsigned idle = 0;
  for (unsigned word = 0; word < words_; word++) {
    idle += static_cast<unsigned>(std::popcount(idle_[word].load(std::memory_order_relaxed)));
  }
  return idle == workers;
}

int idle_set::take_idle(const slot_set& among) noexcept {
  for (unsigned word = 0; word < words_; word++) {
    std::uint64_t seen = idle_[word].load(std::memory_order_relaxed) & among[word];
    while (seen != 0) {
      const auto lowest = static_cast<unsigned>(std::countr_zero(seen));
      const std::uint64_t bit = std::uint64_t{1} << lowest;
      seen = idle_[word].fetch_and(~bit, std::memory_order_acquire);  // E250 acquire.
      if ((seen & bit) != 0) return static_cast<int>(word * 64 + lowest);
      seen &= among[word];
    }
  }
  return nobody;
}

int idle_set::claim(const slot_set& near) noexcept {
  while (searchers_.load(std::memory_order_relaxed) == 0 && any_idle_approx()) {
    int none = 0;
    if (!searchers_.compare_exchange_strong(none, 1, std::memory_order_relaxed, std::memory_order_relaxed)) return nobody;
    if (const int found = take_idle(near); found != nobody) return found;
    if (const int found = take_idle(all_slots); found != nobody) return found;
    // The idle one woke by itself. While we held the token another submitter may have trusted in us and woken nobody.
    searchers_.fetch_sub(1, std::memory_order_relaxed);
    full_fence();  // E14.
  }
  return nobody;
}

bool idle_set::start_search(unsigned workers) noexcept {
  int seen = searchers_.load(std::memory_order_relaxed);
  // Half of the workers searching is plenty: they would only meet each other.
  while (2 * static_cast<unsigned>(seen) < workers) {
    if (searchers_.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed, std::memory_order_relaxed)) return true;
  }
  return false;
}

bool parker::prepare(bool in_reactor) noexcept {
  permit expected = permit::empty;
  // E365 release: whose reactor it is. A permit that is found is acquired by finish(), which takes it.
  return permit_.compare_exchange_strong(expected, in_reactor ? permit::polling : permit::futex,
                                         std::memory_order_release, std::memory_order_relaxed);
}

bool parker::wait_for(std::int64_t timeout_ns) noexcept {
  const std::int64_t until_ns = kernel_now_ns() + timeout_ns;
  while (permit_.load(std::memory_order_relaxed) == permit::futex) {
    const std::int64_t left_ns = until_ns - kernel_now_ns();
    if (left_ns <= 0) return false;
    futex_wait_for(reinterpret_cast<const std::uint32_t*>(&permit_), static_cast<std::uint32_t>(permit::futex), left_ns);
  }
  return true;
}

void parker::finish() noexcept {
  permit_.exchange(permit::empty, std::memory_order_acquire);  // E15 acquire.
}

bool parker::unpark() noexcept {
  const permit before = permit_.exchange(permit::notified, std::memory_order_acq_rel);  // E15 release. E365 acquire.
  if (before == permit::futex) futex_wake_one(reinterpret_cast<const std::uint32_t*>(&permit_));
  return before == permit::polling;
}

}  // namespace levity::detail
