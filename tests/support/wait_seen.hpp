#pragma once

#include <levity/levity.hpp>

#include <string>

#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::test {

/// The record of the task that runs.
inline detail::task_record* own_record() noexcept { return detail::current_run().current; }

/// Lets others run until the task waits; then what a dump says of its wait: "name (details)". The record must live.
inline task<std::string> wait_seen(detail::task_record* record) {
  for (;;) {
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
