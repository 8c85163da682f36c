# Debian packages, by cpack; `./dev package` makes them.
#
#   liblevity0            liblevity.so.0: what a program that uses the core needs
#   liblevity-<room>0     the same for each optional room: only they know its libraries
#   liblevity-dev         headers, archives, links, CMake, pkg-config, the script for gdb
#   levity                the command
#
# The number is that of the inline namespace: v0 and v1 can be installed beside each other. What a package needs from Debian
# dpkg-shlibdeps reads out of its binaries.

if(NOT BUILD_SHARED_LIBS OR NOT LEVITY_PROGRAMS OR NOT LEVITY_COMPONENTS STREQUAL "all")
  message(FATAL_ERROR "LEVITY_PACKAGE wants BUILD_SHARED_LIBS=ON, LEVITY_PROGRAMS=ON and all components: './dev package' says so")
endif()
set(LEVITY_MAINTAINER "The levity authors <maintainers@levity.invalid>" CACHE STRING "who the packages name as their maintainer")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME levity)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${LEVITY_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
# Where dpkg-shlibdeps finds our own libraries, whose packages do not exist yet; what they need of each other is said below.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(same "= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")

# levity_package(component package section "first line" "the rest" depends...)
function(levity_package component package section summary text)
  string(TOUPPER ${component} key)
  list(JOIN ARGN ", " depends)
  foreach(pair IN ITEMS "PACKAGE_NAME=${package}" "PACKAGE_SECTION=${section}" "PACKAGE_DEPENDS=${depends}")
    string(REGEX MATCH "^([A-Z_]+)=(.*)$" _ "${pair}")
    set(CPACK_DEBIAN_${key}_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}" PARENT_SCOPE)
  endforeach()
  set(CPACK_DEBIAN_${key}_DESCRIPTION "${summary}\n${text}" PARENT_SCOPE)
  # What Debian asks of each package.
  set(folder ${PROJECT_BINARY_DIR}/packaging/${package})
  file(CONFIGURE OUTPUT ${folder}/copyright CONTENT [[
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: levity

Files: *
Copyright: 2026 The levity authors
License: Apache-2.0
 On Debian systems the text of this license is in /usr/share/common-licenses/Apache-2.0.
]])
  file(CONFIGURE OUTPUT ${folder}/changelog.Debian @ONLY CONTENT [[
levity (@PROJECT_VERSION@-@CPACK_DEBIAN_PACKAGE_RELEASE@) unstable; urgency=medium

  * What has changed stands in CHANGELOG.md.

 -- @LEVITY_MAINTAINER@  Mon, 05 Jan 2026 00:00:00 +0000
]])
  execute_process(COMMAND gzip -9nc ${folder}/changelog.Debian OUTPUT_FILE ${folder}/changelog.Debian.gz COMMAND_ERROR_IS_FATAL ANY)
  install(FILES ${folder}/copyright ${folder}/changelog.Debian.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
    COMPONENT ${component})
  set(LEVITY_PACKAGED ${LEVITY_PACKAGED} ${component} PARENT_SCOPE)
endfunction()

set(about " levity runs services that hold very many connections: straight-line coroutines,\n\
 scopes that end after their tasks, and a reason for each wait.")
set(LEVITY_PACKAGED)
set(runtime_packages "liblevity${LEVITY_SOVERSION} (${same})")
levity_package(levity liblevity${LEVITY_SOVERSION} libs "runtime for services with very many connections" "${about}")
set(room_packages)
foreach(room IN LISTS LEVITY_OPTIONAL_ROOMS)
  if(TARGET levity_${room})
    set(needs ${runtime_packages})
    foreach(used IN LISTS LEVITY_USES_${room})
      if(used IN_LIST LEVITY_OPTIONAL_ROOMS AND TARGET levity_${used})
        list(APPEND needs "liblevity-${used}${LEVITY_SOVERSION} (${same})")
      endif()
    endforeach()
    levity_package(levity-${room} liblevity-${room}${LEVITY_SOVERSION} libs
      "runtime for services with very many connections: ${room}"
      "${about}\n .\n This package holds its component ${room}." ${needs})
    list(APPEND room_packages "liblevity-${room}${LEVITY_SOVERSION} (${same})")
  endif()
endforeach()
levity_package(dev liblevity-dev libdevel "runtime for services with very many connections: development files"
  "${about}\n .\n This package holds headers, static libraries, and what CMake, pkg-config and gdb\n need to find them."
  ${runtime_packages} ${room_packages} libfmt-dev liburing-dev)
# For who links the components resolve and service statically.
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "libc-ares-dev, libre2-dev, libyaml-cpp-dev")
levity_package(tools levity utils "tools for services with very many connections"
  " The command levity drives a service at a fixed rate and counts latency from the\n moment at which each request was due."
  ${runtime_packages} ${room_packages})
# What they hold, and nothing else of the project.
add_custom_target(package_files)
foreach(kind IN LISTS LEVITY_KINDS)
  foreach(library IN ITEMS levity ${LEVITY_OPTIONAL_LIBRARIES})
    levity_of_kind(of_kind ${library} ${kind})
    add_dependencies(package_files ${of_kind})
  endforeach()
endforeach()
add_dependencies(package_files levity_command)

set(CPACK_COMPONENTS_ALL ${LEVITY_PACKAGED})
include(CPack)
