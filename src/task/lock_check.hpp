#pragma once

// lock_check: finds a std::mutex that is held across a co_await, in builds with LEVITY_CHECK_LOCKS (Debug by default).
//
// Why it is a fault. The task may go on in another thread, which must not unlock what it did not lock; and until then the worker
// runs others, which stop the whole worker when they want the same lock. The task that would unlock it may be queued right there.
//
// How. The locks of each thread are counted (platform/lock_counting.cpp). When a task is about to wait, and holds more than when
// this run of it began, what there is to say is written down, because afterwards it may run elsewhere or be gone. When the worker
// gets control back and the locks are still there, it says that and aborts. A task that found its wait over at once, went on
// and unlocked has done no harm, and is not told. Locks that a foreign thread holds while it drives a turn do not count.

#include <coroutine>

namespace levity::inline v0::detail {

struct task_record;

#if defined(LEVITY_CHECK_LOCKS)

/// The task is about to leave its thread at `leaf`. Owner thread, before anybody else may run it.
void note_wait(const task_record& record, std::coroutine_handle<> leaf, const char* waits_for) noexcept;

/// One run of a task, from a worker's resume to its return.
class watched_run {
public:
  watched_run() noexcept;
  watched_run(const watched_run&) = delete;
  watched_run& operator=(const watched_run&) = delete;
  /// Aborts when locks were taken and not given back.
  ~watched_run();

private:
  const int outer_;
};

#else

inline void note_wait(const task_record&, std::coroutine_handle<>, const char*) noexcept {}

class watched_run {};

#endif

}  // namespace levity::detail
