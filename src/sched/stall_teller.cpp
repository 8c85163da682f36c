#include "sched/stall_teller.hpp"

#include <utility>

namespace levity::inline v0::detail {

bool stall_teller::tell(const stalled_task& what) noexcept {
  {
    const system_guard guard{lock_};
    if (count_ == waiting_max) return false;
    waiting_[(first_ + count_) % waiting_max] = what;
    count_++;
    if (std::exchange(under_way_, true)) return true;
  }
  if (!threads_.submit_at_once(*this)) hear_all(*this);
  return true;
}

bool stall_teller::take(stalled_task& into) noexcept {
  const system_guard guard{lock_};
  under_way_ = count_ != 0;
  if (!under_way_) return false;
  into = waiting_[first_];
  first_ = (first_ + 1) % waiting_max;
  count_--;
  return true;
}

void stall_teller::hear_all(blocking_job& job) noexcept {
  auto& self = static_cast<stall_teller&>(job);
  for (stalled_task next; self.take(next);) self.listener_->hear(next);
}

}  // namespace levity::detail
