#pragma once

// sparse_bytes: the bytes of a file, in pages that exist once something was written there.
//
// Copies share their pages until one of them writes: a crash, after which memory has what is on the disk, copies a table and not
// the bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

namespace levity::inline v0::sim {

class sparse_bytes {
public:
  static constexpr std::uint64_t page_bytes = 4096;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Pages that take room on the disk.
  [[nodiscard]] std::uint64_t pages() const noexcept { return pages_.size(); }
  /// How many of `size` bytes from `offset` on fit into pages that exist and `room` more.
  [[nodiscard]] std::uint64_t fitting(std::uint64_t offset, std::uint64_t size, std::uint64_t room) const noexcept;

  /// What is there, zeros where nothing is, also behind the end.
  void read(std::uint64_t offset, std::span<std::byte> into) const noexcept;
  /// The size stays: what lies behind the end is there once that has moved.
  void write(std::uint64_t offset, std::span<const std::byte> from);
  /// Zeros, and no room for the whole pages of them.
  void punch(std::uint64_t offset, std::uint64_t size);
  /// Room for bytes that are zeros until they are written.
  void allocate(std::uint64_t offset, std::uint64_t size);
  /// What was behind a new end that is nearer is zeros if it ever grows again.
  void resize(std::uint64_t size);
  /// Drops what lies behind the end.
  void trim();

private:
  using page = std::array<std::byte, page_bytes>;

  page& own(std::uint64_t index);
  void blank(std::uint64_t index, std::uint64_t from, std::uint64_t to);

  std::map<std::uint64_t, std::shared_ptr<page>> pages_;  // null: zeros that have their room
  std::uint64_t size_ = 0;
};

}  // namespace levity::sim
