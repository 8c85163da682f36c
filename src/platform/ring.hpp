#pragma once

// ring: an io_uring of one thread. Created, used and destroyed by that thread (SINGLE_ISSUER, DEFER_TASKRUN where the kernel has
// them: completions are then produced only when this thread asks for them).

#include <liburing.h>

#include <cstdint>

#include "levity/base/error.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

class ring {
public:
  ring() = default;
  ~ring();
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  /// Sets the ring up with `entries` submission slots and four times as many for completions, with the best flags the kernel
  /// takes. The error's code tells why it is refused: EPERM (a seccomp profile, kernel.io_uring_disabled), ENOSYS (none in
  /// this kernel or sandbox), ENOMEM (the limit of locked memory).
  io_result<void> open(unsigned entries) noexcept;

  /// A free submission entry; submits what is queued if there is none. Never null.
  io_uring_sqe& next_entry() noexcept;

  /// Submits and waits for at least one completion. Returns early on signals.
  void submit_and_wait() noexcept;
  void submit() noexcept;

  /// Calls `visit(user_data, result)` for each completion there is, and gives their slots back.
  template <class Visit>
  void reap(Visit&& visit) noexcept {
    unsigned head;
    unsigned count = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      std::uint64_t user_data = cqe->user_data;
      std::int32_t result = cqe->res;
      if (kernel::is_planned(kernel::call::ring_operation)) kernel::restore_completion(user_data, result);
      visit(user_data, result);
      count++;
    }
    io_uring_cq_advance(&ring_, count);
  }

private:
  int enter(unsigned completions_wanted) noexcept;

  io_uring ring_{};
  bool open_ = false;
};

}  // namespace levity::detail
