# What the order service needs beside levity.
#   simdjson  reads request bodies (libsimdjson-dev)
#   xxhash    checksums of log and snapshot, hashes of the book's indexes (libxxhash-dev)
#   fmt       sentences (libfmt-dev)
# robin-map-dev (tables of the book) and, for the tests, nlohmann-json3-dev are headers only.
set(ROOM_LIBS simdjson xxhash fmt)
set(ROOM_INCLUDES ${CMAKE_SOURCE_DIR})
# Its tests run once more while workers lose their slots, and while they stand still besides; see cmake/fault_lanes.cmake.
set(ROOM_LANES taken stalled)
set(ROOM_ALONE payment/charges.cpp)  # a not_valid() as in inventory/stock.cpp
