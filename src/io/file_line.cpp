#include "io/file_line.hpp"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/ring_thread.hpp"
#include "io/sync_queue.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

file_line::~file_line() {
  LEVITY_ASSERT(in_flight.load(std::memory_order_relaxed) == 0,
                "tasks have waited for their file operations when their runtime ends");
  if (home_.guest == this) home_.guest = nullptr;
}

io_result<void> file_line::open(const poll_lease& held) noexcept {
  if (const io_result<void> opened = ring_.open(entries, ring::use::threads_in_turn); !opened) return opened;
  return home_.invite(held, ring_.fd(), *this);
}

bool file_line::submit(file_operation& operation) noexcept {
  const std::int64_t now_ns = kernel_now_ns();
  run_ = now_ns - last_ns_ > pause_ns ? 1 : run_ + 1;
  last_ns_ = now_ns;
  if (run_ < run_min || entering_.load(std::memory_order_acquire)) return false;  // E310 acquire.
  if (waiting_ != nullptr || in_flight.load(std::memory_order_relaxed) != 0 || ring_.queued() >= entries) return false;
  // Handed over or not, from here on it leads: a write, too, for it goes with its sync in one.
  if (operation.syncs != nullptr && operation.syncs->try_begin(operation) != sync_queue::turn::now) return false;
  waiting_ = &operation;
  return true;
}

void file_line::prepare() noexcept {
  entered_ = std::exchange(waiting_, nullptr);
  io_uring_sqe& entry = ring_.next_entry();
  fill_entry(entry, *entered_);
  if (entered_->syncs != nullptr && !entered_->is_sync()) entry.rw_flags = RWF_DSYNC;  // there is no other at the same time
  in_flight.fetch_add(1, std::memory_order_relaxed);
  entering_.store(true, std::memory_order_relaxed);
}

void file_line::enter() noexcept {
  ring_.submit();
  if (ring_.take_back() != 0) {
    in_flight.fetch_sub(1, std::memory_order_relaxed);
    other_.submit(*entered_);
  }
  entering_.store(false, std::memory_order_release);  // E310 release.
}

void file_line::hand_over() noexcept {
  if (waiting_ != nullptr) other_.submit(*std::exchange(waiting_, nullptr));
}

void file_line::collect(ready_batch& ready) noexcept {
  if (!ring_.has_completions()) return;
  ring_.reap_while([&ready] { return ready.room() > 0; }, [this, &ready](const completion& what) {
    if (what.data == 0) return;  // one that was taken back
    in_flight.fetch_sub(1, std::memory_order_relaxed);
    auto& operation = *reinterpret_cast<file_operation*>(what.data);
    if (!is_over(operation, what.result)) return;
    if (wake_deferred(*operation.task)) ready.add(*operation.task);
  });
}

// Sets the result; false: somebody else goes on with it.
bool file_line::is_over(file_operation& operation, std::int32_t result) noexcept {
  // Made together, write and sync are interrupted together: the write may have been made, and an append is not made twice.
  const bool is_told = result == -EINTR && operation.syncs != nullptr && (operation.flags & O_APPEND) != 0;
  if (!is_told && goes_again(operation, result)) {
    other_.submit(operation);
    return false;
  }
  operation.result = result;
  if (operation.syncs == nullptr) return true;
  if (operation.what == file_operation::kind::write && result >= 0) operation.written = result;
  const sync_queue::outcome ended = operation.syncs->end(operation, std::min(result, 0));
  complete_all(ended.served);
  if (ended.leader != nullptr) other_.submit(*ended.leader);
  return true;
}

}  // namespace levity::detail
