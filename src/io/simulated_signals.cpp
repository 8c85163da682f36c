#include "io/simulated_signals.hpp"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

simulated_signals::fate simulated_signals::raise(int signal) noexcept {
  LEVITY_ASSERT(signal > 0 && signal < signals_max, "a signal is a number from 1 to 64");
  if (is_over_) return fate::ignored;  // nobody is there any more
  const auto at = static_cast<std::size_t>(signal);
  if (subscribers_[at] != 0) {
    counts_[at]++;
    for (endpoint* bell : bells_) {
      if (task_record* waits = bell->reading.event()) wake(*waits);
    }
    return fate::taken;
  }
  return handles_ && (signal == SIGINT || signal == SIGTERM || signal == SIGQUIT) ? handled(signal) : by_default(signal);
}

simulated_signals::fate simulated_signals::raise_before_run(int signal) noexcept {
  LEVITY_ASSERT(signal > 0 && signal < signals_max, "a signal is a number from 1 to 64");
  return is_over_ ? fate::ignored : by_default(signal);
}

// As the runtime does with those that it hears itself.
simulated_signals::fate simulated_signals::handled(int signal) noexcept {
  if (signal == SIGQUIT) {
    if (on_quit) on_quit();
    return fate::printed;
  }
  if (asked_ != 0) return end(signal);
  asked_ = signal;
  runs_.root_scope().cancel(cancel_reason::shutdown);
  return fate::cancels;
}

simulated_signals::fate simulated_signals::by_default(int signal) noexcept {
  switch (signal) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGPIPE:  // a runtime keeps it out: a peer that went away is a value
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return fate::ignored;
    default: return end(signal);
  }
}

simulated_signals::fate simulated_signals::end(int signal) noexcept {
  ended_by_ = signal;
  is_over_ = true;
  if (on_end) on_end(128 + signal);
  return fate::ends;
}

bool simulated_signals::end_program(int code) noexcept {
  if (!on_end) return false;
  if (!std::exchange(is_over_, true)) on_end(code);
  return true;
}

io_result<void> simulated_signals::subscribe(int signal) noexcept {
  if (!can_be_caught(signal)) return std::unexpected(io_error{io_failure::invalid, EINVAL, "subscribing to a signal"});
  subscribers_[static_cast<std::size_t>(signal)]++;
  return {};
}

void simulated_signals::unsubscribe(int signal) noexcept { subscribers_[static_cast<std::size_t>(signal)]--; }

endpoint& simulated_signals::open_bell() {
  bells_.reserve(bells_.size() + 1);
  endpoint& bell = allocate_endpoint();
  bells_.push_back(&bell);
  return bell;
}

void simulated_signals::close_bell(endpoint& bell) noexcept {
  bells_.erase(std::find(bells_.begin(), bells_.end(), &bell));
  free_endpoint(bell);
}

bool is_seen_by_others() noexcept {
  const simulated_signals* const of_world = current_run().exec->signals();
  return of_world == nullptr || !of_world->is_over();
}

}  // namespace levity::detail
