#pragma once

// How a TCP stream of the kernel ended. The kernel reports a reset to one system call only, be it a read or a write; from then on
// reads say 0, as at the end of a stream that ended in order. The endpoint remembers what was met.
//
// A connection breaks after the peer's end, too: a peer that has closed answers what is written to it by a reset. What it had sent
// is whole, and the kernel says so: the error of such a connection is EPIPE, not ECONNRESET. To writes that is as good as a reset,
// to reads it is an end.

#include "levity/base/error.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

/// An attempt was answered so: what it says of the stream is remembered.
void remember(endpoint& socket, int code) noexcept;
/// A failed transfer; what it says of the stream is remembered.
io_error transfer_error(endpoint& socket, int code, const char* doing) noexcept;

/// Whether an end that a read met is that of a torn stream: a connection whose own side was not ended is closed only after a reset.
/// In doubt it is: a torn stream never looks like a finished one.
bool torn(endpoint& socket) noexcept;

/// Ends our side in order. Others may read meanwhile: what they meet is no tear.
io_result<void> end_writing(endpoint& socket) noexcept;

/// Whether a failed accept tells of a connection that died before it was accepted: the kernel has taken it out of the queue, so the
/// next attempt may be made at once. Not so EPERM, of a firewall or a filter of system calls: that can be told for ever.
bool died_in_the_queue(int code) noexcept;

}  // namespace levity::detail
