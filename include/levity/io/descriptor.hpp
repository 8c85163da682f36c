#pragma once

#include <utility>

#include "levity/base/error.hpp"

namespace levity::inline v0 {

/// A descriptor that is owned: closed in the end, once. Move-only; not thread-safe.
class descriptor {
public:
  descriptor() = default;
  /// Takes `fd` over; -1 is none.
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }

  /// Another descriptor of what `fd` names, close-on-exec. `fd` stays its owner's. Fails with no_descriptors or closed.
  static io_result<descriptor> duplicate(int fd) noexcept;

  /// Stays this object's; -1 when there is none.
  [[nodiscard]] int get() const noexcept { return fd_; }
  /// Whether there is one.
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  /// Is the caller's from here on: for an adopt() that takes it over.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Idempotent.
  void close() noexcept;

private:
  int fd_ = -1;
};

}  // namespace levity
