# Lanes: what goes wrong in the kernel while the tests of a room run once more. A room.cmake names those that concern it; the
# text is LEVITY_FAULTS, see src/platform/fault_plan.hpp. One by hand: LEVITY_FAULTS=eintr=2,seed=1 build/gcc-release/io_test

# Signals all the time: every second call is interrupted.
set(LEVITY_LANE_eintr "eintr=2,seed=1")
# Readiness that turns out to be none.
set(LEVITY_LANE_eagain "eagain=2,seed=1")
# Transfers that move a part, often one byte.
set(LEVITY_LANE_short "short=2,seed=1")
# One event, one datagram at a time.
set(LEVITY_LANE_one_by_one "batch=1,seed=1")
# No descriptor and no memory for the connections that come.
set(LEVITY_LANE_no_room "emfile=40,enfile=40,enomem=40,enobufs=40,seed=1")
# Operations of a ring that are cancelled although nobody asked, and a ring that takes no submissions now.
set(LEVITY_LANE_ring_refuses "ecanceled=2,ebusy=3,eagain@ring_enter=3,seed=1")
# A completion queue that overflows.
set(LEVITY_LANE_two_completions "completions=2,seed=1")
# One buffer for all that io_uring receives.
set(LEVITY_LANE_one_buffer "buffers=1,seed=1")
# Where there are several workers, they lose their slots between any two steps of any task.
set(LEVITY_LANE_taken "taken=1")
# The same, and every eighth await is followed by a stall of its worker.
set(LEVITY_LANE_stalled "taken=1,stall=8")
# All that concerns sockets, seldom.
set(LEVITY_LANE_all "eintr=9,eagain=9,short=9,batch=5,emfile=60,enobufs=60,seed=1")
