#include "common/terminal.hpp"

#include <unistd.h>

#include <cstdlib>

namespace levity::tools {

bool is_terminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

paint paint::for_fd(int fd) {
  const char* refused = std::getenv("NO_COLOR");
  return paint(is_terminal(fd) && (refused == nullptr || *refused == '\0'));
}

}  // namespace levity::tools
