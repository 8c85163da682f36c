#pragma once

// copy: everything from a source into a sink; send_file: a part of a file into one.
//
// Between two descriptors (connections, pipes) bulk goes through the kernel by splice(2): as soon as a read fills a whole buffer,
// and until a splice finds nothing more. Small messages go through a buffer: a read and a write are less than two splices.
// The pipe that splice needs is borrowed while bytes are in it and given back before the copy waits for more: an idle copy from a
// source that lends holds no buffer and no descriptor. From a source that does not, its frame holds a buffer of 16 KiB.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/io/byte_stream.hpp"
#include "levity/io/file.hpp"
#include "levity/io/pipe.hpp"
#include "levity/io/tcp.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How a copy ended and how many bytes the sink took.
struct copy_outcome {
  std::uint64_t bytes = 0;        ///< that the sink took
  std::optional<io_error> error;  ///< none: the source came to its end, and all of it was taken

  /// Whether all of it went.
  [[nodiscard]] explicit operator bool() const noexcept { return !error.has_value(); }
};

namespace detail {

// The endpoint below a source or sink, where bytes may bypass it; null where there is none.
template <class T>
endpoint* endpoint_below(T& end) noexcept {
  if constexpr (requires { { end.native_endpoint() } -> std::same_as<endpoint*>; }) {
    return end.native_endpoint();
  } else {
    return nullptr;
  }
}

/// Whether splice may carry bytes from one to the other.
[[nodiscard]] bool can_splice(endpoint* from, endpoint* to) noexcept;
/// Splices until `from` has nothing at the moment (would_block), ended (eof) or failed; adds what arrived to `bytes`.
/// unsupported: the kernel will not, use buffers; nothing is lost.
[[nodiscard]] task<io_error> splice_bulk(endpoint* from, endpoint* to, std::uint64_t* bytes);

inline constexpr std::size_t copy_buffer_bytes = 16 * 1024;

}  // namespace detail

/// Reads `from` to its end and writes all of it to `to`, without ending `to`. One task reads `from` and writes `to` meanwhile: this
/// one. After an error, also cancelled and timed_out, up to one buffer that was read may not have been written.
template <byte_source Source, byte_sink Sink>
task<copy_outcome> copy(Source& from, Sink& to) {
  copy_outcome outcome;
  bool may_splice = detail::can_splice(detail::endpoint_below(from), detail::endpoint_below(to));
  for (;;) {
    std::size_t size = 0;
    if constexpr (lending_source<Source>) {
      const io_result<byte_view> chunk = co_await from.read_some();
      if (!chunk) {
        outcome.error = chunk.error();
        break;
      }
      size = chunk->size();
      const io_result<void> sent = co_await to.write_all(*chunk);
      if (!sent) {
        outcome.error = sent.error();
        break;
      }
    } else {
      std::byte buffer[detail::copy_buffer_bytes];
      const io_result<std::size_t> got = co_await from.read_some(std::span<std::byte>(buffer));
      if (!got) {
        outcome.error = got.error();
        break;
      }
      size = *got;
      const io_result<void> sent = co_await to.write_all(byte_view{buffer, size});
      if (!sent) {
        outcome.error = sent.error();
        break;
      }
    }
    outcome.bytes += size;
    if (!may_splice || size < detail::copy_buffer_bytes) continue;
    const io_error ended =
        co_await detail::splice_bulk(detail::endpoint_below(from), detail::endpoint_below(to), &outcome.bytes);
    if (ended == io_failure::would_block) continue;
    if (ended == io_failure::unsupported) {
      may_splice = false;
      continue;
    }
    outcome.error = ended;
    break;
  }
  if (outcome.error == io_failure::eof) outcome.error.reset();
  co_return outcome;
}

/// What went each way.
struct copied_both_ways {
  copy_outcome there;  ///< from the first to the second
  copy_outcome back;  ///< from the second to the first

  /// Whether all went, both ways.
  [[nodiscard]] explicit operator bool() const noexcept { return there && back; }
};

namespace detail {

template <byte_stream From, byte_stream To>
task<> copy_one_way(From* from, To* to, copy_outcome* outcome, scope* both) {
  *outcome = co_await copy(*from, *to);
  if (!outcome->error) {
    const io_result<void> ended = to->shutdown_write();
    if (!ended) outcome->error = ended.error();
  }
  if (outcome->error) both->cancel();
}

}  // namespace detail

/// Carries bytes both ways until both sides have ended: the heart of a proxy. The end of one side is passed on (shutdown_write),
/// and the other direction goes on. An error in one direction cancels the other: a connection that failed one way
/// serves no purpose the other way. Then one outcome bears the cause and the other, unless it had ended, `cancelled`.
/// Neither stream is closed. Cancelled or out of time, both directions say so.
template <byte_stream A, byte_stream B>
task<copied_both_ways> copy_bidirectional(A& a, B& b) {
  copied_both_ways outcome;
  scope both{on_failure::cancel_siblings, "copy both ways"};
  both.spawn("copy there", detail::copy_one_way<A, B>, &a, &b, &outcome.there, &both);
  both.spawn("copy back", detail::copy_one_way<B, A>, &b, &a, &outcome.back, &both);
  co_await both.join();
  co_return outcome;
}

/// Sends `size` bytes of `from`, starting at `offset`; fewer when the file ends before, with the error `truncated`.
///
/// What lies in the page cache goes by sendfile(2) without passing through this process. What does not is read where files are
/// read (the ring thread) and written from a buffer: a cold disk holds no worker up. Whether it lies there is asked by
/// cachestat(2) (Linux 6.5); where that is refused everything is read first.
[[nodiscard]] task<copy_outcome> send_file(tcp_stream& to, file& from, std::uint64_t offset, std::uint64_t size);

}  // namespace levity
