#pragma once

// What code that moves bytes asks of whatever they come from and go to: three concepts, met by tcp_stream, pipes, TLS streams,
// buffered_reader, and by any class of a user with the one function.

#include <sys/uio.h>

#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/io/tcp.hpp"

namespace levity::inline v0 {

namespace detail {

template <class Awaitable>
auto awaited_value(Awaitable&& awaited) {
  if constexpr (requires { std::forward<Awaitable>(awaited).operator co_await(); }) {
    return std::forward<Awaitable>(awaited).operator co_await().await_resume();
  } else {
    return awaited.await_resume();
  }
}

// `co_await` of it gives a T.
template <class Awaitable, class T>
concept awaits_to = requires(Awaitable&& awaited) {
  { detail::awaited_value(std::forward<Awaitable>(awaited)) } -> std::same_as<T>;
};

}  // namespace detail

/// Bytes come out of it: read_some(into) waits for at least one, io_failure::eof after the last one. A read that fails, also
/// because it was cancelled, has taken nothing.
template <class T>
concept byte_source = requires(T& from, std::span<std::byte> into) {
  { from.read_some(into) } -> detail::awaits_to<io_result<std::size_t>>;
};

/// A byte_source that also lends: read_some() gives a view of what has come, valid until the next read.
template <class T>
concept lending_source = byte_source<T> && requires(T& from) {
  { from.read_some() } -> detail::awaits_to<io_result<byte_view>>;
};

/// Bytes go into it: write_all(bytes) takes all of them or fails, and may then have taken a part.
template <class T>
concept byte_sink = requires(T& to, byte_view bytes) {
  { to.write_all(bytes) } -> detail::awaits_to<io_result<void>>;
};

/// A byte_sink that takes several pieces at once and advances them as their bytes leave, so that after a failure the caller
/// knows what went.
template <class T>
concept gathering_sink = byte_sink<T> && requires(T& to, std::span<iovec> pieces) {
  { to.write_all(pieces) } -> detail::awaits_to<io_result<void>>;
};

/// Both, with an end that can be said: after shutdown_write() the other side reads end of stream, while this one reads on.
template <class T>
concept byte_stream = byte_source<T> && byte_sink<T> && requires(T& both) {
  { both.shutdown_write() } -> std::same_as<io_result<void>>;
};

}  // namespace levity
