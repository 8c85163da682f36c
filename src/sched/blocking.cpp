#include "sched/blocking.hpp"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>
#include <thread>

#include "levity/sched/blocking.hpp"
#include "platform/thread.hpp"

namespace levity::inline v0::detail {
namespace {

bool runs_to_its_end(waiter&, task_record&) noexcept { return false; }

}  // namespace

const wait_reason blocking_reason{"blocking call", &runs_to_its_end, nullptr, nullptr};

blocking_pool::~blocking_pool() {
  std::unique_lock guard{lock_};
  closing_ = true;
  work_.notify_all();
  gone_.wait(guard, [this] { return threads_ == 0; });
}

void blocking_pool::submit(blocking_job& job) noexcept {
  job.next = nullptr;
  bool start = false;
  {
    const std::lock_guard guard{lock_};
    if (last_ == nullptr) {
      first_ = &job;
    } else {
      last_->next = &job;
    }
    last_ = &job;
    queued_++;
    if (idle_ > 0) work_.notify_one();
    if (queued_ > idle_ && threads_ < threads_max) {
      threads_++;
      start = true;
    }
  }
  if (!start) return;
  // Every signal stays blocked in the new thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    start_thread("levity blocking", [this] { serve(); }).detach();
  } catch (const std::system_error&) {
    start = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (start) return;
  // No thread is to be had. Where there is none at all, the caller does what no other would ever do.
  std::unique_lock guard{lock_};
  threads_--;
  if (threads_ == 0) run_queued(guard);
}

// Runs what waits, without the lock.
void blocking_pool::run_queued(std::unique_lock<std::mutex>& guard) noexcept {
  while (blocking_job* job = first_) {
    first_ = job->next;
    if (first_ == nullptr) last_ = nullptr;
    queued_--;
    guard.unlock();
    job->run(*job);  // it may be gone when this returns
    guard.lock();
  }
}

void blocking_pool::serve() noexcept {
  std::unique_lock guard{lock_};
  for (;;) {
    run_queued(guard);
    if (closing_) break;
    idle_++;
    const bool woken = work_.wait_for(guard, std::chrono::seconds(idle_seconds_max),
                                      [this] { return first_ != nullptr || closing_; });
    idle_--;
    if (!woken) break;
  }
  threads_--;
  if (threads_ == 0) gone_.notify_all();
}

unsigned blocking_pool::threads_approx() noexcept {
  const std::lock_guard guard{lock_};
  return threads_;
}

}  // namespace levity::detail
