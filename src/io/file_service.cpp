#include "io/file_service.hpp"

#include <cerrno>
#include <cstdio>
#include <new>
#include <string>

#include "io/sync_queue.hpp"
#include "platform/ring_host.hpp"

namespace levity::inline v0::detail {
namespace {

void run_offloaded(blocking_job& job) noexcept { carry_out(static_cast<file_operation&>(job)); }

}  // namespace

file_service::file_service(executor& runs, file_means means, bool simulated) noexcept
    : runs_(runs), means_(means) {
  if (simulated) carrier_.store(carrier::here, std::memory_order_relaxed);
}

file_service::~file_service() = default;

file_service::carrier file_service::decide() noexcept {
  const system_guard guard{deciding_};
  const carrier decided = carrier_.load(std::memory_order_relaxed);
  if (decided != carrier::undecided) return decided;
  carrier chosen = carrier::threads;
  if (means_ != file_means::blocking) {
    ring_ = std::make_unique<ring_thread>();
    if (const io_result<void> started = ring_->start()) {
      chosen = carrier::ring;
    } else {
      refusal_ = started.error().code();
      const char* cause = cause_of_ring_refusal(refusal_);
      const bool fall_back = means_ == file_means::automatic;
      std::fprintf(stderr, "levity: io_uring is refused (%s); %s\n",
                   cause != nullptr ? cause : started.error().message().c_str(),
                   fall_back ? "files use threads" : "the options allow nothing else, so file operations fail");
      ring_.reset();
      if (!fall_back) chosen = carrier::refused;
    }
  }
  carrier_.store(chosen, std::memory_order_release);  // E78 release: ring_ and refusal_.
  return chosen;
}

void file_service::submit(file_operation& operation) noexcept {
  carrier by = carrier_.load(std::memory_order_acquire);  // E78 acquire.
  if (by == carrier::undecided) by = decide();
  // Not even the write: what is told as lost shall not change behind the back of whoever looks at the file.
  if (operation.syncs != nullptr && operation.syncs->failure() != 0) return complete(operation, -operation.syncs->failure());
  switch (by) {
    case carrier::ring:
      // Older kernels cannot truncate on a ring, and none can read a directory.
      if (operation.what == file_operation::kind::truncate || operation.what == file_operation::kind::list) break;
      if (ring_->is_quiet_approx() && submit_here(operation)) return;
      return ring_->submit(operation);
    case carrier::here: return carry_out(operation);
    case carrier::refused: return complete(operation, -refusal_);
    case carrier::threads:
    case carrier::undecided: break;
  }
  offload(operation);
}

// What moves bytes to or from a disk, of a thread that would wait for nothing but that. Not a read through the page cache: the
// kernel carries it on when the page has come, on the thread that has submitted it, amid whatever that does then, and copies.
bool file_service::submit_here(file_operation& operation) noexcept {
  switch (operation.what) {
    case file_operation::kind::read:
      if (!operation.direct) return false;
      break;
    case file_operation::kind::write:
    case file_operation::kind::sync:
    case file_operation::kind::sync_data: break;
    default: return false;
  }
  if (!has_lines_.load(std::memory_order_relaxed)) return false;
  reactor* home = runs_.idle_reactor();
  if (home == nullptr) return false;
  struct leaving {
    executor& runs;
    ~leaving() { runs.leave_idle_reactor(); }
  };
  const leaving at_the_end{runs_};
  const poll_lease lease(home->lease);
  if (!lease.held()) return false;
  file_line* line = line_of(*home, lease);
  return line != nullptr && line->submit(operation);
}

file_line* file_service::line_of(reactor& home, const poll_lease& held) noexcept {
  if (home.guest != nullptr) return static_cast<file_line*>(home.guest);
  try {
    auto line = std::make_unique<file_line>(home, *ring_);
    const system_guard guard{deciding_};
    lines_.reserve(lines_.size() + 1);
    if (line->open(held)) {
      lines_.push_back(std::move(line));
      return lines_.back().get();
    }
  } catch (const std::bad_alloc&) {
  }
  has_lines_.store(false, std::memory_order_relaxed);
  return nullptr;
}

void file_service::offload(file_operation& operation) noexcept {
  operation.run = &run_offloaded;
  runs_.offload(operation);
}

}  // namespace levity::detail
