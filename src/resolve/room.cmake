# Names are looked up by c-ares: the C library's own look-up blocks the thread that asks.
find_path(CARES_INCLUDE ares.h)
find_library(CARES_LIBRARY cares)
if(NOT CARES_INCLUDE OR NOT CARES_LIBRARY)
  message(FATAL_ERROR "c-ares is missing: the resolve room is built on it; install the package libc-ares-dev")
endif()
set(ROOM_LIBS ${CARES_LIBRARY})
# Its tests run once more under each of these faults; see cmake/fault_lanes.cmake. Too few connections are accepted here
# for one to find no room.
set(ROOM_LANES eintr eagain short one_by_one)
set(ROOM_ALONE resolver.cpp)
