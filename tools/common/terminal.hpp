// terminal.hpp -- colour and cursor tricks, only where a person is looking.
#pragma once

#include <string>
#include <string_view>

namespace levity::tools {

/// True when `fd` is a terminal that understands escape sequences (TERM is set and is not "dumb").
[[nodiscard]] bool is_terminal(int fd);

/// Paints text with ANSI colours, or leaves it alone.
class paint {
public:
  explicit paint(bool colour) : colour_(colour) {}

  /// Colours when `fd` is a terminal and NO_COLOR is not set (no-color.org).
  static paint for_fd(int fd);

  [[nodiscard]] bool colour() const { return colour_; }
  [[nodiscard]] std::string bold(std::string_view text) const { return wrap("1", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return wrap("2", text); }
  [[nodiscard]] std::string red(std::string_view text) const { return wrap("1;31", text); }
  [[nodiscard]] std::string green(std::string_view text) const { return wrap("1;32", text); }
  [[nodiscard]] std::string yellow(std::string_view text) const { return wrap("1;33", text); }
  [[nodiscard]] std::string cyan(std::string_view text) const { return wrap("36", text); }

private:
  [[nodiscard]] std::string wrap(std::string_view code, std::string_view text) const {
    if (!colour_) return std::string(text);
    return std::string("\x1b[").append(code).append("m").append(text).append("\x1b[0m");
  }

  bool colour_;
};

}  // namespace levity::tools
