#pragma once

// close_gracefully: the end of a conversation, of which nobody loses a byte. drain: the end of a listener, and nobody is forgotten.
//
// Why closing is not enough. A socket that closes while bytes lie unread in it, or come after, resets the connection: a pipelined
// request, the rest of a body that was refused, a goodbye is enough. A reset throws away what this side wrote and the kernel has
// not delivered yet, so the peer may never see an answer that write_all() had taken. So: say the end (shutdown_write), read and
// drop what comes until the peer says its end, close then. A peer may also say nothing or send for ever; both have a bound.

#include <cstddef>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/io/byte_stream.hpp"
#include "levity/io/tcp_listener.hpp"
#include "levity/io/unix_listener.hpp"
#include "levity/task/task.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0 {

/// How long the end of a conversation may take.
struct farewell_options {
  duration patience = std::chrono::seconds(1);  ///< for the peer's end
  std::uint64_t bytes_max = 256 * 1024;         ///< of what it still sends
};

namespace detail {

template <byte_stream Stream>
task<io_error> read_to_end(Stream& from, std::uint64_t bytes_max) {
  std::uint64_t dropped = 0;
  while (dropped <= bytes_max) {
    if constexpr (lending_source<Stream>) {
      const io_result<byte_view> more = co_await from.read_some();
      if (!more) co_return more.error();
      dropped += more->size();
    } else {
      std::byte room[2048];
      const io_result<std::size_t> more = co_await from.read_some(std::span<std::byte>(room));
      if (!more) co_return more.error();
      dropped += *more;
    }
  }
  co_return io_error{io_failure::too_large, 0, "waiting for the peer's end"};
}

// Gives `take` every connection that waits, of one shard where there are several.
template <class Listener, class Take, class... Shard>
std::size_t take_waiting(Listener& listener, Take& take, Shard... shard) {
  std::size_t count = 0;
  while (auto peer = listener.try_accept(shard...)) {
    take(std::move(*peer));
    count++;
  }
  return count;
}

}  // namespace detail

/// Ends our side, reads and drops what still comes until the peer has ended its own, and closes. Well when it has; else it fails
/// with timed_out (options.patience, or a deadline around it), too_large (options.bytes_max), reset or cancelled, and what the peer
/// had not yet received may be lost. Closed in any case. No other task may use the stream.
///
/// While a service ends its tasks are cancelled, and this would be cut short: `co_await lv::shield(lv::close_gracefully(peer))`.
template <byte_stream Stream>
  requires requires(Stream& each) { each.close(); }
task<io_result<void>> close_gracefully(Stream& stream, farewell_options options = {}) {
  io_result<void> ended = stream.shutdown_write();
  if (ended || ended.error().code() != 0) {  // where the kernel refuses, a read says how it was torn
    const io_error how = co_await with_deadline(options.patience, detail::read_to_end(stream, options.bytes_max));
    if (how != io_failure::eof) ended = std::unexpected(how);
  }
  stream.close();
  co_return ended;
}

/// Closes a listener and gives `take` every connection that was waiting to be accepted; returns how many. Inside a task, while none
/// accepts from it. O(backlog), does not wait.
///
/// A Unix listener is stopped first, so no connection is lost. TCP has no such stop: a connection that is established between the
/// last accept and the close is reset, but see tcp_listener.hpp.
template <class Take>
std::size_t drain(unix_listener& listener, Take&& take) {
  listener.stop();
  const std::size_t count = detail::take_waiting(listener, take);
  listener.close();
  return count;
}

template <class Take>
std::size_t drain(tcp_listener& listener, Take&& take) {
  std::size_t count = 0;
  const io_result<std::size_t> shards = listener.open_shards();
  for (std::size_t i = 0; shards && i < *shards; i++) count += detail::take_waiting(listener, take, i);
  listener.close();
  return count;
}

}  // namespace levity
