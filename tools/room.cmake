# Who reads command lines and writes reports works once a run, and drags the most templates along: a third less to compile.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND LEVITY_SANITIZE STREQUAL "none")
  file(GLOB seldom CONFIGURE_DEPENDS ${folder}/*/command.cpp ${folder}/story/*.cpp)
  set_source_files_properties(${seldom} ${folder}/load/report.cpp ${folder}/orders/ledger.cpp ${folder}/orders/service_watch.cpp
                              PROPERTIES COMPILE_OPTIONS -O1)
endif()
