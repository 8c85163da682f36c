#include "platform/ring.hpp"

#include <algorithm>
#include <cerrno>

namespace levity::inline v0::detail {

ring::~ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

io_result<void> ring::open(unsigned entries) noexcept {
  constexpr unsigned base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  constexpr unsigned attempts[] = {base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                   base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN, base};
  const unsigned completions = kernel::ring_entries(entries * 4);
  entries = std::min(entries, completions);
  int result = -ENOSYS;
  for (const unsigned flags : attempts) {
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = completions;
    result = kernel::strikes(kernel::call::ring_setup) ? -errno : io_uring_queue_init_params(entries, &ring_, &params);
    if (result == 0) {
      open_ = true;
      return {};
    }
    if (result != -EINVAL) break;  // an older kernel refuses flags it does not know with EINVAL
  }
  return std::unexpected(io_error::from_errno(-result, "setting up io_uring"));
}

io_uring_sqe& ring::next_entry() noexcept {
  for (;;) {
    if (io_uring_sqe* entry = io_uring_get_sqe(&ring_)) return *entry;
    submit();
  }
}

// What a plan of faults does to the entries is done before the kernel sees them.
int ring::enter(unsigned completions_wanted) noexcept {
  if (kernel::is_planned(kernel::call::ring_operation)) {
    const unsigned mask = ring_.sq.ring_mask;
    for (unsigned at = ring_.sq.sqe_head; at != ring_.sq.sqe_tail; at++) kernel::strike_submission(&ring_.sq.sqes[at & mask]);
  }
  if (kernel::strikes(kernel::call::ring_enter)) return -errno;
  return io_uring_submit_and_wait(&ring_, completions_wanted);
}

void ring::submit_and_wait() noexcept { enter(1); }

void ring::submit() noexcept { enter(0); }

}  // namespace levity::detail
