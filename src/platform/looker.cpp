#include "platform/looker.hpp"

#include <time.h>

#include <algorithm>

#include "platform/proc_text.hpp"

namespace levity::inline v0::detail {

looker::looker() noexcept
    : schedstat_(proc::open("/proc/thread-self/schedstat")),
      stat_(proc::open("/proc/stat")),
      awake_at_ns_(kernel_now_ns()),
      busy_before_ns_(busy_ns()) {}

looker::~looker() {
  proc::close(schedstat_);
  proc::close(stat_);
}

void looker::fall_asleep(std::int64_t wanted_ns) noexcept {
  wanted_ns_ = wanted_ns;
  asleep_at_ns_ = kernel_now_ns();
}

void looker::wake_up() noexcept {
  const std::int64_t now_ns = kernel_now_ns();
  const std::int64_t busy_now_ns = busy_ns();
  const std::int64_t slept_ns = std::min(now_ns - asleep_at_ns_, wanted_ns_);
  const std::int64_t unexplained_ns = now_ns - awake_at_ns_ - slept_ns - (busy_now_ns - busy_before_ns_);
  // What stopped it may have begun while it slept as wanted.
  if (unexplained_ns > slack_ns) outage_ns_ += unexplained_ns + slept_ns;
  awake_at_ns_ = now_ns;
  busy_before_ns_ = busy_now_ns;
}

machine_state looker::look() const noexcept {
  machine_state seen{.outage_ns = outage_ns_};
  char text[160];  // the first line alone
  std::string_view rest = proc::read(stat_, text);
  for (int field = 0; field < 8; field++) proc::next_word(rest);  // cpu user nice system idle iowait irq softirq
  seen.stolen_ns = proc::number<std::int64_t>(proc::next_word(rest)) * 10'000'000;
  return seen;
}

std::int64_t looker::busy_ns() const noexcept {
  timespec ran{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
  char text[96];
  std::string_view rest = proc::read(schedstat_, text);
  proc::next_word(rest);
  return std::int64_t{ran.tv_sec} * 1'000'000'000 + ran.tv_nsec + proc::number<std::int64_t>(proc::next_word(rest));
}

}  // namespace levity::detail
