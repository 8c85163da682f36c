# Answers recorded from gobreaker, which the breaker is held against.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/resilience/breaker_test.cpp PROPERTIES COMPILE_DEFINITIONS
                            LEVITY_GOBREAKER_TRACES="${PROJECT_SOURCE_DIR}/tests/corpus/breaker/gobreaker.txt")
# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
