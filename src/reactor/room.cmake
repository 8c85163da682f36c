# Its tests run once more under each of these faults; see cmake/fault_lanes.cmake. Not without room for new connections: what
# try_accept() says then is the listener's business, in io.
set(ROOM_LANES eintr eagain short one_by_one ring_refuses two_completions one_buffer)
# A signal ends a wait before its time, which these two measure.
set(ROOM_LANE_eintr_LEAVES_OUT */reactor_contract.a_wait_ends_at_its_limit/epoll */reactor_contract.a_ring_is_heard_once/epoll)
foreach(lane ring_refuses two_completions one_buffer)
  set(ROOM_LANE_${lane}_ONLY *ring*)
endforeach()
# Sleeps, deadlines, timers and selects, which is where the timer wheel is used.
set(ROOM_SCENARIOS_USE time sync)
set(ROOM_ALONE ring/ring_socket.cpp ring/socket_ring.cpp)  # the same names as endpoint.cpp and ring_reactor.cpp
