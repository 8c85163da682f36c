// file_copier: copies a file, many pieces at a time, so that the copy is there whole or not at all. Shows files and when_all.
//
//   file_copier FROM TO
//
// It writes TO.part, makes that durable, and renames it to TO: who looks at TO sees the old file or the new one, also after a
// power cut. No worker waits for the disk: the pieces are read and written by io_uring, on a thread of the runtime's own.

#include <levity/levity.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <expected>
#include <string>
#include <vector>

namespace lv = levity;

constexpr std::size_t piece_bytes = 256 * 1024;
constexpr std::size_t stripes = 8;  // pieces under way: a disk likes to be asked for several things at once

// Every eighth piece, from the `first` on.
lv::task<lv::io_result<void>> copy_stripe(lv::file* from, lv::file* to, std::uint64_t first, std::uint64_t size) {
  std::vector<std::byte> buffer(piece_bytes);
  for (std::uint64_t at = first * piece_bytes; at < size; at += stripes * piece_bytes) {
    co_await lv::yield();  // file operations end by themselves; this is where a cancelled copy (^C) ends: `cancelled` is thrown
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(piece_bytes, size - at));
    const auto got = co_await from->read_at(at, piece);
    if (!got) co_return std::unexpected(got.error());
    if (*got != piece.size()) co_return std::unexpected(lv::io_error(lv::io_failure::truncated, 0, "reading a file that shrank"));
    const auto written = co_await to->write_at(at, std::span<const std::byte>(piece));
    if (!written) co_return std::unexpected(written.error());
  }
  co_return lv::io_result<void>{};
}

lv::task<lv::io_result<void>> fill(lv::file* from, std::string path) {
  const auto size = from->size();
  if (!size) co_return std::unexpected(size.error());
  auto to = co_await lv::file::open(path, {.write = true, .create = true, .truncate = true});
  if (!to) co_return std::unexpected(to.error());
  std::vector<lv::task<lv::io_result<void>>> parts;
  for (std::size_t first = 0; first < stripes; first++) parts.push_back(copy_stripe(from, &*to, first, *size));
  for (const auto& part : co_await lv::when_all(std::move(parts))) {  // all of them have ended
    if (!part) co_return part;
  }
  const auto durable = co_await to->sync();
  if (!durable) co_return std::unexpected(durable.error());
  const auto closed = co_await to->close();
  if (!closed) co_return std::unexpected(closed.error());
  co_return lv::io_result<void>{};
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

lv::task<lv::io_result<void>> copy(std::string from, std::string to) {
  auto source = co_await lv::file::open(from, {.read = true});
  if (!source) co_return std::unexpected(source.error());
  const std::string part = to + ".part";
  lv::io_result<void> done;
  std::exception_ptr cut_short;
  try {
    done = co_await fill(&*source, part);
    if (done) done = co_await lv::rename_file(part, to);
  } catch (...) {
    cut_short = std::current_exception();  // ^C: `cancelled`. A handler cannot co_await: note it, and tidy up below
  }
  if (cut_short || !done) {
    (void)co_await lv::shield(lv::remove_file(part));  // tidying up is what shields are for
    if (cut_short) std::rethrow_exception(cut_short);  // to the end of the main task; the exit code is then 130
    co_return done;
  }
  co_return co_await lv::sync_directory(directory_of(to));
}

lv::task<int> run(std::string from, std::string to) {
  const auto done = co_await copy(from, to);
  if (done) co_return 0;
  std::fprintf(stderr, "file_copier: %s to %s: %s\n", from.c_str(), to.c_str(), done.error().message().c_str());
  co_return 1;
}

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: file_copier FROM TO\n", stderr);
    return 2;
  }
  return lv::run(run, std::string(arguments[1]), std::string(arguments[2]));
}
