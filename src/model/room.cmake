# Its threads are fibers of Boost.Context.
find_library(BOOST_CONTEXT_LIBRARY boost_context)
if(NOT BOOST_CONTEXT_LIBRARY)
  message(FATAL_ERROR "Boost.Context is missing: the threads of an exploration are built on it; install the package "
                      "libboost-context-dev")
endif()
set(ROOM_LIBS ${BOOST_CONTEXT_LIBRARY})
