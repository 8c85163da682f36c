#pragma once

// buffered_writer: many small writes become few large ones, within bounded memory.
//
//   whole    -> torn   a sink failed and may have taken a part that the writer cannot know
//
// Over a gathering sink (tcp_stream) a flush that fails knows what went and keeps the rest: it can be made again after a
// cancellation or a deadline and sends no byte twice. Over other sinks, and when a write larger than the buffer fails half-way,
// the writer is torn: every later operation fails with the same error, since what would follow would follow a gap.

#include <sys/uio.h>

#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/error.hpp"
#include "levity/io/byte_stream.hpp"
#include "levity/io/detail/late_task.hpp"
#include "levity/io/detail/write_backlog.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Collects writes for a byte_sink, which must outlive it and is written by nobody else meanwhile.
///
///     lv::buffered_writer out{stream};
///     for (const auto& row : rows) if (!co_await out.write(row)) co_return;
///     co_await out.flush();
///
/// The destructor sends nothing: what was not flushed is dropped. A write that fits is copied and does not wait; one that does not
/// flushes first; one of bytes_max or more is sent from where it lies. A failed write of less than bytes_max has taken nothing
/// of its own bytes. Cancelled, timed_out, reset are told apart as the sink does.
/// One task at a time; not movable. A write that is copied costs the copy and about 3 ns.
template <byte_sink Sink>
class buffered_writer {
public:
  class write_awaiter;

  /// Holds at most `bytes_max` bytes, and memory only while it holds any.
  explicit buffered_writer(Sink& to, std::size_t bytes_max = detail::buffer_bytes) noexcept : sink_(to), backlog_(bytes_max) {
    LEVITY_ASSERT(bytes_max > 0, "a writer buffers at least one byte");
  }
  buffered_writer(const buffered_writer&) = delete;
  buffered_writer& operator=(const buffered_writer&) = delete;

  /// io_result<void>. The bytes must live until it has returned.
  [[nodiscard("co_await the write")]] write_awaiter write(byte_view bytes) noexcept { return {*this, bytes}; }
  [[nodiscard("co_await the write")]] write_awaiter write(std::string_view text) noexcept {
    return {*this, std::as_bytes(std::span{text.data(), text.size()})};
  }
  /// The same; makes the writer a byte_sink.
  [[nodiscard("co_await the write")]] write_awaiter write_all(byte_view bytes) noexcept { return write(bytes); }

  /// Sends what is buffered.
  task<io_result<void>> flush() { return send({}); }

  /// Bytes that the sink has not taken.
  [[nodiscard]] std::size_t buffered_size() const noexcept { return backlog_.bytes().size(); }
  /// The bytes that the sink has not taken are dropped.
  void discard() noexcept { backlog_.clear(); }

private:
  enum class copied : unsigned char { no, yes, no_memory };

  copied try_copy(byte_view bytes) noexcept {
    if (torn_ || bytes.size() >= backlog_.capacity() || !backlog_.fits(bytes.size())) return copied::no;
    try {
      backlog_.add(bytes);
    } catch (const std::bad_alloc&) {
      return copied::no_memory;
    }
    return copied::yes;
  }

  task<io_result<void>> write_slowly(byte_view bytes) {
    const bool large = bytes.size() >= backlog_.capacity();
    const io_result<void> sent = co_await send(large ? bytes : byte_view{});
    if (sent && !large) {
      const copied outcome = try_copy(bytes);
      if (outcome == copied::no_memory) co_return std::unexpected(io_error{io_failure::no_memory, 0, "buffered write"});
    }
    co_return sent;
  }

  // What is buffered, then `more`.
  task<io_result<void>> send(byte_view more) {
    if (torn_) co_return std::unexpected(*torn_);
    if constexpr (gathering_sink<Sink>) {
      iovec pieces[2];
      const io_result<void> sent = co_await sink_.write_all(backlog_.with(more, pieces));
      backlog_.keep(pieces[0].iov_len);
      if (!sent && pieces[1].iov_len != more.size()) torn_ = sent.error();
      co_return sent;
    } else {
      const byte_view parts[] = {backlog_.bytes(), more};
      for (const byte_view part : parts) {
        if (part.empty()) continue;
        const io_result<void> sent = co_await sink_.write_all(part);
        if (!sent) {
          torn_ = sent.error();
          co_return sent;
        }
        backlog_.clear();
      }
      co_return io_result<void>{};
    }
  }

  Sink& sink_;
  detail::write_backlog backlog_;
  std::optional<io_error> torn_;
};

template <byte_sink Sink>
class buffered_writer<Sink>::write_awaiter {
public:
  write_awaiter(buffered_writer& writer, byte_view bytes) noexcept : writer_(writer), bytes_(bytes) {}

  bool await_ready() noexcept {
    at_once_ = writer_.try_copy(bytes_);
    return at_once_ != copied::no;
  }

  template <detail::levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    return later_.start(writer_.write_slowly(bytes_), frame);
  }

  io_result<void> await_resume() {
    if (later_.started()) return later_.result();
    if (at_once_ == copied::yes) return {};
    return std::unexpected(io_error{io_failure::no_memory, 0, "buffered write"});
  }

private:
  buffered_writer& writer_;
  byte_view bytes_;
  copied at_once_ = copied::no;
  detail::late_task<io_result<void>> later_;
};

}  // namespace levity
