#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// Who carries a runtime's file operations out.
enum class file_means : std::uint8_t {
  automatic,  ///< io_uring; where the kernel refuses it, threads, and one line on standard error names the cause
  ring,       ///< io_uring, or the operations fail
  blocking,   ///< threads
};

}  // namespace levity
