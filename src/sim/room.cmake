set(ROOM_ALONE disk.cpp)  # its own names are words that others may have, too
