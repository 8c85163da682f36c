#include "levity/resilience/token_bucket.hpp"

#include <algorithm>
#include <cmath>

#include "base/spin_guard.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {
namespace detail {

gcra gcra::at(double per_second, std::uint64_t burst) noexcept {
  constexpr double least = 1.0 / (365.0 * 24 * 3600);
  constexpr double most = 1e9;
  const double rate = per_second >= least ? std::min(per_second, most) : least;  // not a number: least
  gcra made;
  made.interval = static_cast<std::uint64_t>(std::llround(static_cast<double>(units_per_second) / rate));
  if (burst == 0) burst = static_cast<std::uint64_t>(rate);
  made.burst = std::clamp<std::uint64_t>(burst, 1, span_max / made.interval);
  return made;
}

}  // namespace detail

token_bucket::token_bucket(token_bucket_options options) noexcept
    : rule_(detail::gcra::at(options.per_second, options.burst)), mode_(options.mode) {}

bool token_bucket::refuse() noexcept {
  refused_.fetch_add(1, std::memory_order_relaxed);
  return mode_ == policy_mode::observe;
}

bool token_bucket::try_take(std::uint64_t n, time_point now) noexcept { return take_now(n, now) || refuse(); }

bool token_bucket::take_now(std::uint64_t n, time_point now) noexcept {
  if (!rule_.ever_holds(n)) return false;
  const std::uint64_t at = detail::gcra::units_of(now);
  std::uint64_t seen = full_at_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t after = rule_.after(seen, n, at);
    if (rule_.wait_for(after, at) != 0) return false;
    if (full_at_.compare_exchange_weak(seen, after, std::memory_order_relaxed, std::memory_order_relaxed)) break;
  }
  admitted_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

duration token_bucket::time_until(std::uint64_t n, time_point now) const noexcept {
  if (!rule_.ever_holds(n)) return duration::max();
  const std::uint64_t at = detail::gcra::units_of(now);
  return detail::gcra::span_of(rule_.wait_for(rule_.after(full_at_.load(std::memory_order_relaxed), n, at), at));
}

std::expected<duration, rejection> token_bucket::reserve(std::uint64_t n, time_point now, duration wait_max) noexcept {
  std::uint64_t end = 0;
  return reserve(n, now, wait_max, end);
}

std::expected<duration, rejection> token_bucket::reserve(std::uint64_t n, time_point now, duration wait_max,
                                                         std::uint64_t& end) noexcept {
  if (!rule_.ever_holds(n)) {
    const bool passes = refuse();
    if (passes) return duration::zero();
    return std::unexpected(rejection{rejection_cause::rate_exceeded});
  }
  const std::uint64_t at = detail::gcra::units_of(now);
  std::uint64_t seen = full_at_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t after = rule_.after(seen, n, at);
    const duration wait = detail::gcra::span_of(rule_.wait_for(after, at));
    // However many reserve, and however far ahead: the word stays within its range.
    const bool too_far = wait > wait_max || after > at + 2 * detail::gcra::span_max;
    if (too_far) {
      if (refuse()) return duration::zero();
      return std::unexpected(rejection{rejection_cause::rate_exceeded, wait - std::min(wait, wait_max)});
    }
    if (!full_at_.compare_exchange_weak(seen, after, std::memory_order_relaxed, std::memory_order_relaxed)) continue;
    admitted_.fetch_add(1, std::memory_order_relaxed);
    end = after;
    if (mode_ == policy_mode::observe) return duration::zero();
    return wait;
  }
}

void token_bucket::put_back(std::uint64_t n, time_point due) noexcept {
  const std::uint64_t units = std::min(n, rule_.burst) * rule_.interval;
  give_back(units, detail::gcra::units_of(due) + rule_.span());
}

// What lies beyond the end is held by those who reserved later: they keep the turns that they were told, and to move full_at_ back
// would give these out again.
void token_bucket::give_back(std::uint64_t units, std::uint64_t end) noexcept {
  std::uint64_t seen = full_at_.load(std::memory_order_relaxed);
  while (seen <= end && !full_at_.compare_exchange_weak(seen, seen - std::min(seen, units), std::memory_order_relaxed,
                                                        std::memory_order_relaxed)) {
  }
}

// Who reserved first may come here last: the list is in the order of the turns.
void token_bucket::line_up(turn& mine) noexcept {
  const detail::spin_guard locked(lock_);
  detail::list_link* place = turns_.end();
  while (place->prev != turns_.end() && static_cast<turn*>(place->prev)->end > mine.end) place = place->prev;
  detail::link_list::insert_before(*place, mine);
}

void token_bucket::leave(turn& mine) noexcept {
  const detail::spin_guard locked(lock_);
  mine.unlink();
}

void token_bucket::give_up(turn& mine) noexcept {
  const detail::spin_guard locked(lock_);
  detail::list_link* const after = mine.next;
  mine.unlink();
  if (after != turns_.end() && static_cast<turn*>(after)->begin == mine.end) {
    static_cast<turn*>(after)->begin = mine.begin;
  } else {
    give_back(mine.end - mine.begin, mine.end);
  }
}

task<std::expected<void, rejection>> token_bucket::take(std::uint64_t n, duration wait_max) {
  const time_point now = clock::now();
  std::uint64_t end = 0;
  const auto wait = reserve(n, now, wait_max, end);
  if (!wait) co_return std::unexpected(wait.error());
  if (*wait > duration::zero()) {
    turn mine(end - n * rule_.interval, end);
    line_up(mine);
    try {
      co_await sleep_until(now + *wait);
    } catch (...) {
      give_up(mine);
      throw;
    }
    leave(mine);
  }
  co_return std::expected<void, rejection>{};
}

std::expected<token_bucket::permit, rejection> token_bucket::try_admit(time_point now) noexcept {
  if (take_now(1, now)) return permit{this, now};
  if (refuse()) return permit{nullptr, now};
  return std::unexpected(rejection{rejection_cause::rate_exceeded, time_until(1, now)});
}

token_bucket::figures token_bucket::look(time_point now) const noexcept {
  const bool observes = mode_ == policy_mode::observe;
  const std::uint64_t refused = refused_.load(std::memory_order_relaxed);
  const std::uint64_t admitted = admitted_.load(std::memory_order_relaxed);
  return {.admitted = admitted + (observes ? refused : 0),
          .refused = observes ? 0 : refused,
          .would_have_refused = observes ? refused : 0,
          .tokens = rule_.tokens(full_at_.load(std::memory_order_relaxed), detail::gcra::units_of(now))};
}

}  // namespace levity
