#pragma once

// select_core: waiting for the first of several channel operations and timers. The protocol, with the claim word that decides who
// is first, is in channel_core.hpp.
//
// One select, from start to end
//   1  values to send are made loads
//   2  all channels are locked, in the order of their addresses; the cases are tried in random order; the first that can be
//      done is done
//   3  if none can: `otherwise` is done, if it is a case; else every case is queued in its channel, the channels are
//      unlocked, the timers armed, the task parks
//   4  one claim of the word wins and wakes the task
//   5  the task unlinks the other cases, disarms the timers and moves the values of sends that did not happen back
//
// The choice among ready cases is uniform. It is drawn from a generator seeded by the task's number and a counter in the first
// channel: no state to keep, and in a seeded runtime the same run makes the same choices.

#include <cstdint>
#include <span>

#include "levity/base/clock.hpp"
#include "levity/sync/detail/channel_core.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"

namespace levity::inline v0::detail {

struct select_case : channel_case {
  enum class kind : std::uint8_t { receive, send, timer, otherwise };

  channel_core* core;  // null for a timer, and for otherwise
  kind what;

  select_case(kind of, channel_core* on) noexcept : core(on), what(of) {}
};

class select_core;

struct select_timer : select_case {
  struct node : timer_node {
    select_timer* of = nullptr;
  };

  std::int64_t ns;      // from the start of the wait, or on the clock
  bool absolute;
  select_core* owner = nullptr;
  node timer;

  select_timer(std::int64_t time_ns, bool is_absolute) noexcept
      : select_case(kind::timer, nullptr), ns(time_ns), absolute(is_absolute) {}
  // Moves only before it is armed.
  select_timer(select_timer&& other) noexcept : select_timer(other.ns, other.absolute) {}
};

class select_core : public waiter {
public:
  static constexpr std::size_t cases_max = 16;

  // Moves only before it is awaited (GCC moves what await_transform passes through).
  select_core(select_core&&) noexcept : select_core() {}
  select_core& operator=(select_core&&) = delete;
  bool await_ready() const noexcept { return false; }

  /// One look at all cases, and parking if none is ready. True: the select is decided. For the runtime.
  bool attempt(task_record& record) noexcept;

protected:
  select_core() noexcept : waiter{&reason_} {}

  void begin(std::span<select_case*> cases) noexcept { cases_ = cases; }
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  /// Leaves all queues. The index of the case that won; select_word::cancelled if the task was cancelled first.
  int finish() noexcept;
  [[nodiscard]] channel_error refusal() const noexcept {
    return to_channel_error(channel_status::cancelled, why_);
  }

private:
  static std::int64_t passed(timer_node& node) noexcept;
  static bool settle(waiter& self, task_record& record) noexcept;
  static bool take_back(waiter& self, task_record& record) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  select_word word_;
  bool decided_ = false;  // without waiting
  bool queued_ = false;
  cancel_reason why_ = cancel_reason::none;
  task_record* record_ = nullptr;
  std::span<select_case*> cases_;
};

}  // namespace levity::detail
