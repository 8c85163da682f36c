#pragma once

#include <cstring>
#include <source_location>

namespace levity::inline v0::detail {

/// The name of the file without its folders: what a person needs to find it, in a line that is read at night.
inline const char* file_of(const std::source_location& at) noexcept {
  const char* const slash = std::strrchr(at.file_name(), '/');
  return slash != nullptr ? slash + 1 : at.file_name();
}

}  // namespace levity::detail
