# Who reads command lines and writes reports works once a run, and drags the most templates along. Not with sanitizers: there the
# sources share a precompiled header, and with it how they are optimised.
if(NOT LEVITY_SANITIZE MATCHES "address|thread")
  file(GLOB seldom CONFIGURE_DEPENDS ${folder}/*/command.cpp ${folder}/story/*.cpp)
  list(APPEND seldom ${folder}/load/report.cpp ${folder}/orders/ledger.cpp ${folder}/orders/service_watch.cpp)
  levity_seldom_runs(${seldom})
endif()
set(ROOM_ALONE load/response_reader.cpp story/show.cpp)  # a trim(), a height as others have them
