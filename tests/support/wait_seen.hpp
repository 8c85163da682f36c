#pragma once

#include <levity/levity.hpp>

#include <string>

#include "levity/base/atomic.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::test {

/// Where a task says that it runs, for others to look at its waits.
using task_place = atomic<detail::task_record*>;

/// The running task is the one to look at.
inline void be_seen(task_place& place) noexcept { place.store(detail::current_run().current, std::memory_order_release); }

/// Lets others run until the task waits; then what a dump says of its wait: "name (details)". The task must live.
inline task<std::string> wait_seen(task_place* place) {
  for (;;) {
    detail::task_record* record = place->load(std::memory_order_acquire);
    if (record != nullptr && detail::try_hold(*record)) {
      const wait_reason& reason = *record->waits_on->reason;
      char text[160] = "";
      if (reason.describe != nullptr) reason.describe(*record->waits_on, text, sizeof text);
      detail::release_hold(*record);
      co_return std::string(reason.name) + " (" + text + ")";
    }
    co_await sleep(std::chrono::milliseconds(1));
  }
}

}  // namespace levity::test
