# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
# Coroutines are made in the scenarios, and what lies in them is to be watched, too.
set(ROOM_SCENARIOS_TELL_PLAIN_ACCESSES ON)
