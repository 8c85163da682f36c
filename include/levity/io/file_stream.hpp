#pragma once

// A file as a stream, for buffered readers and writers, copy, and whatever else moves bytes: a place in the file that moves on.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "levity/base/error.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/io/file.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Reads a file from one place on. A byte_source. The file is the caller's and outlives it; any number of them may read one file.
/// One task at a time uses it. What a cancelled task had begun to read counts as read, as with any file.
class file_reader {
public:
  /// Begins at `offset`.
  explicit file_reader(file& from, std::uint64_t offset = 0) noexcept : file_(&from), offset_(offset) {}

  /// At least one byte, eof at the end of the file: who waits for the file to grow asks again.
  task<io_result<std::size_t>> read_some(std::span<std::byte> into) { return read(this, into); }

  /// Where the next read begins.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

private:
  static task<io_result<std::size_t>> read(file_reader* self, std::span<std::byte> into);

  file* file_;
  std::uint64_t offset_;
};

/// Writes a file from one place on. A byte_sink. The file is the caller's and outlives it. One task at a time uses it.
class file_writer {
public:
  /// Begins at `offset`; what lies behind what it writes stays.
  explicit file_writer(file& to, std::uint64_t offset = 0) noexcept : file_(&to), offset_(offset) {}

  /// Writes all of it. The bytes must live until it has returned.
  task<io_result<void>> write_all(byte_view bytes) { return write(this, bytes); }
  /// The same for text.
  task<io_result<void>> write_all(std::string_view text) { return write(this, std::as_bytes(std::span(text))); }

  /// Where the next write begins.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }

private:
  static task<io_result<void>> write(file_writer* self, byte_view bytes);

  file* file_;
  std::uint64_t offset_;
};

}  // namespace levity
