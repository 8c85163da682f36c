#pragma once

// buffered_reader: lines, counts and delimiters out of a stream of bytes.
//
// Every function that fails consumes nothing: what was taken from the source stays in the reader, in order. So a read that was
// cancelled, or met a deadline, can be made again, with the same function or another.
//
// Bytes are copied only when a piece that was asked for straddles two reads of the source. A source that lends (tcp_stream) is
// read without a buffer here: while a task waits for the next request its connection holds none.

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/error.hpp"
#include "levity/io/byte_stream.hpp"
#include "levity/io/detail/late_task.hpp"
#include "levity/io/detail/read_window.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Reads pieces from a byte_source, which must outlive it and is read by nobody else meanwhile.
///
///     lv::buffered_reader in{stream};
///     while (auto line = co_await in.read_line(8192)) co_await handle(*line);
///
/// Views are valid until the next operation on the reader, or on the source. Outcomes: `eof` when the stream ends before the
/// first byte of what was asked for, `truncated` when it ends inside it (the part stays in buffered()), `too_large` when it does
/// not fit into the bound, `no_memory`, and what the source fails with: reset, cancelled, timed_out.
/// A read that fails consumes nothing, so after `too_large` the same read fails at once again: end the conversation, or
/// consume() what is there and read on. This skips the rest of a line:
///
///     for (;;) {
///       const auto rest = co_await in.read_until("\n");
///       if (rest || rest.error() != lv::io_failure::too_large) break;
///       in.consume(in.buffered().size());
///     }
///
/// What is buffered already is handed out without a wait, to a cancelled task too.
///
/// One task at a time; not movable. A read that needs no wait costs the search and about 5 ns.
template <byte_source Source>
class buffered_reader {
public:
  class view_awaiter;
  class line_awaiter;

  /// Bytes that a reader holds at most unless its maker says otherwise.
  static constexpr std::size_t bytes_max_default = 64 * 1024;

  /// Holds at most `bytes_max` bytes at a time; memory is taken when a piece straddles two reads, and grows up to that.
  explicit buffered_reader(Source& from, std::size_t bytes_max = bytes_max_default) noexcept
      : source_(from), window_(bytes_max) {
    LEVITY_ASSERT(bytes_max > 0, "a reader buffers at least one byte");
  }
  buffered_reader(const buffered_reader&) = delete;
  buffered_reader& operator=(const buffered_reader&) = delete;

  /// What has come and was not consumed. Never waits.
  [[nodiscard]] byte_view buffered() const noexcept { return window_.unread(); }
  /// The first `count` bytes of buffered() are done with.
  void consume(std::size_t count) noexcept { window_.take(count); }

  /// Exactly `count` bytes, at most bytes_max.
  [[nodiscard("co_await the read")]] view_awaiter read_exactly(std::size_t count) noexcept {
    return {*this, {.what = detail::read_request::kind::count, .size = count}};
  }
  /// The same, without consuming them.
  [[nodiscard("co_await the read")]] view_awaiter peek(std::size_t count) noexcept {
    return {*this, {.what = detail::read_request::kind::count, .consumes = false, .size = count}};
  }
  /// All up to and with `delimiter` (not empty), at most `size_max` bytes.
  [[nodiscard("co_await the read")]] view_awaiter read_until(std::string_view delimiter, std::size_t size_max = no_bound) noexcept {
    LEVITY_ASSERT(!delimiter.empty(), "a delimiter has at least one byte");
    return {*this, {.what = detail::read_request::kind::delimiter, .size = size_max, .delimiter = delimiter}};
  }
  /// The next line without its end, "\n" or "\r\n"; at most `size_max` bytes with it. A last line without an end is `truncated`.
  [[nodiscard("co_await the read")]] line_awaiter read_line(std::size_t size_max = no_bound) noexcept {
    return {*this, {.what = detail::read_request::kind::delimiter, .size = size_max, .delimiter = "\n"}};
  }

  /// Fills `into`, of any size; past what is buffered the bytes are read straight into it.
  task<io_result<void>> read_exactly(std::span<std::byte> into) {
    std::size_t done = take_into(into);
    while (done < into.size()) {
      const io_result<std::size_t> got = co_await source_.read_some(into.subspan(done));
      if (!got) {
        const io_error why = in_the_middle(got.error(), done > 0);
        try {
          window_.put_back(into.first(done));
        } catch (const std::bad_alloc&) {
          co_return std::unexpected(io_error{io_failure::no_memory, 0, "buffered read"});
        }
        co_return std::unexpected(why);
      }
      done += *got;
    }
    co_return io_result<void>{};
  }

