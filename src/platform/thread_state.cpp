#include "platform/thread_state.hpp"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "platform/proc_text.hpp"

namespace levity::inline v0::detail {
namespace {

std::uint64_t number_behind(std::string_view name, std::string_view all) noexcept {
  const std::size_t at = all.find(name);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = all.substr(at);
  proc::next_word(rest);
  return proc::number<std::uint64_t>(proc::next_word(rest));
}

// There may be descriptors the next time; whatever else is the matter stays so.
bool passes(int why) noexcept { return why == EMFILE || why == ENFILE || why == ENOMEM; }

// 0: it has none. `why`: what kept the file from being opened.
std::int64_t period_of_quota(const char* folder, bool is_v2, int& why) noexcept {
  char path[4400];
  char text[64];
  std::snprintf(path, sizeof path, "%s/%s", folder, is_v2 ? "cpu.max" : "cpu.cfs_quota_us");
  int fd = proc::open(path, &why);
  std::string_view rest = proc::read(fd, text);
  proc::close(fd);
  const std::string_view quota = proc::next_word(rest);
  if (quota.empty() || quota == "max" || quota == "-1") return 0;
  if (is_v2) return proc::number<std::int64_t>(proc::next_word(rest)) * 1000;
  std::snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
  fd = proc::open(path, &why);
  rest = proc::read(fd, text);
  proc::close(fd);
  return proc::number<std::int64_t>(proc::next_word(rest)) * 1000;
}

// Who is preempted between two readings has torn them apart; then all is read once more.
constexpr std::int64_t look_ns_max = 100'000;
constexpr int looks_max = 3;

constexpr int refused = -2;  // a descriptor that is not to be had

struct path_of {
  char text[64];
  path_of(thread_sign thread, const char* name) noexcept {
    std::snprintf(text, sizeof text, "/proc/self/task/%d/%s", static_cast<int>(thread.id), name);
  }
};

}  // namespace

bool is_runnable(thread_sign thread) noexcept {
  char text[256];
  const int fd = proc::open(path_of(thread, "syscall").text);
  std::string_view rest = proc::read(fd, text);
  proc::close(fd);
  return proc::next_word(rest) == "running";
}

thread_reader::~thread_reader() {
  for (const int fd : {schedstat_, stat_, syscall_}) {
    proc::close(fd);
  }
  for (const group& each : groups_) {
    proc::close(each.fd);
  }
}

thread_state thread_reader::look() noexcept {
  thread_state seen;
  if (thread_.id == 0 || (!is_open_ && !open())) {
    seen.at_ns = kernel_now_ns();
    seen.does = thread_activity::gone;
    return seen;
  }
  for (int i = 0; i < looks_max; i++) {
    seen = {};
    seen.at_ns = kernel_now_ns();
    if (!read_once(seen)) {
      seen.does = thread_activity::gone;
      return seen;
    }
    if (kernel_now_ns() - seen.at_ns <= look_ns_max) break;
  }
  return seen;
}

// False: there is no such thread any more.
bool thread_reader::read_once(thread_state& into) const noexcept {
  into.cpu_ns = thread_.cpu_ns();
  if (into.cpu_ns < 0) return false;
  read_schedstat(into);
  if (!read_stat(into)) return false;
  read_call(into);
  if (into.does == thread_activity::waiting || into.does == thread_activity::hidden) {
    const std::int64_t once = thread_.cpu_ns();
    if (thread_.cpu_ns() > once) into.does = thread_activity::on_cpu;
  }
  into.sees_throttling = knows_groups_;
  for (const group& each : groups_) {
    if (each.fd < 0) break;
    char text[512];
    const std::string_view all = proc::read(each.fd, text);
    into.throttled_periods_ns += static_cast<std::int64_t>(number_behind("\nnr_throttled", all)) * each.period_ns;
    into.throttled_ns += static_cast<std::int64_t>(number_behind("\nthrottled_", all)) * each.scale;  // _time or _usec
  }
  return true;
}

void thread_reader::read_schedstat(thread_state& into) const noexcept {
  char text[96];
  std::string_view rest = proc::read(schedstat_, text);
  proc::next_word(rest);  // what its clock tells, too
  into.waited_ns = proc::number<std::int64_t>(proc::next_word(rest));
  const std::string_view turns = proc::next_word(rest);
  into.turns = proc::number<std::uint64_t>(turns);
  into.sees_turns = into.turns != 0;  // some kernels count none
}

bool thread_reader::read_stat(thread_state& into) const noexcept {
  char text[512];
  int why = 0;
  const std::string_view all = proc::read(stat_, text, &why);
  if (why == ESRCH) return false;
  const std::size_t name_end = all.rfind(')');  // a name may hold blanks and parentheses
  if (name_end == std::string_view::npos) return true;
  std::string_view rest = all.substr(name_end + 1);
  const std::string_view state = proc::next_word(rest);  // field 3
  for (int field = 4; field < 12; field++) proc::next_word(rest);
  into.major_faults = proc::number<std::uint64_t>(proc::next_word(rest));
  proc::next_word(rest);
  into.user_ticks = proc::number<std::uint64_t>(proc::next_word(rest));
  into.kernel_ticks = proc::number<std::uint64_t>(proc::next_word(rest));
  into.sees_faults = true;
  switch (state.empty() ? '\0' : state.front()) {
    case 'R': into.does = thread_activity::waiting; break;
    case 'D': into.is_uninterruptible = true; [[fallthrough]];
    case 'S': into.does = thread_activity::asleep; break;
    case 'T':
    case 't': into.does = thread_activity::stopped; break;
    case 'X':
    case 'Z': return false;
    default: break;
  }
  return true;
}

// Says more than the letter of `stat`: a thread that was preempted on its way to sleep has S there, and is "running" here.
void thread_reader::read_call(thread_state& into) const noexcept {
  if (into.does == thread_activity::stopped) return;
  char text[256];
  std::string_view rest = proc::read(syscall_, text);
  const std::string_view first = proc::next_word(rest);
  if (first.empty()) return;
  if (first == "running") {
    into.does = thread_activity::waiting;
    into.is_uninterruptible = false;
    return;
  }
  into.does = thread_activity::asleep;
  into.sees_call = true;
  into.call = proc::number<int>(first);
  if (into.call >= 0) {
    for (std::uint64_t& each : into.arguments) each = proc::number<std::uint64_t>(proc::next_word(rest));
  } else {
    into.call = thread_state::no_call;
  }
  into.stack_at = proc::number<std::uint64_t>(proc::next_word(rest));
  into.code_at = proc::number<std::uint64_t>(proc::next_word(rest));
}

// The file is asked for the very call that reads it.
bool thread_reader::tells_our_calls() noexcept {
  enum : unsigned char { unknown, no, yes };
  static atomic<unsigned char> known{unknown};
  // Relaxed: whoever finds nothing asks again and gets the same answer.
  if (const unsigned char answer = known.load(std::memory_order_relaxed); answer != unknown) return answer == yes;
  char text[256];
  const int fd = proc::open("/proc/thread-self/syscall");
  std::string_view rest = proc::read(fd, text);
  proc::close(fd);
  const std::string_view first = proc::next_word(rest);
  if (first.empty() || first == "running") return true;  // not known this time
  const bool ours = proc::number<int>(first) == SYS_pread64;
  known.store(ours ? yes : no, std::memory_order_relaxed);
  return ours;
}

// False: there is no such thread any more.
bool thread_reader::open() noexcept {
  struct file {
    int& fd;
    const char* name;
  };
  int wanting = 0;
  for (const file& each : {file{schedstat_, "schedstat"}, file{stat_, "stat"}, file{syscall_, "syscall"}}) {
    if (each.fd != -1) continue;
    int why = 0;
    each.fd = proc::open(path_of(thread_, each.name).text, &why);
    if (each.fd < 0 && !passes(why)) each.fd = refused;
    if (each.fd == -1) wanting++;
  }
  if (syscall_ >= 0 && !tells_our_calls()) {
    proc::close(syscall_);
    syscall_ = refused;
  }
  if (!knows_groups_) knows_groups_ = open_groups();
  is_open_ = wanting == 0 && knows_groups_;
  const bool has_all = schedstat_ >= 0 && stat_ >= 0 && syscall_ >= 0;
  return has_all || ::syscall(SYS_tgkill, ::getpid(), thread_.id, 0) == 0 || errno != ESRCH;
}

// A quota of a group holds for the groups below it, so the ones above ours count. False: descriptors are wanting, and nothing is
// open.
bool thread_reader::open_groups() noexcept {
  char text[4096];
  int why = 0;
  const int fd = proc::open(path_of(thread_, "cgroup").text, &why);
  if (fd < 0) return !passes(why);
  std::string_view lines = proc::read(fd, text);
  proc::close(fd);
  std::size_t found = 0;
  while (!lines.empty() && found < groups_.size()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && controllers != "cpu" && !controllers.starts_with("cpu,") && !controllers.ends_with(",cpu")) continue;
    std::string_view below = line.substr(second + 1);
    if (below == "/") below = {};
    while (found < groups_.size()) {
      for (const char* mount : is_v2 ? std::array{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
                                     : std::array{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
        char folder[4300];
        std::snprintf(folder, sizeof folder, "%s%.*s", mount, static_cast<int>(below.size()), below.data());
        why = 0;
        const std::int64_t period_ns = period_of_quota(folder, is_v2, why);
        if (period_ns == 0 && !passes(why)) continue;
        char file[4400];
        std::snprintf(file, sizeof file, "%s/cpu.stat", folder);
        const int opened = passes(why) ? -1 : proc::open(file, &why);
        if (opened < 0 && passes(why)) {
          for (group& each : groups_) proc::close(std::exchange(each, {}).fd);
          return false;
        }
        if (opened < 0) continue;
        groups_[found++] = {opened, is_v2 ? 1000 : 1, period_ns};
        break;
      }
      if (below.empty()) break;
      below = below.substr(0, below.rfind('/'));
    }
  }
  return true;
}

}  // namespace levity::detail
