#pragma once

// Unix sockets: names, binding, messages with descriptors. One short sequence of system calls a function, none of which waits for
// a peer; those that name a path look it up, as any open() does.

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"

namespace levity::inline v0::detail {

/// The kernel takes no more descriptors with one message (SCM_MAX_FD).
inline constexpr std::size_t descriptors_max = 253;

/// A non-blocking Unix socket of SOCK_STREAM or SOCK_DGRAM, close-on-exec.
io_result<int> open_unix_socket(int type) noexcept;
/// Two of them, connected to each other.
io_result<void> open_unix_pair(int type, int (&fds)[2]) noexcept;
/// Makes a Unix socket of `type` from elsewhere non-blocking; closed if it is no descriptor, invalid if it is something else.
io_result<void> check_unix_socket(int fd, int type) noexcept;

/// Which file a socket was bound to; both 0: none.
struct socket_file {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

struct unix_bind_request {
  unix_address at;
  int backlog = -1;  // below 0: does not listen
  int mode = -1;     // permissions of the file; -1: what the umask leaves
  bool replace_stale = false;
};

/// Binds, sets the permissions, and only then listens: nobody connects before they hold. `replace_stale` takes the path over when
/// the socket there answers nobody; who else asks for the same is kept out meanwhile by a lock on the directory.
io_result<socket_file> bind_unix_socket(int fd, const unix_bind_request& request) noexcept;
/// Why a socket could not be bound there, with the name.
io_error unix_binding_error(const unix_address& at, int code) noexcept;
/// The same for a name that somebody has, with what helps; `replaces`: it was asked for with replace_stale.
io_error unix_name_taken(const unix_address& at, bool replaces) noexcept;
/// Removes the file if it is still that one.
void remove_socket_file(const unix_address& at, const socket_file& made) noexcept;

/// would_block: the backlog there is full, and no event will say when it is not.
io_result<void> connect_unix_socket(int fd, const unix_address& to) noexcept;
/// A non-blocking, close-on-exec descriptor of the next connection; closed after stop_listening().
io_result<int> accept_unix_socket(int fd) noexcept;
/// New connections are refused; those that wait are still accepted.
void stop_listening(int fd) noexcept;
/// The peer reads end of stream after what was written.
io_result<void> end_unix_stream(int fd) noexcept;

/// A part of the pieces, or all of them as one datagram.
enum class unix_sending : bool { stream, datagram };

/// Sends, the descriptors with the first byte. `to` null: to the peer.
io_result<std::size_t> send_unix(int fd, std::span<const iovec> pieces, std::span<const int> descriptors, unix_sending how,
                                 const unix_address* to) noexcept;

struct unix_head {
  std::size_t size = 0;
  std::size_t descriptors = 0;
  bool truncated = false;     // a datagram was longer than the buffer
  bool has_dropped = false;   // descriptors came and were closed, as nobody had asked for any
  unix_address from;          // if it was asked for
};

/// Receives bytes, and up to descriptors.size() descriptors, close-on-exec. When more came, or the process may open no more, all
/// are closed and it fails with too_large or no_descriptors: the bytes are gone.
io_result<unix_head> receive_unix(int fd, std::span<std::byte> into, std::span<int> descriptors, bool wants_sender) noexcept;

/// Empty when it has none, or is of another family.
unix_address unix_local_name(int fd) noexcept;
unix_address unix_peer_name(int fd) noexcept;

struct peer_identity {
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};
io_result<peer_identity> unix_peer_identity(int fd) noexcept;

/// "fd 12 /run/orders.sock", for a dump.
void describe_unix_socket(int fd, char* text, std::size_t size) noexcept;
/// The same of a socket whose name is known.
void describe_unix_socket(int fd, const unix_address& name, char* text, std::size_t size) noexcept;

}  // namespace levity::detail
