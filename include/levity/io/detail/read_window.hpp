#pragma once

// read_window: the bytes that a buffered reader has taken from its source and not given to its user.
//
//   lent    they lie in the source's own buffer, and the window owns nothing
//   owned   they lie in the window's memory: some had to be kept while more came
//
//   lend() lends, room() makes it own, drop() forgets memory when nothing is in it. A connection between two requests has
//   an empty window, so it holds no memory.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

class read_window {
public:
  explicit read_window(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  read_window(const read_window&) = delete;
  read_window& operator=(const read_window&) = delete;
  ~read_window() { forget(); }

  [[nodiscard]] std::span<const std::byte> unread() const noexcept { return {begin_, size_}; }
  [[nodiscard]] std::size_t bytes_max() const noexcept { return bytes_max_; }
  /// What was taken stays readable until the next call of anything but unread().
  void take(std::size_t count) noexcept;

  /// Only while empty.
  void lend(std::span<const std::byte> view) noexcept;
  /// Only while empty: gives its memory back.
  void drop() noexcept;
  /// Where more bytes may be read to, behind those that are there; empty when bytes_max of them are. Throws std::bad_alloc.
  [[nodiscard]] std::span<std::byte> room();
  /// So many were read there.
  void added(std::size_t count) noexcept { size_ += count; }
  /// Bytes that were taken are unread again, before the others; may exceed bytes_max. Throws std::bad_alloc.
  void put_back(std::span<const std::byte> taken);

private:
  void forget() noexcept;
  void own(std::size_t capacity, std::size_t before);

  const std::byte* begin_ = nullptr;
  std::size_t size_ = 0;
  std::byte* owned_ = nullptr;
  std::size_t capacity_ = 0;
  const std::size_t bytes_max_;
};

/// What a read looks for at the front of a window.
struct read_request {
  enum class kind : std::uint8_t { count, delimiter };
  enum class verdict : std::uint8_t { found, more, too_large };

  kind what = kind::count;
  bool consumes = true;
  std::size_t size = 0;        // count: so many bytes; delimiter: at most so many, with it
  std::string_view delimiter{};  // the caller's
  std::size_t looked = 0;      // so many bytes were searched in vain
  std::size_t found = 0;       // the size of what was found

  /// O(bytes that were not looked at before).
  verdict look(std::span<const std::byte> unread, std::size_t bytes_max) noexcept;
};

}  // namespace levity::detail
