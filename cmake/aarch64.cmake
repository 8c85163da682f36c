# A build for aarch64 by Debian's cross compiler, run by qemu-user: the core and its tests. LEVITY_AARCH64_ROOT holds the libraries
# of that architecture that the compiler does not bring (`./dev` unpacks them, into the build folder): installed, some would push
# out their namesakes of this machine.
if(NOT LEVITY_AARCH64_ROOT)
  set(LEVITY_AARCH64_ROOT ${CMAKE_BINARY_DIR}/root)
endif()
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LEVITY_AARCH64_ROOT)

set(CMAKE_FIND_ROOT_PATH ${LEVITY_AARCH64_ROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} ${LEVITY_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${LEVITY_AARCH64_ROOT})

# What pkg-config names without its folder.
string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT " -L${LEVITY_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu")

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu
    -E LD_LIBRARY_PATH=${LEVITY_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu)
