#pragma once

#include <levity/levity.hpp>

#include <cstdlib>
#include <string_view>

#include "sched/scheduler.hpp"

namespace levity::test {

// No coroutine, so the thread's own word can be read directly.
[[gnu::noinline]] inline bool others_are_ready() { return detail::this_worker->owner().work_visible() != nullptr; }

/// On a runtime with one worker: lets every task run until it waits, `rounds` times over. Beside those that never wait it gives up
/// after a while.
inline task<> settle(int rounds = 3) {
  for (int i = 0; i < rounds; i++) {
    int turns = 1000;  // one does not do: whoever yields is not always behind all others
    do {
      co_await yield();
    } while (others_are_ready() && --turns > 0);
  }
  // Where workers stand still one that was replaced may be at a task yet.
  static const char* const faults = std::getenv("LEVITY_FAULTS");
  if (faults != nullptr && std::string_view(faults).find("stall=") != std::string_view::npos) {
    co_await sleep(std::chrono::milliseconds(3));
  }
}

}  // namespace levity::test
