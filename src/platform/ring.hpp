#pragma once

// ring: an io_uring. Of one thread, which creates, uses and closes it (SINGLE_ISSUER, DEFER_TASKRUN where the kernel has them:
// completions are then produced only when this thread asks for them), or of several that use it one after the other.

#include <liburing.h>

#include <cstdint>

#include "levity/base/error.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

/// What the kernel says of an operation.
struct completion {
  std::uint64_t data;    // the operation's user data
  std::int32_t result;   // a count or descriptor, or a negative errno
  std::uint32_t flags;   // IORING_CQE_F_*

  [[nodiscard]] bool is_last() const noexcept { return (flags & IORING_CQE_F_MORE) == 0; }
};

class ring {
public:
  static constexpr std::int64_t for_ever_ns = INT64_MAX;

  /// By whom it is used, one at a time in any case.
  enum class use : unsigned char { one_thread, threads_in_turn };

  ring() = default;
  ~ring() { close(); }
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  /// Sets the ring up with `entries` submission slots and four times as many for completions, with the best flags the kernel
  /// takes. The error's code tells why it is refused: EPERM (a seccomp profile, kernel.io_uring_disabled), ENOSYS (none in
  /// this kernel or sandbox), ENOMEM (the limit of locked memory).
  io_result<void> open(unsigned entries, use by = use::one_thread) noexcept;
  void close() noexcept;

  /// Whether the kernel knows an operation (IORING_OP_*).
  [[nodiscard]] bool knows(int operation) noexcept;

  /// A free submission entry; submits what is queued if there is none. Never null.
  io_uring_sqe& next_entry() noexcept;

  /// Submits and waits for at least one completion, for `wait_ns` at most. Returns early on signals.
  void submit_and_wait(std::int64_t wait_ns = for_ever_ns) noexcept;
  /// Submits, and produces the completions that are due, without waiting.
  void submit() noexcept;
  /// Entries that are queued and not submitted.
  [[nodiscard]] unsigned queued() const noexcept { return io_uring_sq_ready(&ring_); }
  /// What submit() left queued becomes operations of no consequence, with user data 0, which go with the next ones. Returns how
  /// many, the last that were queued.
  unsigned take_back() noexcept;
  /// Whether a reap would find something.
  [[nodiscard]] bool has_completions() const noexcept { return io_uring_cq_ready(&ring_) != 0; }
  /// Readable while there are completions.
  [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

  /// Calls `visit(completion)` for each completion there is, and gives their slots back.
  template <class Visit>
  void reap(Visit&& visit) noexcept {
    reap_while([] { return true; }, visit);
  }
  /// The same, as long as `goes_on()`.
  template <class GoesOn, class Visit>
  void reap_while(GoesOn&& goes_on, Visit&& visit) noexcept {
    unsigned head;
    unsigned count = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      if (!goes_on()) break;
      completion what{cqe->user_data, cqe->res, cqe->flags};
      if (kernel::is_planned(kernel::call::ring_operation)) kernel::restore_completion(what.data, what.result);
      visit(what);
      count++;
    }
    io_uring_cq_advance(&ring_, count);
  }

  /// For what else is registered with it. Null: not open.
  [[nodiscard]] io_uring* native() noexcept { return open_ ? &ring_ : nullptr; }

private:
  bool planned() noexcept;

  io_uring ring_{};
  bool open_ = false;
};

}  // namespace levity::detail
