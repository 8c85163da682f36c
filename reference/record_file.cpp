#include "reference/record_file.hpp"

#include <algorithm>

#include <fcntl.h>

namespace orders {
namespace {
constexpr std::size_t window_size = std::size_t{1} << 20;
}

std::expected<record_file, std::string> record_file::open(std::string path) {
  record_file made;
  made.path_ = std::move(path);
  auto file = open_file(made.path_, O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  made.file_ = std::move(*file);
  auto size = size_of(made.file_, made.path_);
  if (!size) return std::unexpected(std::move(size.error()));
  made.size_ = *size;
  if (auto read = read_at(made.file_, made.path_, 0, file_header_size, made.head_); !read) {
    return std::unexpected(std::move(read.error()));
  }
  return made;
}

void record_file::start(std::uint64_t generation, std::uint64_t next_sequence) noexcept {
  generation_ = generation;
  next_sequence_ = next_sequence;
  window_at_ = file_header_size;
  window_done_ = 0;
  window_.clear();
}

std::expected<std::optional<raw_record>, std::string> record_file::next() {
  for (;;) {
    scanner scan{std::string_view(window_).substr(window_done_), generation_, next_sequence_};
    if (auto raw = scan.next()) {
      window_done_ += raw->bytes.size();
      ++next_sequence_;
      return raw;
    }
    end_ = scan.end();
    const std::uint64_t window_end = window_at_ + window_.size();
    if (window_.size() - window_done_ >= record_size_max || window_end >= size_) return std::nullopt;
    window_at_ += window_done_;
    window_.erase(0, window_done_);
    window_done_ = 0;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(window_size, size_ - window_end));
    const std::size_t before = window_.size();
    if (auto read = read_at(file_, path_, window_end, size, window_); !read) {
      return std::unexpected(std::move(read.error()));
    }
    if (window_.size() == before) return std::nullopt;  // somebody shortened the file under us
  }
}

std::expected<std::string, std::string> record_file::bytes_from(std::uint64_t offset) const {
  std::string bytes;
  if (offset >= size_) return bytes;
  if (auto read = read_at(file_, path_, offset, static_cast<std::size_t>(size_ - offset), bytes); !read) {
    return std::unexpected(std::move(read.error()));
  }
  return bytes;
}

}  // namespace orders
