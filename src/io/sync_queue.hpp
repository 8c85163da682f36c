#pragma once

// sync_queue: the syncs of one open file, one at a time.
//
// Why: a page that could not be written is told by the kernel to one sync of an open file, the first that asks, and is then taken
// for clean. Of two syncs at the same time one may so be told that all is well, although what it stands for is lost; and a sync
// that is tried again says so, too. (PostgreSQL learnt it in 2018.) So the outcome of a sync is that of everybody who waited for
// one, and a failure stays.
//
//   idle    -> syncing   begin()   the leader makes the sync, for itself
//   syncing -> syncing   begin()   another operation, a follower, waits for the next one: this one may have begun before its write
//                        end()     all who waited are served by the next sync; one of them leads it
//   syncing -> idle      end()     nobody waits
//   any     -> failed    end()     the sync has failed, for all who waited, too; for good
//                        fail()    the write of a durable write has
//
// A durable write stands here when its bytes are written. So a sync serves whoever was written before it began: a group commit,
// and the larger the slower the disk.
//
// Why a write's failure counts: a worker's own ring makes write and sync as one operation, of which nobody can say what has failed.
// By whatever means a file is written, it answers alike.
//
// A refusal for the moment (EAGAIN, EINTR, ECANCELED) concerns those whom that sync was to serve: nothing was tried.
//
// Rejected: to let syncs run side by side and to tell a failure to all that were under way (one that began before the failing one
// and ended before it may have met the page, too).

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/io/detail/file_operation.hpp"

namespace levity::inline v0::detail {

/// Any thread. Operations stand in it by their `after` and belong to it meanwhile.
class sync_queue {
public:
  sync_queue() = default;
  sync_queue(const sync_queue&) = delete;
  sync_queue& operator=(const sync_queue&) = delete;

  enum class turn : std::uint8_t {
    now,    ///< it leads: whoever asks makes the sync, then calls end()
    later,  ///< it follows: the end() of another one gives it back
    never,  ///< one has failed: failure() is its outcome
  };

  /// The bytes of the operation are written, and a sync is what is left of it. `now` again for one that leads already.
  [[nodiscard]] turn begin(file_operation& operation) noexcept;
  /// The same without waiting: `later` means that nothing has happened.
  [[nodiscard]] turn try_begin(file_operation& operation) noexcept;

  struct outcome {
    file_operation* served;  // linked by `after`, their results set, for the caller to complete; without the leader
    file_operation* leader;  // of the next sync, which the caller makes or hands over; null: nobody waits
  };
  /// The sync of `leader` has ended, with 0 or a negative errno. Sets its result, too. The queue is not touched again on behalf of
  /// those that are given back, so that completing them may end the file.
  [[nodiscard]] outcome end(file_operation& leader, std::int64_t result) noexcept;

  /// The write of a durable write has failed, with a negative errno.
  void fail(std::int64_t result) noexcept;

  /// The errno of what has failed, 0 as long as none has.
  [[nodiscard]] int failure() const noexcept { return failure_.load(std::memory_order_relaxed); }

private:
  turn begin(file_operation& operation, bool waits) noexcept;

  spin_lock lock_;
  bool syncing_ = false;
  atomic<int> failure_{0};             // relaxed: who knows of the failure from another sees it
  file_operation* followers_ = nullptr;  // of the sync that is being made
  file_operation* waiting_ = nullptr;    // for the next one, newest first
};

/// Completes those that an end() gave back.
void complete_all(file_operation* served) noexcept;

}  // namespace levity::detail
