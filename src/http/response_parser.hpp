#pragma once

// Bytes become answers: the client's side of request_parser.hpp, by the same two readers that must agree.
//
// What differs. Where an answer ends hangs on what was asked (HEAD has no body) and on its status; it may end with the connection,
// so the end of the stream is an event of its own, feed_end(); and answers may be preceded by interim ones (1xx), which are read
// and dropped, a bounded number of them. An answer is trusted no more than a request: whoever can make a client read one answer as
// two gives the second one to somebody else's request.
//
// Phase            moved by
//   idle           begin() -> head
//   head           feed() until the empty line of an answer that is no 1xx
//   body           feed() until the last byte of the body; feed_end() where the body ends with the connection
//   trailers       feed() until the empty line behind the last chunk
//   complete       begin() -> head
//   refused        final: the connection is of no use any more
//
// Where bytes live. The head and the trailers are copied, into what begin() was given: they outlive the connection's buffer.
// The body is not: feed() returns after each stretch of it, a view of what was fed, and whoever wants to keep it copies it.
//
// A caller's loop:
//
//   parser.begin(method, kept)
//   for (;;) {
//     said = parser.feed(bytes); bytes = bytes.substr(said.consumed)
//     needs_more: read again, or feed_end() when the stream has ended
//     head:       kept.head says what it is; go on with feed(), with no bytes if there are none
//     piece:      said.piece is the next part of the body
//     complete:   what is left of `bytes` is no part of the answer: there must be none
//     refused:    close
//   }

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/chunk_rules.hpp"
#include "http/head_rules.hpp"
#include "levity/http/answer.hpp"
#include "levity/http/limits.hpp"
#include "levity/http/refusal.hpp"

namespace levity::inline v0::http::detail {

class response_parser {
public:
  explicit response_parser(const limits& bounds = {}) noexcept;
  response_parser(const response_parser&) = delete;
  response_parser& operator=(const response_parser&) = delete;

  struct verdict {
    enum class kind : std::uint8_t { needs_more, head, piece, complete, refused };

    kind what = kind::needs_more;
    refusal why = refusal::none;
    std::size_t consumed = 0;  // bytes of this feed() that belong to the answer; unspecified when refused
    std::string_view piece{};
  };

  // Begins to read the answer to a request of that method; `into` lives until it is complete, and is cleared.
  void begin(method asked, kept_answer& into) noexcept;
  // Bounds the body; after begin(), before the head is complete. Without it limits::body_bytes holds.
  void bound_body(std::uint64_t bytes_max) noexcept { body_bytes_max_ = bytes_max; }

  // Goes on. May throw std::bad_alloc; the connection must then be closed.
  verdict feed(std::string_view bytes);
  // The stream has ended. complete, or refused with cut_short.
  verdict feed_end() noexcept;

  // Whether no byte of the answer has come.
  [[nodiscard]] bool untouched() const noexcept { return untouched_; }
  // Interim answers that were dropped.
  [[nodiscard]] std::size_t interim() const noexcept { return interim_; }

private:
  enum class phase : std::uint8_t { idle, head, body, trailers, complete, refused };

  static int on_headers_complete(llhttp_t* reader) noexcept;
  static int on_body(llhttp_t* reader, const char* at, std::size_t size) noexcept;
  static int on_message_complete(llhttp_t* reader) noexcept;
  static const llhttp_settings_t& settings() noexcept;

  void begin_head() noexcept;
  verdict feed_head(std::string_view bytes);
  verdict head_done(std::size_t consumed);
  verdict feed_sized_body(std::string_view bytes) noexcept;
  verdict feed_open_body(std::string_view bytes) noexcept;
  verdict feed_chunks(std::string_view bytes);
  verdict feed_trailers(std::string_view bytes, std::size_t before);
  verdict done(std::size_t consumed) noexcept;
  verdict refuse(refusal why) noexcept;
  bool read_along(std::string_view bytes) noexcept;

  limits limits_;
  llhttp_t reader_;
  head_rules head_rules_;
  chunk_rules chunk_rules_;
  kept_answer* kept_ = nullptr;
  std::uint64_t body_bytes_max_ = 0;
  std::uint64_t body_left_ = 0;
  std::uint64_t body_taken_ = 0;  // what llhttp handed over
  std::uint64_t reader_length_ = 0;
  std::size_t interim_ = 0;
  method asked_ = method::get;
  phase phase_ = phase::idle;
  bool untouched_ = true;
  bool reader_chunked_ = false;
  bool reader_has_length_ = false;
  bool reader_headers_done_ = false;
  bool reader_done_ = false;
};

}  // namespace levity::http::detail
