#include "levity/runtime/detail/baton.hpp"

#include "platform/futex.hpp"

namespace levity::inline v0::detail {

// The waiter may see the word and end the baton's life before the wake-up: a futex that is gone wakes nobody, and an address
// that is used anew wakes somebody who looks again.
void baton::post() noexcept {
  const auto* word = reinterpret_cast<const std::uint32_t*>(&word_);
  word_.store(posted, std::memory_order_release);  // E31 release.
  futex_wake_one(word);
}

void baton::wait() noexcept {
  while (!is_posted()) futex_wait(reinterpret_cast<const std::uint32_t*>(&word_), 0);
}

}  // namespace levity::detail
