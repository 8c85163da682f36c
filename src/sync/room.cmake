# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
# They count turns of the one worker, or look at the clock (one that stood still for long has been replaced, and then others are
# queued in front).
set(ROOM_LANE_stalled_LEAVES_OUT channel.agrees_with_its_model semaphore.agrees_with_its_model
    single_flight.the_deadline_of_a_call_inside_is_a_failure_for_all_and_one_around_is_not)
