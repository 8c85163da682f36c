# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
# It counts turns, in a vector that the tasks of one worker share: not where another worker runs them while one has lost its slot.
set(ROOM_LANE_taken_LEAVES_OUT yield.lets_the_others_run)
set(ROOM_LANE_stalled_LEAVES_OUT yield.lets_the_others_run)
# What a task that is told to stop waits for.
set(ROOM_SCENARIOS_USE sync)
