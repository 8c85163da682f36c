#pragma once

// proc_text: small files of /proc and /sys, read past the seam of system calls: faults that are planned for I/O would make nonsense
// of what the kernel says of a thread. errno is left as it was.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>

namespace levity::inline v0::detail::proc {

/// -1, and the errno in `why`, if it cannot be read.
inline int open(const char* path, int* why = nullptr) noexcept {
  const int errno_before = errno;
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0 && why != nullptr) *why = errno;
  errno = errno_before;
  return fd;
}

inline void close(int fd) noexcept {
  if (fd >= 0) ::syscall(SYS_close, fd);
}

/// From its beginning, what fits; empty, and the errno in `why`, when there is nothing to be had.
template <std::size_t Size>
std::string_view read(int fd, char (&into)[Size], int* why = nullptr) noexcept {
  if (fd < 0) return {};
  const int errno_before = errno;
  const auto size = ::syscall(SYS_pread64, fd, into, Size, 0L);
  if (size < 0 && why != nullptr) *why = errno;
  errno = errno_before;
  return {into, size > 0 ? static_cast<std::size_t>(size) : 0};
}

/// The next word; `text` goes on behind it.
inline std::string_view next_word(std::string_view& text) noexcept {
  const std::size_t from = text.find_first_not_of(" \n");
  if (from == std::string_view::npos) return text = {};
  text.remove_prefix(from);
  const std::string_view word = text.substr(0, text.find_first_of(" \n"));
  text.remove_prefix(word.size());
  return word;
}

/// Decimal, or hexadecimal behind 0x; 0 of what is no number.
template <class T>
T number(std::string_view word) noexcept {
  T value{};
  const bool is_hexadecimal = word.starts_with("0x");
  if (is_hexadecimal) word.remove_prefix(2);
  std::from_chars(word.data(), word.data() + word.size(), value, is_hexadecimal ? 16 : 10);
  return value;
}

}  // namespace levity::detail::proc
