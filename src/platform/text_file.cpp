#include "platform/text_file.hpp"

#include <cerrno>
#include <cstdio>

namespace levity::inline v0::detail {

std::optional<std::string> read_text(const std::string& path) {
  constexpr std::size_t bytes_max = 1024 * 1024;
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text;
  char piece[4096];
  while (text.size() < bytes_max) {
    const std::size_t got = std::fread(piece, 1, sizeof piece, file);
    if (got == 0) break;
    text.append(piece, got);
  }
  const int code = std::ferror(file) != 0 ? errno : 0;
  std::fclose(file);
  if (code != 0) {
    errno = code;
    return std::nullopt;
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace levity::detail
