set(ROOM_LIBS uring)
