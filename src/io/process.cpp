#include "levity/io/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <new>

#include "io/event_wait.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/executor.hpp"
#include "platform/child.hpp"
#include "platform/syscall.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* starting = "starting a process";
constexpr const char* waiting = "waiting for a process";

const wait_reason exit_reason{"process exit", &event_wait::take_back, nullptr, &event_wait::describe};

// Starts a child on a thread that may block.
class spawn_wait : waiter, blocking_job {
public:
  explicit spawn_wait(const spawn_request& request) noexcept
      : waiter{&reason_}, blocking_job{nullptr, &run_it}, request_(request) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_record& record = detail::running_task();
    if (const cancel_reason why = pending_cancel(record); why != cancel_reason::none) {
      outcome_ = std::unexpected(to_io_error(why, starting));
      return false;
    }
    task_ = &record;
    prepare_wait(record, frame, *this);
    current_run().exec->offload(*this);
    return commit_wait(record);
  }

  io_result<spawned> await_resume() const noexcept { return outcome_; }

private:
  static void run_it(blocking_job& job) noexcept {
    auto& self = static_cast<spawn_wait&>(job);
    try {
      self.outcome_ = spawn_child(self.request_);
    } catch (const std::bad_alloc&) {
      self.outcome_ = std::unexpected(io_error{io_failure::no_memory, ENOMEM, starting});
    }
    wake(*self.task_);
  }
  static bool runs_to_its_end(waiter&, task_record&) noexcept { return false; }
  static void describe(const waiter& self, char* text, std::size_t size) noexcept {
    std::snprintf(text, size, "%s", static_cast<const spawn_wait&>(self).request_.program.c_str());
  }
  static const wait_reason reason_;

  const spawn_request& request_;
  task_record* task_ = nullptr;
  io_result<spawned> outcome_ = std::unexpected(io_error{io_failure::other});
};

const wait_reason spawn_wait::reason_{"process start", &runs_to_its_end, nullptr, &describe};

// Waits, on a thread that may block, for a child that was killed.
struct reaping : blocking_job {
  pid_t pid;
};

void reap_later(pid_t pid) noexcept {
  executor* here = current_run().exec;
  if (here == nullptr || here->simulated()) return detail::reap(pid);
  try {
    auto* job = new (frame_allocate(sizeof(reaping))) reaping;
    job->pid = pid;
    job->run = [](blocking_job& done) noexcept {
      const pid_t child = static_cast<reaping&>(done).pid;
      frame_free(&done, sizeof(reaping));
      detail::reap(child);
    };
    here->offload(*job);
  } catch (const std::bad_alloc&) {
    detail::reap(pid);
  }
}

// Descriptors that are closed here, however the start goes.
struct child_ends {
  int fds[3] = {-1, -1, -1};
  ~child_ends() {
    for (const int fd : fds) {
      if (fd >= 0) kernel::close(fd);
    }
  }
};

// A pipe whose end for us does not block, and whose end for the child does.
io_result<int> open_pipe(bool we_write, int& childs) noexcept {
  int fds[2];
  if (kernel::pipe2(fds, O_CLOEXEC) != 0) return std::unexpected(io_error::from_errno(errno, starting));
  const int ours = fds[we_write ? 1 : 0];
  childs = fds[we_write ? 0 : 1];
  kernel::fcntl(ours, F_SETFL, kernel::fcntl(ours, F_GETFL) | O_NONBLOCK);
  return ours;
}

}  // namespace

process::process(process&& other) noexcept
    : input(std::move(other.input)),
      output(std::move(other.output)),
      errors(std::move(other.errors)),
      pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::exchange(other.pidfd_, nullptr)),
      ended_(other.ended_.load(std::memory_order_relaxed)),
      exit_(other.exit_) {}

