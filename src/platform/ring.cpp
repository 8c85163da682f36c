#include "platform/ring.hpp"

#include <cerrno>

namespace levity::inline v0::detail {

ring::~ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

io_result<void> ring::open(unsigned entries) noexcept {
  constexpr unsigned base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  constexpr unsigned attempts[] = {base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                   base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN, base};
  int result = -ENOSYS;
  for (const unsigned flags : attempts) {
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = entries * 4;
    result = io_uring_queue_init_params(entries, &ring_, &params);
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

void ring::submit_and_wait() noexcept { io_uring_submit_and_wait(&ring_, 1); }

void ring::submit() noexcept { io_uring_submit(&ring_); }

}  // namespace levity::detail
