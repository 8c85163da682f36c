# llhttp is a library of its own where there is libllhttp-dev (Debian 13, Ubuntu 25.04); before, its C sources come in
# node-llhttp and are compiled from the system's copy.
find_path(LLHTTP_SOURCE llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp /usr/include NO_DEFAULT_PATH)
find_library(LLHTTP_LIBRARY llhttp)
if(LLHTTP_INCLUDE AND LLHTTP_LIBRARY)
  set(ROOM_LIBS ${LLHTTP_LIBRARY})
elseif(LLHTTP_INCLUDE AND LLHTTP_SOURCE)
  set(ROOM_SOURCES ${LLHTTP_SOURCE}/llhttp.c ${LLHTTP_SOURCE}/api.c ${LLHTTP_SOURCE}/http.c)
  set(ROOM_INCLUDES ${LLHTTP_INCLUDE})
else()
  message(FATAL_ERROR "llhttp is missing: the http room is built on it; install the package libllhttp-dev, or node-llhttp "
                      "where there is none of that name")
endif()
# Its tests run once more under each of these faults; see cmake/fault_lanes.cmake.
set(ROOM_LANES eintr eagain short one_by_one no_room taken stalled)
# Gives its one connection 30 ms to be inside.
set(ROOM_LANE_no_room_LEAVES_OUT http_server.a_request_inside_is_answered_when_the_server_ends)
set(ROOM_ALONE response_parser.cpp)  # the same names as request_parser.cpp
