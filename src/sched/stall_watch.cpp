#include "sched/stall_watch.hpp"

#include <algorithm>
#include <utility>

namespace levity::inline v0::detail {

void stall_watch::begin(thread_sign thread, std::int64_t since_ns, std::int64_t tell_after_ns, looker& by) noexcept {
  reader_.emplace(thread);
  const machine_state machine = by.look();
  last_ = reader_->look();
  account_.begin(last_, machine);
  computed_before_ns_ = 0;
  enough_ns_ = computes_ns;
  since_ns_ = since_ns;
  tell_after_ns_ = tell_after_ns;
}

void stall_watch::count_computed_since(std::int64_t cpu_ns) noexcept {
  computed_before_ns_ = std::clamp<std::int64_t>(last_.cpu_ns - cpu_ns, 0, seen_before_ns);
  enough_ns_ = first_computes_ns;
}

void stall_watch::end(stack_sampler& sampler) noexcept {
  if (std::exchange(asked_at_ns_, 0) != 0) sampler.end();
  reader_.reset();
}

bool stall_watch::look(looker& by, stack_sampler& sampler) noexcept {
  last_ = reader_->look();
  account_.add(last_, by.look());
  if (tell_after_ns_ == 0 || lasted_ns() < tell_after_ns_ || !find_stack(sampler)) return false;
  tell_after_ns_ *= 10;
  return true;
}

bool stall_watch::is_stuck(bool in_own_crowd) const noexcept {
  const stall_shares& of = account_.shares();
  if (in_own_crowd && of.on_cpu_ns + of.waiting_ns >= stuck_ns) return true;
  return lacks_ns() <= 0 || of.in_call_ns + of.lock_ns + of.fault_ns + of.unseen_ns >= stuck_ns;
}

// False: there may be an answer later. Without one it is told of with no stack.
bool stall_watch::find_stack(stack_sampler& sampler) noexcept {
  if (asked_at_ns_ != 0) {
    if (!sampler.take(stack_) && last_.at_ns - asked_at_ns_ < answer_ns) return false;
    sampler.end();
    asked_at_ns_ = 0;
    return true;
  }
  stack_ = {};
  if (last_.does == thread_activity::asleep) {
    stack_ = stack_of_sleeper(last_);
    if (reader_->look().cpu_ns != last_.cpu_ns) stack_ = {};  // it has run, and is elsewhere
    return true;
  }
  if (sampler.is_begun()) return false;  // another one's turn
  if (!sampler.begin(reader_->thread())) return true;
  asked_at_ns_ = last_.at_ns;
  return false;
}

}  // namespace levity::detail
