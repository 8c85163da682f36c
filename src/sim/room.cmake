# Its tests look names up.
set(ROOM_TEST_LIBS levity_resolve)
