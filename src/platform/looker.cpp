#include "platform/looker.hpp"

#include <time.h>

#include <algorithm>

#include "platform/proc_text.hpp"

namespace levity::inline v0::detail {

looker::looker() noexcept
    : schedstat_(proc::open("/proc/thread-self/schedstat")),
      stat_(proc::open("/proc/stat")),
      awake_(read_clocks()) {}

looker::~looker() {
  proc::close(schedstat_);
  proc::close(stat_);
}

void looker::fall_asleep(std::int64_t wanted_ns) noexcept {
  wanted_ns_ = wanted_ns;
  asleep_at_ns_ = kernel_now_ns();
}

void looker::wake_up() noexcept {
  const clocks now = read_clocks();
  const std::int64_t slept_ns = std::min(now.wall_ns - asleep_at_ns_, wanted_ns_);
  const std::int64_t unexplained_ns = now.wall_ns - awake_.wall_ns - slept_ns - (now.busy_ns - awake_.busy_ns);
  // What stopped it may have begun while it slept as wanted.
  if (unexplained_ns > slack_ns) outage_ns_ += unexplained_ns + slept_ns;
  awake_ = now;
}

machine_state looker::look() const noexcept {
  machine_state seen{.outage_ns = outage_ns_};
  char text[160];  // the first line alone
  std::string_view rest = proc::read(stat_, text);
  for (int field = 0; field < 8; field++) proc::next_word(rest);  // cpu user nice system idle iowait irq softirq
  seen.stolen_ns = proc::number<std::int64_t>(proc::next_word(rest)) * 10'000'000;
  return seen;
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
    if (kernel_now_ns() - seen.wall_ns < slack_ns / 10) break;
  }
  return seen;
}

}  // namespace levity::detail
