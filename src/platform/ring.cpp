#include "platform/ring.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
// Inside an exploration somebody may stand in place of the kernel.
#define LEVITY_EXPLORED(call) \
  if (explored_calls* const by = explored_calls::here(); by != nullptr) return by->call
#else
#define LEVITY_EXPLORED(call) static_cast<void>(0)
#endif

void ring::close() noexcept {
  if (!std::exchange(open_, false)) return;
  LEVITY_EXPLORED(closes(ring_));
  io_uring_queue_exit(&ring_);
}

bool ring::knows(int operation) noexcept {
  LEVITY_EXPLORED(knows(operation));
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  const bool known = probe != nullptr && io_uring_opcode_supported(probe, operation) != 0;
  io_uring_free_probe(probe);
  return known;
}

io_result<void> ring::open(unsigned entries, use by) noexcept {
#ifdef LEVITY_MODEL
  if (explored_calls* const answers = explored_calls::here(); answers != nullptr) {
    answers->opens(ring_, entries);
    open_ = true;
    return {};
  }
#endif
  constexpr unsigned base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  constexpr unsigned attempts[] = {base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                   base | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN, base};
  const unsigned completions = kernel::ring_entries(entries * 4);
  entries = std::min(entries, completions);
  int result = -ENOSYS;
  for (const unsigned flags : attempts) {
    if (by == use::threads_in_turn && flags != base) continue;
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

// What a plan of faults does to the entries is done before the kernel sees them. True: the kernel is not entered at all.
bool ring::planned() noexcept {
  if (kernel::is_planned(kernel::call::ring_operation)) {
    const unsigned mask = ring_.sq.ring_mask;
    for (unsigned at = ring_.sq.sqe_head; at != ring_.sq.sqe_tail; at++) kernel::strike_submission(&ring_.sq.sqes[at & mask]);
  }
  if (kernel::is_planned(kernel::call::ring_setup) && (*ring_.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0) kernel::note_overflow();
  return kernel::strikes(kernel::call::ring_enter);
}

void ring::submit_and_wait(std::int64_t wait_ns) noexcept {
  LEVITY_EXPLORED(enters(ring_, wait_ns));
  if (planned()) return;
  if (wait_ns == for_ever_ns) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  __kernel_timespec limit{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
}

void ring::submit() noexcept {
  LEVITY_EXPLORED(enters(ring_, 0));
  if (!planned()) io_uring_submit_and_get_events(&ring_);
}

// What the kernel has not taken is still ours.
unsigned ring::take_back() noexcept {
  const unsigned left = queued();
  for (unsigned at = ring_.sq.sqe_tail - left; at != ring_.sq.sqe_tail; at++) {
    io_uring_sqe& entry = ring_.sq.sqes[at & ring_.sq.ring_mask];
    completion struck{entry.user_data, 0, 0};
    if (kernel::is_planned(kernel::call::ring_operation)) kernel::restore_completion(struck.data, struck.result);
    io_uring_prep_nop(&entry);
    io_uring_sqe_set_data64(&entry, 0);
  }
  return left;
}

}  // namespace levity::detail
