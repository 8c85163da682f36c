#include "platform/child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/system_mutex.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* starting = "starting a process";
constexpr auto wait_by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4

struct left_children {
  system_mutex lock;
  std::vector<pid_t> pids;  // guarded by lock
};

left_children& the_left() {
  static left_children* const instance = new left_children;
  return *instance;
}

void reap_left() noexcept {
  left_children& left = the_left();
  const system_guard guard{left.lock};
  std::erase_if(left.pids, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

std::vector<char*> pointers(const std::vector<std::string>& texts, const std::string* first) {
  std::vector<char*> all;
  all.reserve(texts.size() + 2);
  if (first != nullptr) all.push_back(const_cast<char*>(first->c_str()));
  for (const std::string& each : texts) all.push_back(const_cast<char*>(each.c_str()));
  all.push_back(nullptr);
  return all;
}

// What is done in the child, in order.
class file_actions {
public:
  file_actions() { ::posix_spawn_file_actions_init(&list); }
  file_actions(const file_actions&) = delete;
  file_actions& operator=(const file_actions&) = delete;
  ~file_actions() {
    ::posix_spawn_file_actions_destroy(&list);
    for (const int fd : copies_) kernel::close(fd);
  }

  // Returns an errno.
  int lead(int stream, int to) {
    if (to == spawn_request::null) return ::posix_spawn_file_actions_addopen(&list, stream, "/dev/null", O_RDWR, 0);
    if (to == spawn_request::inherit) {
      // To itself: takes close-on-exec off. What we have closed stays closed.
      return kernel::fcntl(stream, F_GETFD) < 0 ? 0 : ::posix_spawn_file_actions_adddup2(&list, stream, stream);
    }
    if (to <= STDERR_FILENO) {
      // It would be overwritten before its turn.
      to = kernel::fcntl(to, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      if (to < 0) return errno;
      copies_.push_back(to);
    }
    return ::posix_spawn_file_actions_adddup2(&list, to, stream);
  }

  posix_spawn_file_actions_t list;

private:
  std::vector<int> copies_;
};

class attributes {
public:
  explicit attributes(bool new_group) {
    ::posix_spawnattr_init(&list);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&list, &signals);
    ::sigfillset(&signals);
    ::sigdelset(&signals, SIGKILL);
    ::sigdelset(&signals, SIGSTOP);
    ::posix_spawnattr_setsigdefault(&list, &signals);
    const int group = new_group ? POSIX_SPAWN_SETPGROUP : 0;
    ::posix_spawnattr_setpgroup(&list, 0);
    ::posix_spawnattr_setflags(&list, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
  }
  attributes(const attributes&) = delete;
  attributes& operator=(const attributes&) = delete;
  ~attributes() { ::posix_spawnattr_destroy(&list); }

  posix_spawnattr_t list;
};

}  // namespace

io_result<spawned> spawn_child(const spawn_request& request) {
  reap_left();
  file_actions actions;
  int failed = 0;
  for (int stream = 0; stream < 3 && failed == 0; stream++) failed = actions.lead(stream, request.streams[stream]);
  if (failed == 0) failed = ::posix_spawn_file_actions_addclosefrom_np(&actions.list, STDERR_FILENO + 1);
  if (failed == 0 && !request.directory.empty()) {
    failed = ::posix_spawn_file_actions_addchdir_np(&actions.list, request.directory.c_str());
  }
  const attributes how{request.new_group};
  const std::vector<char*> arguments = pointers(request.arguments, &request.program);
  std::vector<char*> environment;
  if (request.environment) environment = pointers(*request.environment, nullptr);
  spawned child;
  if (failed == 0) {
    failed = ::posix_spawnp(&child.pid, request.program.c_str(), &actions.list, &how.list, arguments.data(),
                            request.environment ? environment.data() : environ);
  }
  if (failed != 0) return std::unexpected(io_error::from_errno(failed, starting));
  child.pidfd = kernel::pidfd_open(child.pid);
  if (child.pidfd < 0) {
    const int code = errno;
    ::kill(child.pid, SIGKILL);
    reap(child.pid);
    return std::unexpected(io_error::from_errno(code, starting));
  }
  return child;
}

io_result<child_end> try_reap(int pidfd) noexcept {
  constexpr const char* doing = "waiting for a process";
  siginfo_t told{};
  int done;
  do {
    done = kernel::waitid(wait_by_pidfd, static_cast<id_t>(pidfd), &told, WEXITED | WNOHANG);
  } while (done != 0 && errno == EINTR);
  if (done != 0) return std::unexpected(io_error::from_errno(errno, doing));
  if (told.si_pid == 0) return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  return child_end{told.si_code, told.si_status};
}

void reap(pid_t pid) noexcept {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void leave_child(pid_t pid) {
  {
    left_children& left = the_left();
    const system_guard guard{left.lock};
    left.pids.push_back(pid);
  }
  reap_left();
}

io_result<void> signal_child(int pidfd, int signal) noexcept {
  if (kernel::pidfd_send_signal(pidfd, signal) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "sending a signal to a process"));
}

}  // namespace levity::detail
