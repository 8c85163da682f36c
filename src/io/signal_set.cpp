#include "levity/io/signal_set.hpp"

#include <unistd.h>

#include <utility>

#include "io/event_wait.hpp"
#include "io/simulated_signals.hpp"
#include "levity/task/detail/executor.hpp"
#include "platform/signal_counts.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* waiting = "waiting for a signal";

const wait_reason signal_reason{"signal", &event_wait::take_back, nullptr, nullptr};

}  // namespace

signal_set::signal_set(signal_set&& other) noexcept
    : simulated_(std::exchange(other.simulated_, nullptr)), bell_(std::exchange(other.bell_, nullptr)),
      wanted_(std::move(other.wanted_)), turn_(other.turn_) {}

signal_set& signal_set::operator=(signal_set&& other) noexcept {
  std::swap(simulated_, other.simulated_);
  std::swap(bell_, other.bell_);
  std::swap(wanted_, other.wanted_);
  std::swap(turn_, other.turn_);
  return *this;
}

io_result<signal_set> signal_set::open(std::initializer_list<int> signals) {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a set of signals is opened inside a task");
  signal_set set;
  set.simulated_ = here->signals();
  set.wanted_.reserve(signals.size());
  for (const int signal : signals) {
    const io_result<void> subscribed = set.subscribe(signal);
    if (!subscribed) return std::unexpected(subscribed.error());
    set.wanted_.push_back({signal, set.count_of(signal)});
  }
  if (const io_result<void> opened = set.open_bell(); !opened) return std::unexpected(opened.error());
  return set;
}

io_result<void> signal_set::subscribe(int signal) noexcept {
  return simulated_ != nullptr ? simulated_->subscribe(signal) : subscribe_signal(signal);
}

std::uint64_t signal_set::count_of(int signal) const noexcept {
  return simulated_ != nullptr ? simulated_->count(signal) : signal_count(signal);
}

io_result<void> signal_set::open_bell() {
  if (simulated_ != nullptr) {
    bell_ = &simulated_->open_bell();
    return {};
  }
  const io_result<int> fd = open_signal_bell();
  if (!fd) return std::unexpected(fd.error());
  const io_result<endpoint*> watched = current_run().exec->home_reactor().adopt(*fd);
  if (!watched) return std::unexpected(watched.error());
  bell_ = *watched;
  return {};
}

task<io_result<int>> signal_set::next() {
  if (bell_ == nullptr) co_return std::unexpected(io_error{io_failure::closed, 0, waiting});
  for (;;) {
    bell_->reading.clear();
    for (std::size_t i = 0; i < wanted_.size(); i++) {
      wanted& each = wanted_[(turn_ + i) % wanted_.size()];
      const std::uint64_t count = count_of(each.signal);
      if (count == each.seen) continue;
      each.seen = count;
      turn_ += i + 1;
      bell_->reading.mark_ready();  // the edge may have told of others too
      co_return each.signal;
    }
    const cancel_reason why = co_await event_wait{signal_reason, *bell_, true};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, waiting));
  }
}

void signal_set::close() noexcept {
  for (const wanted& each : wanted_) {
    if (simulated_ != nullptr) {
      simulated_->unsubscribe(each.signal);
    } else {
      unsubscribe_signal(each.signal);
    }
  }
  wanted_.clear();
  endpoint* open = std::exchange(bell_, nullptr);
  if (open == nullptr) return;
  if (simulated_ != nullptr) {
    simulated_->close_bell(*open);
  } else {
    open->home->close(*open, false);
  }
}

}  // namespace levity
