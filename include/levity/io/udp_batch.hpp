#pragma once

// Batches: many datagrams in one system call. The batch is the caller's, is sized once and used again and again; between two
// calls it is memory and nothing else.
//
//   udp_send_batch      rows of (bytes of the caller, receiver). [0, sent) went, [sent, size) are to go; a failed or cancelled
//                       send leaves that boundary where it was, and the next send goes on from there
//   udp_receive_batch   capacity buffers of datagram_bytes in one block; [0, size) hold what the last receive took
//
// Shapes that work: 32 to 128 rows (beyond, a call lasts so long that others wait); 2,048 bytes a row for what comes over a
// network; 65,536 a row, and few rows, where datagrams are coalesced (udp_socket::set_coalescing).

#include <cstddef>

#include "levity/base/address.hpp"
#include "levity/base/owner.hpp"
#include "levity/io/byte_view.hpp"

namespace levity::inline v0 {

namespace detail {
class datagram_rows;
}  // namespace detail

/// The datagrams of a buffer that holds one or several, in order: a forward range of byte_view. All are of the same size, but the
/// last may be shorter. Valid as long as the buffer.
class udp_segments {
public:
  /// `segment_bytes` 0: the buffer is one datagram.
  udp_segments(byte_view bytes, std::size_t segment_bytes) noexcept
      : bytes_(bytes), segment_bytes_(segment_bytes != 0 ? segment_bytes : bytes.size()) {}

  /// A place in the range.
  class iterator {
  public:
    using value_type = byte_view;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(byte_view left, std::size_t segment_bytes, std::size_t index) noexcept
        : left_(left), segment_bytes_(segment_bytes), index_(index) {}

    byte_view operator*() const noexcept { return left_.first(left_.size() < segment_bytes_ ? left_.size() : segment_bytes_); }
    iterator& operator++() noexcept {
      left_ = left_.subspan((**this).size());
      index_++;
      return *this;
    }
    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.index_ == b.index_; }

  private:
    byte_view left_;
    std::size_t segment_bytes_ = 0;
    std::size_t index_ = 0;
  };

  /// The first datagram.
  [[nodiscard]] iterator begin() const noexcept { return {bytes_, segment_bytes_, 0}; }
  /// Behind the last one.
  [[nodiscard]] iterator end() const noexcept { return {{}, segment_bytes_, size()}; }
  /// How many there are, at least one: a datagram may be empty.
  [[nodiscard]] std::size_t size() const noexcept {
    return bytes_.empty() ? 1 : (bytes_.size() + segment_bytes_ - 1) / segment_bytes_;
  }

private:
  byte_view bytes_;
  std::size_t segment_bytes_;
};

/// What one receive took: a datagram, or several of one sender in one buffer (udp_socket::set_coalescing).
struct udp_datagram {
  byte_view bytes;                ///< in the buffer it was received into
  address from;                   ///< the sender; the empty address where it was not asked for
  std::size_t segment_bytes = 0;  ///< 0: one datagram; else the size of all datagrams in `bytes` but the last
  bool truncated = false;         ///< it was longer than the buffer, and what did not fit is gone

  /// The datagrams one by one.
  [[nodiscard]] udp_segments segments() const noexcept { return {bytes, segment_bytes}; }
};

/// Datagrams to be sent together. Move-only; not thread-safe; no task may be sending it while it is changed or moved.
class udp_send_batch {
public:
  /// Room for `capacity` datagrams, at least one. Throws std::bad_alloc.
  explicit udp_send_batch(std::size_t capacity = 64);
  udp_send_batch(udp_send_batch&&) noexcept;
  udp_send_batch& operator=(udp_send_batch&&) noexcept;
  ~udp_send_batch();

  /// Adds a datagram for the peer of a connected socket. The bytes must live until it has been sent. False: no room. O(1).
  [[nodiscard]] bool add(byte_view bytes) noexcept;
  /// The same for any receiver.
  [[nodiscard]] bool add(byte_view bytes, const address& to) noexcept;

  /// The most datagrams that it has room for.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Datagrams that were added since clear().
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// How many of them the kernel has taken.
  [[nodiscard]] std::size_t sent() const noexcept { return sent_; }
  /// Whether add() would refuse.
  [[nodiscard]] bool is_full() const noexcept { return size_ == capacity_; }
  /// Leaves out the datagram that is next, such as one that the kernel refuses; it counts as sent.
  void skip() noexcept;
  /// Empty again.
  void clear() noexcept { size_ = sent_ = 0; }

private:
  friend class udp_socket;
  [[nodiscard]] bool add(byte_view bytes, const address* to) noexcept;

  detail::owner<detail::datagram_rows> rows_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  std::size_t sent_ = 0;
};

/// Room for datagrams that are received together. Move-only; not thread-safe; no task may be receiving into it while it is read or
/// moved. What it holds is valid until the next receive into it.
class udp_receive_batch {
public:
  /// `capacity` buffers, at least one, of `datagram_bytes` each; what is longer is truncated. Throws std::bad_alloc.
  explicit udp_receive_batch(std::size_t capacity = 64, std::size_t datagram_bytes = 2048);
  udp_receive_batch(udp_receive_batch&&) noexcept;
  udp_receive_batch& operator=(udp_receive_batch&&) noexcept;
  ~udp_receive_batch();

  /// The most buffers that one receive fills.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// How many buffers the last receive filled.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The datagram in buffer `index`, below size().
  [[nodiscard]] udp_datagram operator[](std::size_t index) const noexcept;

  /// A place in the batch, for range-for.
  class iterator {
  public:
    using value_type = udp_datagram;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(const udp_receive_batch& batch, std::size_t index) noexcept : batch_(&batch), index_(index) {}
    udp_datagram operator*() const noexcept { return (*batch_)[index_]; }
    iterator& operator++() noexcept {
      index_++;
      return *this;
    }
    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.index_ == b.index_; }

  private:
    const udp_receive_batch* batch_ = nullptr;
    std::size_t index_ = 0;
  };

  /// The first datagram of the last receive.
  [[nodiscard]] iterator begin() const noexcept { return {*this, 0}; }
  /// Behind the last one.
  [[nodiscard]] iterator end() const noexcept { return {*this, size_}; }

private:
  friend class udp_socket;

  detail::owner<detail::datagram_rows> rows_;
  detail::owner<std::byte[]> buffers_;
  std::size_t capacity_;
  std::size_t datagram_bytes_;
  std::size_t size_ = 0;
  std::size_t used_;  // rows [0, used_) were filled since they were prepared
};

}  // namespace levity
