#pragma once

// io_error: how an operation on the world can end other than well. A value, 16 bytes, no allocation.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace levity::inline v0 {

/// What happened, in the words of a caller. EOF, reset, cancelled and timed out are four different outcomes.
enum class io_failure : std::uint8_t {
  eof,               ///< the peer ended its side in order
  reset,             ///< the peer or the network tore the connection down
  cancelled,         ///< the task, its scope or the runtime was cancelled
  timed_out,         ///< a deadline around the operation passed, or the kernel gave up on the peer
  refused,           ///< nobody listens there
  unreachable,       ///< no route
  address_in_use,    ///< another socket owns the address
  no_address,        ///< no address of this machine, or no local port is left to connect from
  closed,            ///< this side was closed before
  would_block,       ///< only from try_ operations: not now
  no_descriptors,    ///< the process or the system is out of file descriptors
  no_memory,         ///< the kernel or the runtime is out of memory
  no_space,          ///< the disk or quota is full
  not_found,         ///< no such file, directory or name
  exists,            ///< it is there already
  permission,        ///< not allowed
  invalid,           ///< an argument the kernel refuses
  unsupported,       ///< this kernel or backend cannot do it
  truncated,         ///< the stream ended in the middle of what was asked for
  too_large,         ///< more than the bound that was given
  unavailable,       ///< who should answer cannot at the moment; later it may
  other,             ///< see code()
};

/// The failure's name in words, for logs and metrics. Never null.
std::string_view to_string(io_failure failure) noexcept;

/// Why an operation on a socket, file or timer did not succeed: the kind, the kernel's errno (0 if none) and what was
/// being done. Copyable value; thread-safe as any value.
class io_error {
public:
  /// An error of that kind; `code` is the kernel's errno or 0, `doing` a literal or null.
  constexpr io_error(io_failure failure, int code = 0, const char* doing = nullptr) noexcept
      : doing_(doing), code_(code), failure_(failure) {}

  /// The error for an errno value, as it was met while `doing` (a literal such as "reading request head").
  static io_error from_errno(int code, const char* doing = nullptr) noexcept;

  /// What happened, for a caller to act on.
  [[nodiscard]] constexpr io_failure failure() const noexcept { return failure_; }
  /// errno of the kernel, 0 when the kernel had no part in it.
  [[nodiscard]] constexpr int code() const noexcept { return code_; }
  /// The same error, with what was being done. `doing` must outlive it: a literal.
  [[nodiscard]] constexpr io_error during(const char* doing) const noexcept { return {failure_, code_, doing}; }
  /// One sentence: what was being done, what happened, what helps. Allocates.
  [[nodiscard]] std::string message() const;

  /// Two errors are equal when their kinds are.
  friend constexpr bool operator==(io_error a, io_error b) noexcept { return a.failure_ == b.failure_; }
  friend constexpr bool operator==(io_error a, io_failure b) noexcept { return a.failure_ == b; }

private:
  const char* doing_;
  int code_;
  io_failure failure_;
};

/// A value, or why an operation on the world did not bring one.
template <class T>
using io_result = std::expected<T, io_error>;

}  // namespace levity
