#include "reference/record_file.hpp"

#include <algorithm>
#include <utility>

namespace orders {
namespace {
constexpr std::size_t window_size = std::size_t{1} << 20;
}

levity::task<std::expected<record_file, std::string>> record_file::open(std::string path) {
  record_file made;
  auto file = co_await named_file::open(std::move(path), {.read = true});
  if (!file) co_return std::unexpected(std::move(file.error()));
  made.file_ = std::move(*file);
  auto size = co_await made.file_.size();
  if (!size) co_return std::unexpected(std::move(size.error()));
  made.size_ = *size;
  auto read = co_await made.file_.read_at(0, file_header_size, made.head_);
  if (!read) co_return std::unexpected(std::move(read.error()));
  co_return std::move(made);
}

void record_file::start(std::uint64_t generation, std::uint64_t next_sequence) noexcept {
  generation_ = generation;
  next_sequence_ = next_sequence;
  window_at_ = file_header_size;
  window_done_ = 0;
  window_.clear();
}

std::optional<raw_record> record_file::next() noexcept {
  scanner scan{std::string_view(window_).substr(window_done_), generation_, next_sequence_};
  auto raw = scan.next();
  if (raw) {
    window_done_ += raw->bytes.size();
    ++next_sequence_;
  } else {
    end_ = scan.end();
  }
  return raw;
}

levity::task<std::expected<bool, std::string>> record_file::read_on() {
  const std::uint64_t window_end = window_at_ + window_.size();
  if (window_.size() - window_done_ >= record_size_max || window_end >= size_) co_return false;
  // A window takes milliseconds, and a large file many of them: others run between them, and who is told to end does.
  co_await levity::yield();
  window_at_ += window_done_;
  window_.erase(0, window_done_);
  window_done_ = 0;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(window_size, size_ - window_end));
  const std::size_t before = window_.size();
  auto read = co_await file_.read_at(window_end, size, window_);
  if (!read) co_return std::unexpected(std::move(read.error()));
  co_return window_.size() != before;  // or somebody shortened the file under us
}

levity::task<std::expected<std::string, std::string>> record_file::bytes_from(std::uint64_t offset) {
  std::string bytes;
  if (offset < size_) {
    auto read = co_await file_.read_at(offset, static_cast<std::size_t>(size_ - offset), bytes);
    if (!read) co_return std::unexpected(std::move(read.error()));
  }
  co_return std::move(bytes);
}

}  // namespace orders
