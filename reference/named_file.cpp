#include "reference/named_file.hpp"

#include <cerrno>
#include <span>
#include <system_error>

#include <fmt/format.h>

namespace orders {
namespace {

using outcome = std::expected<void, std::string>;

std::unexpected<std::string> failed(std::string_view what, const std::string& path, const levity::io_error& why) {
  const int error = why.code();
  std::string remedy;
  if (why == levity::io_failure::no_space) remedy = "; free some space on that file system";
  if (error == EACCES || error == EPERM || error == EROFS) remedy = "; the service must be allowed to write there";
  return std::unexpected(fmt::format("Cannot {} {}: {}{}.", what, path, cause_of(why), remedy));
}

outcome told(std::string_view what, const std::string& path, const levity::io_result<void>& ended) {
  if (ended) return {};
  return failed(what, path, ended.error());
}

std::string directory_of(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Who may not read a directory cannot sync it, and some file systems have nothing to sync: no reason not to start. A disk that
// fails is.
bool is_of_the_disk(const levity::io_error& why) {
  return why.code() == EIO || why == levity::io_failure::no_space;
}

}  // namespace

std::string cause_of(const levity::io_error& why) {
  if (why.code() == 0) return std::string(levity::to_string(why.failure()));
  return std::generic_category().message(why.code());
}

levity::task<std::expected<named_file, std::string>> named_file::open(std::string path, levity::file_options how) {
  auto opened = co_await levity::file::open(path, how);
  if (!opened) co_return failed("open", path, opened.error());
  co_return named_file{std::move(*opened), std::move(path)};
}

levity::task<std::expected<std::uint64_t, std::string>> named_file::size() {
  const auto status = co_await levity::path_status(path_);
  if (!status) co_return failed("look at", path_, status.error());
  if (status->kind != levity::file_kind::regular) {
    co_return std::unexpected(path_ + " is not a regular file; move it away.");
  }
  const auto size = file_.size();
  if (!size) co_return failed("look at", path_, size.error());
  co_return *size;
}

levity::task<std::expected<void, std::string>> named_file::read_at(std::uint64_t offset, std::size_t size, std::string& out) {
  const std::size_t start = out.size();
  out.resize(start + size);
  const auto got = co_await file_.read_at(offset, std::as_writable_bytes(std::span(out).subspan(start)));
  out.resize(start + got.value_or(0));
  if (!got) co_return failed("read", path_, got.error());
  co_return outcome{};
}

levity::task<std::expected<void, std::string>> named_file::write_at(std::uint64_t offset, std::string_view bytes) {
  const auto put = co_await file_.write_at(offset, bytes);
  if (!put) co_return failed("write to", path_, put.error());
  co_return outcome{};
}

levity::task<std::expected<void, std::string>> named_file::sync() {
  const auto ended = co_await file_.sync();
  co_return told("make durable", path_, ended);
}

levity::task<std::expected<void, std::string>> named_file::truncate(std::uint64_t size) {
  const auto ended = co_await file_.truncate(size);
  co_return told("shorten", path_, ended);
}

levity::io_result<void> named_file::try_lock() { return file_.try_lock(); }

levity::task<> named_file::close() {
  if (file_.is_open()) (void)co_await file_.close();
}

levity::task<std::expected<void, std::string>> rename_file(std::string from, std::string to) {
  const auto ended = co_await levity::rename_file(from, std::move(to));
  co_return told("rename", from, ended);
}

levity::task<std::expected<void, std::string>> remove_file(std::string path) {
  const auto ended = co_await levity::remove_file(path);
  if (!ended && ended.error().code() == ENOENT) co_return outcome{};
  co_return told("remove", path, ended);
}

levity::task<std::expected<void, std::string>> sync_directory(std::string path) {
  const auto ended = co_await levity::sync_directory(path);
  co_return told("make durable", path, ended);
}

levity::task<std::expected<bool, std::string>> is_there(std::string path) {
  const auto status = co_await levity::path_status(path, false);
  if (!status && status.error() != levity::io_failure::not_found) co_return failed("look at", path, status.error());
  co_return status.has_value();
}

levity::task<levity::io_result<void>> make_directories(std::string path) {
  const std::string above = directory_of(path);
  const auto known = co_await levity::path_status(path);
  if (known) {
    if (known->kind != levity::file_kind::directory) co_return std::unexpected(levity::io_error::from_errno(ENOTDIR));
  } else {
    if (known.error() != levity::io_failure::not_found) co_return std::unexpected(known.error());
    if (above != path) {
      const auto made = co_await make_directories(above);
      if (!made) co_return std::unexpected(made.error());
    }
    const auto made = co_await levity::make_directory(path);
    if (!made && made.error() != levity::io_failure::exists) co_return std::unexpected(made.error());
  }
  // One that was there, too: who made it may have been killed before this.
  const auto synced = co_await levity::sync_directory(above);
  if (!synced && is_of_the_disk(synced.error())) co_return std::unexpected(synced.error());
  co_return levity::io_result<void>{};
}

}  // namespace orders
