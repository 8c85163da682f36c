# Its tests look names up.
set(ROOM_TEST_LIBS levity_resolve)
set(ROOM_ALONE disk.cpp disk_backend.cpp)  # their own names are words that others may have, too
