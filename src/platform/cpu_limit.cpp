#include "platform/cpu_limit.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>
#include <utility>

#include "platform/syscall.hpp"
#include "platform/text_file.hpp"

namespace levity::inline v0::detail {
namespace {

unsigned limit_of(const cpu_set& allowed, std::optional<double> quota) {
  unsigned cpus = allowed.count();
  // The quota of a machine of many CPUs may be any number.
  if (quota && *quota < cpus) cpus = static_cast<unsigned>(std::ceil(*quota));
  return std::max(cpus, 1U);
}

unsigned cpus_on_line() {
  const std::optional<cpu_set> read = cpu_set::parse(read_text("/sys/devices/system/cpu/online").value_or(""));
  return read ? read->count() : 1;
}

}  // namespace

cpu_limit::cpu_limit(std::string proc, cpu_set allowed)
    : proc_(std::move(proc)),
      allowed_first_(std::move(allowed)),
      allowed_now_(allowed_first_),
      cpus_(limit_of(allowed_first_, std::nullopt)),
      highest_(cpus_) {
  refresh();
}

cpu_limit::~cpu_limit() {
  if (events_fd_ >= 0) kernel::close(events_fd_);
}

bool cpu_limit::refresh() noexcept {
  try {
    if (events_fd_ < 0) events_fd_ = kernel::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    drain();
    const cgroups groups(proc_);
    watch(groups.written());
    if (!read(groups)) return false;
  } catch (...) {
    is_followed_ = false;  // what was drained may have been the news
    return false;
  }
  if (on_change) on_change(cpus_);
  return true;
}

// What the events say does not matter: everything is read anew.
void cpu_limit::drain() noexcept {
  alignas(inotify_event) char events[4096];
  while (events_fd_ >= 0) {
    const ssize_t got = kernel::read(events_fd_, events, sizeof events);
    if (got <= 0 && !(got < 0 && errno == EINTR)) return;
  }
}

// A file that is watched already keeps its watch, one that was not there before gets one now.
void cpu_limit::watch(const std::vector<std::string>& files) {
  std::vector<watched> now;
  now.reserve(files.size());
  is_followed_ = events_fd_ >= 0;
  for (const std::string& file : files) {
    int number = -1;
    if (events_fd_ >= 0) {
      number = kernel::inotify_add_watch(events_fd_, file.c_str(), IN_MODIFY);
      if (number < 0 && errno != ENOENT) {
        is_followed_ = false;
        const auto same = [&file](const watched& each) { return each.file == file; };
        const auto before = std::find_if(watches_.begin(), watches_.end(), same);
        if (before != watches_.end()) number = before->number;
      }
    }
    now.push_back({file, number});
  }
  for (const watched& before : watches_) {
    const auto same = [&before](const watched& each) { return each.number == before.number; };
    if (before.number >= 0 && std::none_of(now.begin(), now.end(), same)) kernel::inotify_rm_watch(events_fd_, before.number);
  }
  watches_ = std::move(now);
}

bool cpu_limit::read(const cgroups& from) {
  const std::optional<cpu_set> left = from.cpus();
  const std::optional<double> quota = from.cpu_quota();
  if (!is_known_) {
    is_narrowed_ = left && (*left & allowed_first_) != *left;
    if (left && !is_narrowed_) highest_ = std::max(highest_, cpus_on_line());
    is_known_ = true;
  }
  cpu_set allowed = allowed_first_;
  if (left) {
    if (is_narrowed_) allowed = allowed & *left;
    if (!is_narrowed_ || allowed.empty()) allowed = *left;
  }
  const unsigned cpus = limit_of(allowed, quota);
  const bool changed = cpus != cpus_ || allowed != allowed_now_;
  cpus_ = cpus;
  allowed_now_ = std::move(allowed);
  return changed;
}

}  // namespace levity::detail
