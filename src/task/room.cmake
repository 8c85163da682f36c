# Its tests run once more while workers lose their slots; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken)
