# llhttp comes as C sources in Debian's package node-llhttp; they are compiled from the system's copy.
find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
find_path(LLHTTP_SOURCE llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
if(NOT LLHTTP_INCLUDE OR NOT LLHTTP_SOURCE)
  message(FATAL_ERROR "llhttp is missing: the http room is built on it; install the package node-llhttp")
endif()
set(ROOM_SOURCES ${LLHTTP_SOURCE}/llhttp.c ${LLHTTP_SOURCE}/api.c ${LLHTTP_SOURCE}/http.c)
set(ROOM_INCLUDES ${LLHTTP_INCLUDE})
