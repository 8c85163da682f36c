# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
