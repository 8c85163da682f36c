#pragma once

// blocking_pool: threads for calls that block. They come when a job finds none idle, up to a bound, and go after ten idle
// seconds. Jobs beyond the bound wait in order. Signals stay with the main thread. Ends when the last job is done.
//
// Somebody answers for every queued job: a thread that runs, for none ends before the queue is empty, or who submitted it and is
// still asking the kernel for a thread. Whose thread is refused makes that one job himself where no thread runs; he never makes
// those of others, for the watchdog is among those who submit and must not stand in a user's call.


#include "base/system_condition.hpp"
#include "base/system_mutex.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::detail {

class blocking_pool {
public:
  static constexpr unsigned threads_max = 64;
  static constexpr int idle_seconds_max = 10;

  blocking_pool() = default;
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;
  /// As end().
  ~blocking_pool() { end(); }
  /// Waits for every job and thread. Nothing is submitted any more.
  void end() noexcept;

  /// Any thread. The job is called once, on a thread of the pool; it may be gone when its call returns. Where the kernel refuses
  /// a thread and none runs it is called here, before submit() returns.
  void submit(blocking_job& job) noexcept { (void)submit(job, true); }
  /// The same if it need not wait for others. False: it would.
  [[nodiscard]] bool submit_at_once(blocking_job& job) noexcept { return submit(job, false); }

  [[nodiscard]] unsigned threads_approx() noexcept;

private:
  bool submit(blocking_job& job, bool may_wait) noexcept;
  void serve() noexcept;
  void run_queued(system_unique_guard& guard) noexcept;
  [[nodiscard]] bool take_back(blocking_job& job) noexcept;

  system_mutex lock_;
  system_condition work_;
  system_condition gone_;
  // Guarded by lock_.
  blocking_job* first_ = nullptr;
  blocking_job* last_ = nullptr;
  unsigned threads_ = 0;   // with those that are starting: the bound is theirs too, unless there are no others
  unsigned starting_ = 0;  // asked for, not yet running
  unsigned idle_ = 0;
  std::uint64_t queued_ = 0;  // jobs that no thread has taken; one thread is idle or starting for each, up to the bound
  bool closing_ = false;
};

}  // namespace levity::detail
