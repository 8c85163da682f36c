#include "platform/looker.hpp"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "platform/proc_text.hpp"

namespace levity::inline v0::detail {

std::int64_t late_sleeps::outage_of(std::int64_t slept_ns, std::int64_t wanted_ns, std::int64_t busy_ns) noexcept {
  if (slept_ns < wanted_ns) return 0;  // it was woken before: no timer has shown how late it is
  const std::int64_t late_ns = std::max<std::int64_t>(slept_ns - wanted_ns - busy_ns, 0);
  const std::int64_t more_ns = late_ns - usual_ns();
  last_ns_[known_++ % last_ns_.size()] = late_ns;
  if (more_ns <= slack_ns) return 0;
  return more_ns > much_longer * wanted_ns ? more_ns + wanted_ns : more_ns;
}

std::int64_t late_sleeps::usual_ns() const noexcept {
  if (known_ == 0) return 0;
  auto sorted = last_ns_;
  const std::size_t size = std::min(known_, sorted.size());
  const std::size_t middle = (size - 1) / 2;  // of two the lesser: the first stop is not usual
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(middle),
                   sorted.begin() + static_cast<std::ptrdiff_t>(size));
  return sorted[middle];
}

looker::looker() noexcept
    : timer_slack_ns_(::prctl(PR_GET_TIMERSLACK)),
      schedstat_(proc::open("/proc/thread-self/schedstat")),
      stat_(proc::open("/proc/stat")),
      asleep_(read_clocks()),
      awake_(asleep_) {
  keep_timers_exact(true);
}

looker::~looker() {
  proc::close(schedstat_);
  proc::close(stat_);
  keep_timers_exact(false);
}

void looker::keep_timers_exact(bool wanted) noexcept {
  if (timer_slack_ns_ <= 0 || std::exchange(has_exact_timers_, wanted) == wanted) return;
  ::prctl(PR_SET_TIMERSLACK, wanted ? 1UL : static_cast<unsigned long>(timer_slack_ns_));
}

void looker::fall_asleep(std::int64_t wanted_ns) noexcept {
  wanted_ns_ = wanted_ns;
  asleep_ = read_clocks();
  note_lapse(asleep_);
}

void looker::wake_up() noexcept {
  awake_ = read_clocks();
  outage_ns_ += sleeps_.outage_of(awake_.wall_ns - asleep_.wall_ns, wanted_ns_, awake_.busy_ns - asleep_.busy_ns);
}

void looker::note_lapse(const clocks& now) noexcept {
  const std::int64_t missed_ns = (now.wall_ns - awake_.wall_ns) - (now.busy_ns - awake_.busy_ns);
  if (awake_.wall_ns != 0 && missed_ns > late_sleeps::slack_ns) lapse_ns_ += missed_ns;
  awake_ = now;
}

machine_state looker::look() noexcept {
  const std::int64_t now_ns = kernel_now_ns();
  if (stolen_at_ns_ == 0 || now_ns - stolen_at_ns_ >= stolen_pause_ns) {
    stolen_at_ns_ = now_ns;
    char text[160];  // the first line alone
    std::string_view rest = proc::read(stat_, text);
    for (int field = 0; field < 8; field++) proc::next_word(rest);  // cpu user nice system idle iowait irq softirq
    stolen_ns_ = proc::number<std::int64_t>(proc::next_word(rest)) * 10'000'000;
  }
  // Only if it may have missed something its waits for a CPU are read, too.
  if (now_ns - awake_.wall_ns > late_sleeps::slack_ns) note_lapse(read_clocks());
  return {.outage_ns = outage_ns_, .lapse_ns = lapse_ns_, .stolen_ns = stolen_ns_};
}

looker::clocks looker::read_clocks() const noexcept {
  clocks seen;
  // Who is preempted between the two has torn them apart: what one says is missing would be an outage the next time.
  for (int i = 0; i < 5; i++) {
    seen.wall_ns = kernel_now_ns();
    timespec ran{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
    char text[96];
    std::string_view rest = proc::read(schedstat_, text);
    proc::next_word(rest);
    seen.busy_ns = std::int64_t{ran.tv_sec} * 1'000'000'000 + ran.tv_nsec + proc::number<std::int64_t>(proc::next_word(rest));
    if (kernel_now_ns() - seen.wall_ns < late_sleeps::slack_ns / 10) break;
  }
  return seen;
}

}  // namespace levity::detail
