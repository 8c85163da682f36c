#include "sched/blocking.hpp"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "levity/sched/blocking.hpp"
#include "platform/thread.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* name = "blocking call";

bool runs_to_its_end(waiter&, task_record&) noexcept { return false; }

}  // namespace

const wait_reason blocking_reason{name, &runs_to_its_end, nullptr, nullptr};

const wait_reason apart_waiter::reason_{name, &take_back, nullptr, nullptr};

task_record* apart_call::carry_out() noexcept {
  if (state_.load(std::memory_order_acquire) != state::abandoned) {  // E380 acquire.
    make();
    // E380 acquire, where it was abandoned meanwhile: nobody looks at the word any more.
    if (state_.exchange(state::over, std::memory_order_acquire) == state::waited_for) return task;
  }
  delete this;
  left_behind_.fetch_sub(1, std::memory_order_relaxed);
  return nullptr;
}

bool apart_call::abandon() noexcept {
  left_behind_.fetch_add(1, std::memory_order_relaxed);  // it may be gone after the exchange
  state seen = state::waited_for;
  // E380 release.
  if (state_.compare_exchange_strong(seen, state::abandoned, std::memory_order_release, std::memory_order_relaxed)) return true;
  left_behind_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void apart_call::run_it(blocking_job& job) noexcept {
  if (task_record* wakes = static_cast<apart_call&>(job).carry_out()) wake(*wakes);
}

bool apart_waiter::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  apart_call& call = *call_;
  const bool slow = slow_;
  call.task = &record;
  prepare_wait(record, frame, *this);
  if (!commit_wait(record)) {
    (void)call.carry_out();  // it was cancelled before, and so left behind: that makes no call, and it is gone and not counted
    return false;
  }
  begin_apart(call, slow);
  return true;
}

bool apart_waiter::take_back(waiter& self, task_record&) noexcept {
  auto& waits = static_cast<apart_waiter&>(self);
  if (!waits.may_abandon_ || !waits.call_->abandon()) return false;
  (void)waits.call_.release();  // who makes it destroys it
  return true;
}

void apart_waiter::throw_cancelled() { throw cancelled{effective_cancel(*this_run.current)}; }

void blocking_pool::end() noexcept {
  system_unique_guard guard{lock_};
  closing_ = true;
  work_.notify_all();
  gone_.wait(guard, [this] { return threads_ == 0; });
}

bool blocking_pool::submit(blocking_job& job, bool may_wait) noexcept {
  job.next = nullptr;
  bool start = false;
  {
    const system_guard guard{lock_};
    if (!may_wait && queued_ >= idle_ && threads_ >= threads_max) return false;
    if (last_ == nullptr) {
      first_ = &job;
    } else {
      last_->next = &job;
    }
    last_ = &job;
    queued_++;
    if (idle_ > 0) work_.notify_one();
    // Threads that are still to be had do not count: they may be refused all together.
    if (queued_ > idle_ && (threads_ < threads_max || threads_ == starting_)) {
      threads_++;
      starting_++;
      start = true;
    }
  }
  if (!start) return true;
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
  if (start) return true;
  // No thread is to be had. Where none runs, the caller does what no other would ever do: its own job, never those of others.
  {
    const system_guard guard{lock_};
    threads_--;
    starting_--;
    const bool somebody_runs = threads_ > starting_;
    if ((may_wait && somebody_runs) || !take_back(job)) return true;
  }
  if (may_wait) job.run(job);
  return may_wait;
}

// With the lock. False: somebody runs it, or has.
bool blocking_pool::take_back(blocking_job& job) noexcept {
  blocking_job* before = nullptr;
  blocking_job* at = first_;
  while (at != nullptr && at != &job) before = std::exchange(at, at->next);
  if (at == nullptr) return false;
  (before != nullptr ? before->next : first_) = job.next;
  if (last_ == &job) last_ = before;
  queued_--;
  return true;
}

// Runs what waits, without the lock.
void blocking_pool::run_queued(system_unique_guard& guard) noexcept {
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
  system_unique_guard guard{lock_};
  starting_--;
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
  const system_guard guard{lock_};
  return threads_;
}

}  // namespace levity::detail
