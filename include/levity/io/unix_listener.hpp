#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"
#include "levity/io/unix_stream.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How a Unix socket is bound to a name.
struct unix_bind_options {
  /// Permissions of the file, whatever the umask: who may write to it may connect. None: what the umask leaves of 0777. They hold
  /// before the first peer can connect. An abstract name has no permissions: any process of the machine's network namespace may
  /// connect, so ask for peer_credentials().
  std::optional<unsigned> mode{};
  /// Takes a path over at which a socket lies that nobody answers from any more, as a killed process leaves it. Never
  /// one that somebody listens at, nor another kind of file. Two that replace at the same time exclude each other by a lock
  /// (flock) on the directory; the later one fails with address_in_use.
  bool replace_stale = false;
};

/// How a listener is set up.
struct unix_listen_options {
  unix_bind_options bind{};  ///< the name
  /// Connections that may wait to be accepted, beside the first one; the kernel bounds it by net.core.somaxconn.
  int backlog = 4096;
};

/// Where Unix streams come in. Move-only; one task accepts at a time (asserted). Connections are dealt to the reactors in turn.
///
/// A path that it made is removed when it closes, if the file there is still the one it made. A process that is killed leaves it
/// behind: see replace_stale. In a simulated run a kill() does so, too, while a loss of power takes all such files.
class unix_listener {
public:
  unix_listener() = default;
  unix_listener(unix_listener&& other) noexcept { swap(other); }
  unix_listener& operator=(unix_listener&& other) noexcept {
    swap(other);
    return *this;
  }
  ~unix_listener() { close(); }

  /// Opens a listener at "/run/orders.sock" or "@orders". May be called before the runtime exists. A malformed name fails with
  /// invalid, a taken one with address_in_use; the message says what helps.
  static io_result<unix_listener> bind(std::string_view at, const unix_listen_options& options = {}) noexcept;
  static io_result<unix_listener> bind(const unix_address& at, const unix_listen_options& options = {}) noexcept;

  /// Takes over a descriptor of a listening Unix stream socket, also when it fails, as a service manager hands them down. Its
  /// file is not removed.
  static io_result<unix_listener> adopt(int fd) noexcept;

  /// The next connection. When descriptors or memory run out it waits and tries again rather than fail, and says so once on
  /// standard error. Fails when cancelled, out of time or closed, and when it was stopped and nothing waits any more (closed);
  /// then it has taken no connection.
  [[nodiscard]] task<io_result<unix_stream>> accept();
  /// A connection that is there already; would_block if there is none. Inside a task, while none accepts.
  [[nodiscard]] io_result<unix_stream> try_accept() noexcept;

  /// From here on who connects is refused, and the path is gone; what waits is still accepted. Idempotent. Any thread, also while a
  /// task waits in accept().
  void stop() noexcept;
  /// Closes; connections that still wait are reset. Idempotent. No task may accept.
  void close() noexcept;

  /// Whether it has a descriptor: was made, and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  /// Where it listens; empty when closed. Any thread, also while a task accepts.
  [[nodiscard]] unix_address local_address() const noexcept;

private:
  void swap(unix_listener& other) noexcept;
  void remove_file() noexcept;
  [[nodiscard]] io_result<detail::endpoint*> watched() noexcept;

  detail::endpoint* socket_ = nullptr;
  int fd_ = -1;                    // from bind() or adopt() to close(); watched from the first accept on, or before
  std::uint64_t file_device_ = 0;  // of the file it made
  std::uint64_t file_inode_ = 0;   // 0: none
};

}  // namespace levity
