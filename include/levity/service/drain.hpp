#pragma once

// drain: how a service ends: by its own hand, in order, and before somebody ends it otherwise.
//
//   state          moved by                                  what is to be done then
//   serving        (at first)
//   -> noticing    signal()                                  say that it is not ready: balancers need a while to hear of it; each
//                                                            answer is its connection's last
//   -> finishing   look(), `notice` after the signal         accept nothing more, finish what is under way
//   -> ended       look(), nothing is under way              exit with 0
//   -> cut_off     look(), `bound` after the signal, or a    exit with `overdue_code`, whatever is under way
//                  second signal
//
// States follow each other in this order, each is entered once, and all of it has ended at most `bound` after the first signal, if
// somebody looks when next_look() says.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "levity/base/clock.hpp"
#include "levity/http/server.hpp"
#include "levity/io/tcp_listener.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::service {

class health;
class log;

/// How long an end may take.
struct drain_options {
  duration notice{};  ///< after the signal, while it still accepts; behind a balancer twice its probe's period
  /// After the signal, for everything, also for what the main task does after serve_until_told(): the last lines of a log have a
  /// tenth of it, a second at most. Below what a cluster waits before it kills.
  duration bound = std::chrono::seconds(30);
  int overdue_code = 1;                           ///< the exit code where not everything could be finished
};

/// Where a service stands.
enum class drain_state : std::uint8_t {
  serving,    ///< nobody has told it to end
  noticing,   ///< it says that it is not ready, and serves
  finishing,  ///< it accepts nothing, and finishes what is under way
  ended,      ///< nothing is left
  cut_off,    ///< the time is over, or somebody insisted
};

/// The enumerator's name, for logs.
[[nodiscard]] std::string_view to_string(drain_state of) noexcept;

/// The state machine. One thread at a time; reads no clock.
class drain {
public:
  /// A notice that is longer than the bound is cut to it.
  explicit drain(drain_options options = {}) noexcept;

  /// Somebody wants the service to end. The second time: at once. Returns the state.
  drain_state signal(time_point now) noexcept;
  /// Moves on if it is time to; `under_way` is what is not finished yet. Returns the state; one that was not there before wants its
  /// action.
  drain_state look(time_point now, std::size_t under_way) noexcept;

  /// Where it stands.
  [[nodiscard]] drain_state state() const noexcept { return state_; }
  /// When a look changes something at the latest; none while serving, and when all is over.
  [[nodiscard]] std::optional<time_point> next_look() const noexcept;
  /// 0, or overdue_code when cut off.
  [[nodiscard]] int exit_code() const noexcept { return state_ == drain_state::cut_off ? options_.overdue_code : 0; }

private:
  drain_options options_;
  drain_state state_ = drain_state::serving;
  time_point signalled_;
};

/// What serve_until_told() does besides serving; each may be null.
struct serving_companions {
  health* probes = nullptr;  ///< started() at the start, begin_drain() at the first signal
  log* notes = nullptr;      ///< hears of each state; flushed at the end, but not after a second signal
  /// Called instead of ending the process when the time is over; for tests.
  void (*cut_off)(int code) = nullptr;
};

/// Serves until SIGTERM or SIGINT comes, then drains as said above, and returns the exit code; also when the listener fails, with
/// overdue_code. When the time is over, or a second signal comes, the process ends at once, by _exit with overdue_code, for a
/// handler that does not end cannot be made to. That holds until the main task has ended, or the lv::runtime goes: also for scopes
/// that are joined after the return. For the main task of a process.
///
/// Signals are its own from the call's first step on. When its task is cancelled, which a signal that came before has lv::run do,
/// it cancels the connections, waits for all of them, however long that takes (`bound` counts from a signal that it has heard), and
/// throws `cancelled`.
task<int> serve_until_told(http::server* server, tcp_listener listener, drain_options options, serving_companions companions = {});

}  // namespace levity::service
