# What `cmake --install` lays down: the libraries, the public headers, how other builds find them, and the command `levity`.
#
#   CMake        find_package(levity COMPONENTS http)   levity::levity, levity::http; `static` or `shared` picks one of both kinds
#   pkg-config   levity, levity-http                    --static names what a static library leaves to its user; not needed where
#                                                       only that one is installed
#
# Every path is relative to the prefix, so an installed tree can be moved.
#
# Symbols keep default visibility: the templates of the public headers call levity::detail, so most of what would be hidden is
# exported anyway, and a dump finds the names of functions among the exported ones. levity::v0 keeps versions apart.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The soversion is the number of the inline namespace: names and library change together.
file(STRINGS ${PROJECT_SOURCE_DIR}/include/levity/task/task.hpp opens REGEX "^namespace levity::inline v[0-9]+ {")
if(NOT opens MATCHES "^namespace levity::inline v([0-9]+) {")
  message(FATAL_ERROR "include/levity/task/task.hpp no longer opens 'namespace levity::inline vN {': the soversion is read there")
endif()
set(LEVITY_SOVERSION ${CMAKE_MATCH_1})
if(NOT LEVITY_SOVERSION EQUAL PROJECT_VERSION_MAJOR)
  message(FATAL_ERROR "the names are those of v${LEVITY_SOVERSION}, the project is ${PROJECT_VERSION}: change one of them")
endif()

# What a user of the installed `target` must find or link beside it, as CMake commands and as pkg-config fields.
function(levity_install_library target name summary)
  cmake_parse_arguments(PC "" "" "REQUIRES;REQUIRES_PRIVATE;LIBS_PRIVATE" ${ARGN})
  if(name STREQUAL "levity")
    set(module levity)
  else()
    set(module levity-${name})
  endif()
  foreach(kind IN LISTS LEVITY_KINDS)
    levity_of_kind(of_kind ${target} ${kind})
    set_target_properties(${of_kind} PROPERTIES EXPORT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${LEVITY_SOVERSION})
    install(TARGETS ${of_kind} EXPORT levity_${name}_${kind}_targets
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${module} NAMELINK_COMPONENT dev
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
      INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT levity_${name}_${kind}_targets NAMESPACE levity:: FILE ${name}_${kind}_targets.cmake
      DESTINATION ${LEVITY_CMAKE_DIR} COMPONENT dev)
  endforeach()
  # An archive leaves these to its user: where there is no shared library beside it, whether --static was asked for or not.
  set(PC_LIBS "-l${target}")
  if(LEVITY_KINDS STREQUAL "static")
    list(APPEND PC_REQUIRES ${PC_REQUIRES_PRIVATE})
    list(APPEND PC_LIBS ${PC_LIBS_PRIVATE})
    set(PC_REQUIRES_PRIVATE)
    set(PC_LIBS_PRIVATE)
  endif()
  list(JOIN PC_LIBS " " PC_LIBS)
  list(JOIN PC_REQUIRES ", " PC_REQUIRES)
  list(JOIN PC_REQUIRES_PRIVATE ", " PC_REQUIRES_PRIVATE)
  list(JOIN PC_LIBS_PRIVATE " " PC_LIBS_PRIVATE)
  set(PC_NAME ${module})
  set(PC_SUMMARY ${summary})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/levity.pc.in ${PROJECT_BINARY_DIR}/${module}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${module}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endfunction()

function(levity_install)
  set(LEVITY_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/levity)
  # Where the prefix is, seen from the folder of the pkg-config files.
  file(RELATIVE_PATH up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" LEVITY_PC_UP "${up}")

  set(modules fmt liburing)
  if(LEVITY_HWLOC)
    list(APPEND modules hwloc)
  endif()
  levity_install_library(levity levity "${PROJECT_DESCRIPTION}" REQUIRES_PRIVATE ${modules} LIBS_PRIVATE -pthread)
  foreach(room IN LISTS LEVITY_OPTIONAL_ROOMS)
    if(NOT TARGET levity_${room})
      continue()
    endif()
    levity_read_room(${PROJECT_SOURCE_DIR}/src/${room})
    set(requires levity)
    set(needs)
    foreach(used IN LISTS LEVITY_USES_${room})
      if(used IN_LIST LEVITY_OPTIONAL_ROOMS AND TARGET levity_${used})
        list(APPEND requires levity-${used})
        list(APPEND needs ${used})
      endif()
    endforeach()
    set(libs)
    foreach(library IN LISTS ROOM_LIBS)
      get_filename_component(stem ${library} NAME_WE)
      string(REGEX REPLACE "^lib" "" stem ${stem})
      list(APPEND libs -l${stem})
    endforeach()
    levity_install_library(levity_${room} ${room} "the ${room} component of levity"
      REQUIRES ${requires} REQUIRES_PRIVATE fmt LIBS_PRIVATE ${libs})
    string(APPEND LEVITY_COMPONENT_NEEDS "set(levity_needs_${room} ${needs})\n")
    list(APPEND LEVITY_COMPONENTS_THERE ${room})
  endforeach()

  # Public headers: those of the core, and those of the rooms that were built.
  set(omitted)
  foreach(room IN LISTS LEVITY_OMITTED_ROOMS)
    list(APPEND omitted PATTERN include/levity/${room} EXCLUDE)
    if(EXISTS ${PROJECT_SOURCE_DIR}/src/${room})
      list(APPEND LEVITY_COMPONENTS_OMITTED ${room})
    endif()
  endforeach()
  list(JOIN LEVITY_COMPONENTS_THERE ", " LEVITY_COMPONENTS_LIST)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/levity DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT dev FILES_MATCHING PATTERN *.hpp ${omitted})
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/levity_config.cmake.in ${PROJECT_BINARY_DIR}/levity-config.cmake
    INSTALL_DESTINATION ${LEVITY_CMAKE_DIR})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/levity-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/levity-config.cmake ${PROJECT_BINARY_DIR}/levity-config-version.cmake
    DESTINATION ${LEVITY_CMAKE_DIR} COMPONENT dev)

  # gdb loads a script by the path of the library that it is for; for a static library it is read by `source`.
  install(FILES ${PROJECT_SOURCE_DIR}/tools/gdb/levity_gdb.py DESTINATION ${CMAKE_INSTALL_DATADIR}/levity COMPONENT dev)
  if(BUILD_SHARED_LIBS)
    install(FILES ${PROJECT_SOURCE_DIR}/tools/gdb/levity_gdb.py
      DESTINATION ${CMAKE_INSTALL_DATADIR}/gdb/auto-load/${CMAKE_INSTALL_FULL_LIBDIR}
      RENAME liblevity.so.${PROJECT_VERSION}-gdb.py COMPONENT dev)
  endif()
  if(TARGET levity_command)
    # Beside shared libraries it finds them from where it lies. Packages put both where the loader looks anyway.
    if(BUILD_SHARED_LIBS AND NOT LEVITY_PACKAGE)
      file(RELATIVE_PATH libraries /prefix/${CMAKE_INSTALL_BINDIR} /prefix/${CMAKE_INSTALL_LIBDIR})
      set_target_properties(levity_command PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")
    endif()
    install(TARGETS levity_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
  endif()
endfunction()
