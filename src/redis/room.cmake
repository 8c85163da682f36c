# Its tests run once more under each of these faults; see cmake/fault_lanes.cmake. Too few connections are accepted here
# for one to find no room.
set(ROOM_LANES eintr eagain short one_by_one taken stalled)