process& process::operator=(process&& other) noexcept {
  std::swap(input, other.input);
  std::swap(output, other.output);
  std::swap(errors, other.errors);
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  const bool theirs = other.ended_.load(std::memory_order_relaxed);
  other.ended_.store(ended_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  ended_.store(theirs, std::memory_order_relaxed);
  std::swap(exit_, other.exit_);
  return *this;
}

process::~process() {
  if (pidfd_ == nullptr) return;
  if (!ended_.load(std::memory_order_relaxed)) {
    (void)signal_child(pidfd_->fd, SIGKILL);
    if (!try_reap(pidfd_->fd)) reap_later(pid_);
  }
  let_go();
}

void process::let_go() noexcept {
  if (endpoint* open = std::exchange(pidfd_, nullptr)) open->home->close(*open, false);
}

task<io_result<process>> process::spawn(command what) {
  if (current_run().exec->simulated()) {
    co_return std::unexpected(io_error{io_failure::unsupported, 0, starting});
  }
  spawn_request request;
  request.program = std::move(what.program);
  request.arguments = std::move(what.arguments);
  request.environment = std::move(what.environment);
  request.directory = std::move(what.directory);
  request.new_group = what.new_group;
  process child;
  child_ends theirs;
  const child_stream streams[3] = {what.input, what.output, what.errors};
  for (int i = 0; i < 3; i++) {
    switch (streams[i].what_) {
      case child_stream::kind::inherit: request.streams[i] = spawn_request::inherit; break;
      case child_stream::kind::null: request.streams[i] = spawn_request::null; break;
      case child_stream::kind::descriptor:
        if (streams[i].fd_ < 0) co_return std::unexpected(io_error{io_failure::closed, 0, starting});
        request.streams[i] = streams[i].fd_;
        break;
      case child_stream::kind::pipe: {
        const io_result<int> ours = open_pipe(i == 0, theirs.fds[i]);
        if (!ours) co_return std::unexpected(ours.error());
        request.streams[i] = theirs.fds[i];
        if (i == 0) {
          io_result<pipe_writer> end = pipe_writer::adopt(*ours);
          if (!end) co_return std::unexpected(end.error());
          child.input = std::move(*end);
        } else {
          io_result<pipe_reader> end = pipe_reader::adopt(*ours);
          if (!end) co_return std::unexpected(end.error());
          (i == 1 ? child.output : child.errors) = std::move(*end);
        }
        break;
      }
    }
  }
  const io_result<spawned> started = co_await spawn_wait{request};
  if (!started) co_return std::unexpected(started.error());
  const io_result<endpoint*> watched = current_run().exec->home_reactor().adopt(started->pidfd);
  if (!watched) {
    ::kill(started->pid, SIGKILL);
    reap_later(started->pid);
    co_return std::unexpected(watched.error());
  }
  child.pid_ = started->pid;
  child.pidfd_ = *watched;
  co_return child;
}

task<io_result<process_exit>> process::wait() {
  if (ended_.load(std::memory_order_relaxed)) co_return exit_;
  if (pidfd_ == nullptr) co_return std::unexpected(io_error{io_failure::closed, 0, waiting});
  for (;;) {
    pidfd_->reading.clear();
    const io_result<child_end> end = try_reap(pidfd_->fd);
    if (end) {
      exit_ = end->code == CLD_EXITED ? process_exit{end->status, 0} : process_exit{0, end->status};
      ended_.store(true, std::memory_order_relaxed);
      co_return exit_;
    }
    if (end.error() != io_failure::would_block) co_return std::unexpected(end.error());
    const cancel_reason why = co_await event_wait{exit_reason, *pidfd_, true};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, waiting));
  }
}

io_result<void> process::kill(int signal) noexcept {
  if (pidfd_ == nullptr || ended_.load(std::memory_order_relaxed)) {
    return std::unexpected(io_error{io_failure::closed, 0, "sending a signal to a process"});
  }
  return signal_child(pidfd_->fd, signal);
}

void process::detach() {
  if (pidfd_ == nullptr) return;
  if (!ended_.load(std::memory_order_relaxed)) leave_child(pid_);
  let_go();
}

}  // namespace levity
