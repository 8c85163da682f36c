#include "reactor/ring/poll_sleep.hpp"

#include <algorithm>

#include "levity/base/clock.hpp"
#include "platform/futex.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0::detail {

bool poll_sleep::heard() noexcept {
  // E206 acquire.
  return rung_.load(std::memory_order_relaxed) && rung_.exchange(false, std::memory_order_acquire);
}

void poll_sleep::fall_asleep() noexcept {
  state_.store(state::asleep, std::memory_order_relaxed);
  full_fence();  // E205.
}

void poll_sleep::wait(std::int64_t until_ns) noexcept {
  const auto* word = reinterpret_cast<const std::uint32_t*>(&state_);
  constexpr auto asleep = static_cast<std::uint32_t>(state::asleep);
  if (until_ns == timer_wheel::never_ns) {
    futex_wait(word, asleep);
  } else {
    futex_wait_for(word, asleep, std::max<std::int64_t>(until_ns - kernel_now_ns(), 0));
  }
}

void poll_sleep::wake() noexcept {
  full_fence();  // E205, E370.
  if (reactor* const attendant = attendant_.load(std::memory_order_acquire)) {  // E370 acquire: the number.
    attendant->news.put(number_);
    return attendant->ring();
  }
  if (state_.load(std::memory_order_relaxed) != state::asleep) return;
  if (state_.exchange(state::awake, std::memory_order_relaxed) != state::asleep) return;
  if (host_ != nullptr) {
    host_->ring();
  } else {
    futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
  }
}

void poll_sleep::ring() noexcept {
  rung_.store(true, std::memory_order_release);  // E206 release.
  wake();
}

void poll_sleep::is_attended_by(reactor& attendant, unsigned number) noexcept {
  if (number_ != number) number_ = number;  // once: somebody may be reading it still
  attendant_.store(&attendant, std::memory_order_release);  // E370 release: the number.
  full_fence();                                             // E370.
}

// Who tells the attendant from here on, in vain, is found behind the fence of the next fall_asleep(), or would have seen this.
void poll_sleep::is_dismissed() noexcept { attendant_.store(nullptr, std::memory_order_relaxed); }

}  // namespace levity::detail