  /// Waits for more bytes than are buffered; all that are then. `eof` leaves those that were there.
  task<io_result<byte_view>> fill() {
    const io_result<void> more = co_await read_more();
    if (!more) co_return std::unexpected(more.error());
    co_return buffered();
  }

  /// What is buffered, all of it consumed, else what comes next: a reader is a byte source again.
  task<io_result<byte_view>> read_some() {
    if (buffered().empty()) {
      const io_result<void> more = co_await read_more();
      if (!more) co_return std::unexpected(more.error());
    }
    const byte_view all = buffered();
    window_.take(all.size());
    co_return all;
  }
  /// The same into the caller's bytes.
  task<io_result<std::size_t>> read_some(std::span<std::byte> into) {
    LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
    if (const std::size_t here = take_into(into); here > 0) co_return here;
    co_return co_await source_.read_some(into);
  }

private:
  static constexpr std::size_t no_bound = std::numeric_limits<std::size_t>::max();

  static io_error in_the_middle(io_error met, bool part) noexcept {
    return met == io_failure::eof && part ? io_error{io_failure::truncated, 0, "buffered read"} : met;
  }

  std::size_t take_into(std::span<std::byte> into) noexcept {
    const byte_view all = buffered();
    const byte_view here = all.size() < into.size() ? all : all.first(into.size());
    if (!here.empty()) std::memcpy(into.data(), here.data(), here.size());
    window_.take(here.size());
    return here.size();
  }

  task<io_result<void>> read_more() {
    if (buffered().empty()) {
      if constexpr (lending_source<Source>) {
        window_.drop();
        const io_result<byte_view> lent = co_await source_.read_some();
        if (!lent) co_return std::unexpected(lent.error());
        window_.lend(*lent);
        co_return io_result<void>{};
      }
    }
    std::span<std::byte> into;
    try {
      into = window_.room();
    } catch (const std::bad_alloc&) {
      co_return std::unexpected(io_error{io_failure::no_memory, 0, "buffered read"});
    }
    if (into.empty()) co_return std::unexpected(io_error{io_failure::too_large, 0, "buffered read"});
    const io_result<std::size_t> got = co_await source_.read_some(into);
    if (!got) co_return std::unexpected(got.error());
    window_.added(*got);
    co_return io_result<void>{};
  }

  byte_view hand_out(const detail::read_request& done) noexcept {
    const byte_view found = buffered().first(done.found);
    if (done.consumes) window_.take(done.found);
    return found;
  }

  task<io_result<byte_view>> complete(detail::read_request request) {
    for (;;) {
      const auto verdict = request.look(buffered(), window_.bytes_max());
      if (verdict == detail::read_request::verdict::found) co_return hand_out(request);
      if (verdict == detail::read_request::verdict::too_large) {
        co_return std::unexpected(io_error{io_failure::too_large, 0, "buffered read"});
      }
      const io_result<void> more = co_await read_more();
      if (!more) co_return std::unexpected(in_the_middle(more.error(), !buffered().empty()));
    }
  }

  Source& source_;
  detail::read_window window_;
};

template <byte_source Source>
class buffered_reader<Source>::view_awaiter {
public:
  view_awaiter(buffered_reader& reader, const detail::read_request& request) noexcept : reader_(reader), request_(request) {}
  /// Before it is awaited: into what puts a deadline around it.
  view_awaiter(view_awaiter&& other) noexcept : reader_(other.reader_), request_(other.request_) {}

  bool await_ready() noexcept {
    at_once_ = request_.look(reader_.buffered(), reader_.window_.bytes_max());
    return at_once_ != detail::read_request::verdict::more;
  }

  template <detail::levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) {
    return later_.start(reader_.complete(request_), frame);
  }

  io_result<byte_view> await_resume() {
    if (later_.started()) return later_.result();
    if (at_once_ == detail::read_request::verdict::found) return reader_.hand_out(request_);
    return std::unexpected(io_error{io_failure::too_large, 0, "buffered read"});
  }

private:
  buffered_reader& reader_;
  detail::read_request request_;
  detail::read_request::verdict at_once_ = detail::read_request::verdict::more;
  detail::late_task<io_result<byte_view>> later_;
};

template <byte_source Source>
class buffered_reader<Source>::line_awaiter : public view_awaiter {
public:
  using view_awaiter::view_awaiter;

  io_result<std::string_view> await_resume() {
    const io_result<byte_view> line = view_awaiter::await_resume();
    if (!line) return std::unexpected(line.error());
    std::string_view text{reinterpret_cast<const char*>(line->data()), line->size() - 1};
    if (text.ends_with('\r')) text.remove_suffix(1);
    return text;
  }
};

}  // namespace levity
