#pragma once

// What a watchdog does about one thread, for tests and benches of why it stands still.

#include <time.h>

#include "platform/looker.hpp"
#include "platform/thread_state.hpp"
#include "sched/stall_cause.hpp"
#include "tests/support/stalls.hpp"

namespace levity::test {

/// A thread, seen from another one.
class watched {
public:
  explicit watched(staller& one) : one_(one), at_(one.sign()) {}

  /// Begins a stall and sees it begin. The account begins where a watchdog's would: at the second look that sees the same task.
  void begin(stall& in) {
    in.prepare();
    number_ = one_.number() + 1;
    one_.begin();
    while (!lasts() && one_.number() < number_) tick();
    tick();
    const detail::machine_state machine = by_.look();
    last_ = at_.look();
    account.begin(last_, machine);
    two_looks.begin(last_, machine);
  }
  /// Begins the account anew where the thread is first seen asleep: on a busy machine it takes its time to get there.
  void begin_when_asleep() {
    while (last_.does != detail::thread_activity::asleep && lasts()) begin_anew();
    begin_anew();
  }
  /// One more look after a millisecond. False: the stall was over.
  bool look() {
    tick();
    const detail::thread_state seen = at_.look();
    const detail::machine_state machine = by_.look();
    if (!lasts()) return false;
    account.add(seen, machine);
    last_ = seen;
    last_machine_ = machine;
    return true;
  }
  /// As look(), until so much has been seen.
  bool look_for(std::int64_t ns) {
    while (last_.at_ns - account.began_ns() < ns) {
      if (!look()) return false;
    }
    two_looks.add(last_, last_machine_);
    return true;
  }
  [[nodiscard]] bool lasts() const { return one_.number() == number_; }
  [[nodiscard]] std::int64_t last_ns() const { return last_.at_ns; }
  [[nodiscard]] const detail::thread_state& last() const { return last_; }

  detail::stall_account account;    // fed every millisecond
  detail::stall_account two_looks;  // fed with the first and the last look alone

private:
  void begin_anew() {
    tick();
    const detail::machine_state machine = by_.look();
    last_ = at_.look();
    account.begin(last_, machine);
  }
  void tick() {
    constexpr std::int64_t period_ns = 1'000'000;
    const timespec period{.tv_sec = 0, .tv_nsec = period_ns};
    by_.fall_asleep(period_ns);
    ::nanosleep(&period, nullptr);
    by_.wake_up();
  }

  staller& one_;
  detail::thread_reader at_;
  detail::looker by_;
  std::uint64_t number_ = 0;
  detail::thread_state last_;
  detail::machine_state last_machine_;
};

}  // namespace levity::test
