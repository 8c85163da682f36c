#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "reference/log_format.hpp"
#include "reference/named_file.hpp"

namespace orders {

/// Reads a log or snapshot from its beginning, one MiB of memory at a time: next() gives what is there, without a task for each
/// record, and read_on() brings more.
///
///     for (bool more = true; more;) {
///       while (const auto raw = file.next()) use(*raw);
///       const auto read = co_await file.read_on();
///       if (!read) co_return std::unexpected(read.error());
///       more = *read;
///     }
///
/// Errors of `expected` are I/O errors; what the bytes say is told by end().
class record_file {
public:
  static levity::task<std::expected<record_file, std::string>> open(std::string path);

  const std::string& path() const noexcept { return file_.path(); }
  std::uint64_t size() const noexcept { return size_; }
  /// The first bytes, as many as a file header has if the file has them.
  std::string_view head() const noexcept { return head_; }

  /// Records begin after the file header.
  void start(std::uint64_t generation, std::uint64_t next_sequence) noexcept;
  /// Views into the record last until the next read_on(). Nothing: more must be read, or this is the end of the valid prefix.
  std::optional<raw_record> next() noexcept;
  /// After next() gave nothing. False: the valid prefix ends here; position() and end() say where and why. Throws `cancelled` if
  /// the task was.
  levity::task<std::expected<bool, std::string>> read_on();

  std::uint64_t position() const noexcept { return window_at_ + window_done_; }
  scan_end end() const noexcept { return end_; }
  std::uint64_t next_sequence() const noexcept { return next_sequence_; }
  /// Every byte from `offset` on.
  levity::task<std::expected<std::string, std::string>> bytes_from(std::uint64_t offset);

private:
  named_file file_;
  std::uint64_t size_ = 0;
  std::string head_;
  std::string window_;
  std::uint64_t window_at_ = file_header_size;
  std::size_t window_done_ = 0;
  std::uint64_t generation_ = 0;
  std::uint64_t next_sequence_ = 0;
  scan_end end_ = scan_end::complete;
};

}  // namespace orders
