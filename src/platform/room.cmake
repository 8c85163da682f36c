set(ROOM_LIBS uring)
# libhwloc reads the machine where LEVITY_HWLOC asks for it; where it is there, the tests hold our own reader against it.
pkg_check_modules(HWLOC QUIET hwloc>=2.5)
if(HWLOC_FOUND)
  set(ROOM_TEST_LIBS hwloc)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/platform/topology_test.cpp PROPERTIES COMPILE_DEFINITIONS LEVITY_HWLOC=1)
endif()
if(LEVITY_HWLOC)
  if(NOT HWLOC_FOUND)
    message(FATAL_ERROR "LEVITY_HWLOC is ON and there is no hwloc of version 2.5 or later; install the package libhwloc-dev, or "
                        "say -DLEVITY_HWLOC=OFF: then /sys is read without it")
  endif()
  list(APPEND ROOM_LIBS hwloc)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/platform/topology.cpp PROPERTIES COMPILE_DEFINITIONS LEVITY_HWLOC=1)
endif()

# The names of the kernel's calls are those that its headers have for this machine (system_call_name.cpp).
set(ROOM_INCLUDES ${PROJECT_BINARY_DIR}/generated)
if(NOT EXISTS ${PROJECT_BINARY_DIR}/generated/system_calls.inc)
  file(WRITE ${PROJECT_BINARY_DIR}/generated/system_calls.c "#include <sys/syscall.h>\n")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS}")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${flags} -x c++ -E -dM ${PROJECT_BINARY_DIR}/generated/system_calls.c
                  OUTPUT_VARIABLE macros COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "#define SYS_[a-z0-9_]+ " calls "${macros}")
  list(TRANSFORM calls REPLACE "#define SYS_(.*) " "{SYS_\\1, \"\\1\"},")
  list(JOIN calls "\n" calls)
  file(WRITE ${PROJECT_BINARY_DIR}/generated/system_calls.inc "${calls}\n")
endif()
