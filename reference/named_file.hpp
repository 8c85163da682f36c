// named_file: a file with its path, so that whatever fails on it is a whole sentence: what, where, why, and what helps.
//
// All of it inside tasks, by the runtime's files: nobody's worker waits for a disk, and in a simulated run the disk is simulated,
// too. A task that is cancelled goes on here: who has much to read asks between its windows (record_file.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include <levity/levity.hpp>

namespace orders {

/// Move-only, one task at a time. Errors: one sentence.
class named_file {
public:
  named_file() = default;

  static levity::task<std::expected<named_file, std::string>> open(std::string path, levity::file_options how);

  const std::string& path() const noexcept { return path_; }
  bool is_open() const noexcept { return file_.is_open(); }
  /// Bytes in it. An error, too, if it is no regular file.
  levity::task<std::expected<std::uint64_t, std::string>> size();
  /// Appends up to `size` bytes from `offset` to `out`; fewer only at the end of the file.
  levity::task<std::expected<void, std::string>> read_at(std::uint64_t offset, std::size_t size, std::string& out);
  levity::task<std::expected<void, std::string>> write_at(std::uint64_t offset, std::string_view bytes);
  levity::task<std::expected<void, std::string>> sync();
  levity::task<std::expected<void, std::string>> truncate(std::uint64_t size);
  /// Takes the file for this process until it is closed; would_block if another has it. Never waits.
  levity::io_result<void> try_lock();
  /// Closes it, and with it gives up its lock. How that goes nobody asks: what matters was synced.
  levity::task<> close();

  /// Without its name, which is this object's no more.
  levity::file release() && { return std::move(file_); }

private:
  named_file(levity::file file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  levity::file file_;
  std::string path_;
};

// Names. Errors: one sentence.

levity::task<std::expected<void, std::string>> rename_file(std::string from, std::string to);
/// One that is not there is removed.
levity::task<std::expected<void, std::string>> remove_file(std::string path);
levity::task<std::expected<void, std::string>> sync_directory(std::string path);
/// Whether there is something of that name.
levity::task<std::expected<bool, std::string>> is_there(std::string path);

/// Makes a directory and those above it that are missing, each durable in the one above.
levity::task<levity::io_result<void>> make_directories(std::string path);
/// The cause alone: "No such file or directory".
std::string cause_of(const levity::io_error& why);

}  // namespace orders
