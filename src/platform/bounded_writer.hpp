#pragma once

// bounded_writer: text into a descriptor that perhaps nobody reads, from a thread that has more to do than to wait for it.
//
// A pipe that is full and never emptied would keep a blocking write, and whoever made it, for ever. Changing the descriptor to
// O_NONBLOCK would change it for everyone who shares it, so each piece waits until poll() says that there is room. That means room
// for PIPE_BUF bytes in a pipe, and no piece is longer. Where others write into the same pipe at the same moment they may take that
// room, and then the piece waits for the reader after all.

#include <cstddef>
#include <string_view>

namespace levity::inline v0::detail {

class bounded_writer {
public:
  /// Gives up after `patience_ms` without room for a single piece.
  bounded_writer(int fd, int patience_ms) noexcept : fd_(fd), patience_ms_(patience_ms) {}
  bounded_writer(const bounded_writer&) = delete;
  bounded_writer& operator=(const bounded_writer&) = delete;

  /// All of it, or nothing more once it has given up.
  void write(std::string_view text) noexcept;
  /// What is written after giving up: as much as there is room for now, without waiting.
  void write_last(std::string_view text) noexcept;
  /// Whether something is missing from what was written.
  [[nodiscard]] bool gave_up() const noexcept { return gave_up_; }

private:
  bool write_within(std::string_view text, int patience_ms) noexcept;

  int fd_;
  int patience_ms_;
  bool gave_up_ = false;
};

}  // namespace levity::detail
