#include "sched/stall_cause.hpp"

#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <utility>

namespace levity::inline v0::detail {
namespace {

// What it takes to give a CPU to another thread is on nobody's clock.
constexpr std::int64_t switch_ns_max = 5'000;

}  // namespace

bool waits_for_lock(int call, const std::array<std::uint64_t, 6>& arguments) noexcept {
  switch (call) {
#ifdef SYS_futex
    case SYS_futex:
#endif
#ifdef SYS_futex_time64
    case SYS_futex_time64:
#endif
#ifdef SYS_futex_waitv
    case SYS_futex_waitv:
#endif
    case SYS_flock: return true;
    case SYS_fcntl: return arguments[1] == F_SETLKW || arguments[1] == F_OFD_SETLKW;
    default: return false;
  }
}

void stall_account::begin(const thread_state& thread, const machine_state& machine) noexcept {
  *this = {};
  began_ns_ = thread.at_ns;
  last_ = thread;
  machine_ = machine;
}

void stall_account::add(const thread_state& thread, const machine_state& machine) noexcept {
  const std::int64_t wall_ns = thread.at_ns - last_.at_ns;
  if (wall_ns <= 0) return;
  // The machine is looked at after the thread, so what was missed between the two belongs to the next interval, and no later one.
  const std::int64_t new_lapse_ns = machine.lapse_ns - machine_.lapse_ns;
  lapse_ns_ += new_lapse_ns;
  std::int64_t rest_ns = wall_ns;
  const auto take = [&rest_ns](std::int64_t wanted_ns) {
    const std::int64_t taken_ns = std::clamp<std::int64_t>(wanted_ns, 0, rest_ns);
    rest_ns -= taken_ns;
    return taken_ns;
  };
  if (thread.does == thread_activity::gone) {  // its counters are not to be had any more
    shares_.hidden_ns += rest_ns;
  } else {
    shares_.on_cpu_ns += take(thread.cpu_ns - last_.cpu_ns);
    const std::int64_t booked_ns = thread.sees_turns && last_.sees_turns ? thread.waited_ns - last_.waited_ns : 0;
    const std::int64_t known_ns = std::clamp<std::int64_t>(booked_ns, 0, ahead_ns_);
    ahead_ns_ -= known_ns;
    shares_.waiting_ns += take(booked_ns - known_ns);
    shares_.stopped_ns += take(machine.outage_ns - machine_.outage_ns);
    add_rest(rest_ns, thread, machine);
  }
  lapse_ns_ = std::clamp<std::int64_t>(new_lapse_ns, 0, std::max<std::int64_t>(lapse_ns_, 0));
  add_counters(thread);
  last_ = thread;
  machine_ = machine;
}

void stall_account::add_rest(std::int64_t ns, const thread_state& now, const machine_state& machine) noexcept {
  switch (now.does) {
    case thread_activity::on_cpu: return add_awake(ns, now, machine);
    case thread_activity::waiting:
      shares_.waiting_ns += ns;
      ahead_ns_ += ns;
      return;
    case thread_activity::stopped: shares_.stopped_ns += ns; return;
    case thread_activity::asleep: return add_asleep(ns, now);
    case thread_activity::hidden:
    case thread_activity::gone: shares_.hidden_ns += ns; return;
  }
}

// A counter that was not to be read before is a sum since the thread began.
void stall_account::add_counters(const thread_state& now) noexcept {
  if (now.sees_faults && last_.sees_faults) {
    major_faults_ += now.major_faults - std::min(last_.major_faults, now.major_faults);
    user_ticks_ += now.user_ticks - std::min(last_.user_ticks, now.user_ticks);
    kernel_ticks_ += now.kernel_ticks - std::min(last_.kernel_ticks, now.kernel_ticks);
  }
  if (now.sees_throttling && last_.sees_throttling) {
    throttled_ns_ += now.throttled_ns - last_.throttled_ns;
    throttled_periods_ns_ += now.throttled_periods_ns - last_.throttled_periods_ns;
  }
}

// It has run, not run, and runs again.
void stall_account::add_awake(std::int64_t ns, const thread_state& now, const machine_state& machine) noexcept {
  const bool was_asleep = last_.does == thread_activity::asleep;
  const bool sees_turns = now.sees_turns && last_.sees_turns;
  if (!was_asleep && sees_turns) {
    const std::uint64_t awaited = last_.does == thread_activity::waiting ? 1 : 0;
    if (now.turns <= last_.turns + awaited) {
      shares_.stolen_ns += ns;
      return;
    }
    const auto switches = static_cast<std::int64_t>(now.turns - last_.turns);
    if (ns <= switches * switch_ns_max) {
      shares_.waiting_ns += ns;
      return;
    }
    const std::int64_t stolen_ns = std::clamp<std::int64_t>(machine.stolen_ns - machine_.stolen_ns, 0, ns);
    shares_.stolen_ns += stolen_ns;
    ns -= stolen_ns;
  }
  if (now.sees_faults && last_.sees_faults && now.major_faults > last_.major_faults) {
    shares_.fault_ns += ns;
  } else if (was_asleep) {
    add_asleep(ns, last_);
  } else if (sees_turns) {
    add_nameless(ns);
  } else {
    shares_.hidden_ns += ns;
  }
}

// It was somewhere, and is back.
void stall_account::add_nameless(std::int64_t ns) noexcept {
  const std::int64_t stopped_ns = std::clamp<std::int64_t>(lapse_ns_, 0, ns);
  lapse_ns_ -= stopped_ns;
  shares_.stopped_ns += stopped_ns;
  if (stopped_ns < ns) add_call(ns - stopped_ns, thread_state::no_call, false);
}

void stall_account::add_asleep(std::int64_t ns, const thread_state& where) noexcept {
  if (!where.sees_call) {
    shares_.unseen_ns += ns;
  } else if (where.call == thread_state::no_call) {
    shares_.fault_ns += ns;
  } else {
    add_call(ns, where.call, waits_for_lock(where.call, where.arguments));
  }
}

void stall_account::add_call(std::int64_t ns, int call, bool is_lock) noexcept {
  (is_lock ? shares_.lock_ns : shares_.in_call_ns) += ns;
  call_share* place = &calls_.front();
  for (call_share& each : calls_) {
    if (each.ns > 0 && each.call == call && each.is_lock == is_lock) {
      each.ns += ns;
      return;
    }
    if (each.ns < place->ns) place = &each;
  }
  // More kinds than places: the least one makes room.
  if (ns > place->ns) *place = {call, is_lock, ns};
}

stall_verdict stall_account::judge() const noexcept {
  stall_verdict said{.shares = shares_};
  const struct {
    stall_cause cause;
    std::int64_t ns;
  } all[] = {{stall_cause::off_cpu, shares_.off_cpu_ns()}, {stall_cause::on_cpu, shares_.on_cpu_ns},
             {stall_cause::fault, shares_.fault_ns},       {stall_cause::lock, shares_.lock_ns},
             {stall_cause::in_call, shares_.in_call_ns},   {stall_cause::unknown, shares_.unseen_ns + shares_.hidden_ns}};
  std::int64_t most_ns = 0;
  for (const auto& each : all) {
    if (each.ns <= most_ns) continue;
    most_ns = each.ns;
    said.cause = each.cause;
  }
  // Of one group and both its processors: more than one thread can have missed.
  // Of a throttling that lasts there are the periods alone.
  said.throttled_ns = std::clamp<std::int64_t>(std::max(throttled_ns_, throttled_periods_ns_), 0, shares_.waiting_ns);
  const std::int64_t crowded_ns = shares_.waiting_ns - said.throttled_ns;
  said.reason = off_cpu_reason::crowded;
  most_ns = crowded_ns;
  for (const auto& [reason, ns] : {std::pair{off_cpu_reason::throttled, said.throttled_ns},
                                   std::pair{off_cpu_reason::stopped, shares_.stopped_ns},
                                   std::pair{off_cpu_reason::stolen, shares_.stolen_ns}}) {
    if (ns <= most_ns) continue;
    most_ns = ns;
    said.reason = reason;
  }
  const bool is_lock = said.cause == stall_cause::lock;
  std::int64_t longest_ns = is_lock || said.cause == stall_cause::in_call ? 0 : said.shares.total_ns();
  for (const call_share& each : calls_) {
    if (each.is_lock != is_lock || each.ns <= longest_ns) continue;
    longest_ns = each.ns;
    said.call = each.call;
  }
  said.major_faults = major_faults_;
  said.user_ticks = user_ticks_;
  said.kernel_ticks = kernel_ticks_;
  return said;
}

}  // namespace levity::detail
