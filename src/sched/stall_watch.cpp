#include "sched/stall_watch.hpp"

#include <utility>

namespace levity::inline v0::detail {

void stall_watch::begin(thread_sign thread, std::int64_t since_ns, std::int64_t tell_after_ns,
                        const machine_state& machine) noexcept {
  reader_.emplace(thread);
  last_ = reader_->look();
  account_.begin(last_, machine);
  since_ns_ = since_ns;
  tell_after_ns_ = tell_after_ns;
}

void stall_watch::end(stack_sampler& sampler) noexcept {
  if (std::exchange(asked_at_ns_, 0) != 0) sampler.end();
  reader_.reset();
}

bool stall_watch::look(const machine_state& machine, stack_sampler& sampler) noexcept {
  last_ = reader_->look();
  account_.add(last_, machine);
  if (tell_after_ns_ == 0 || lasted_ns() < tell_after_ns_ || !find_stack(sampler)) return false;
  tell_after_ns_ *= 10;
  return true;
}

bool stall_watch::is_stuck(std::int64_t computed_ns) const noexcept {
  const stall_shares& of = account_.shares();
  return of.on_cpu_ns >= computed_ns || of.in_call_ns + of.lock_ns + of.fault_ns + of.unseen_ns >= stuck_ns;
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
    if (reader_->look().turns != last_.turns) stack_ = {};  // it has run, and is elsewhere
    return true;
  }
  if (sampler.is_begun()) return false;  // another one's turn
  if (!sampler.begin(reader_->thread())) return true;
  asked_at_ns_ = last_.at_ns;
  return false;
}

}  // namespace levity::detail
