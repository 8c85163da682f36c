#pragma once

// Bytes become requests: head_rules and chunk_rules judge them, llhttp frames them, and all must agree.
//
// Why two readers: a request that can be read in two ways is how a second one is smuggled past a proxy. The rules are strict
// where llhttp is lenient; llhttp knows the protocol's corners better than a few pages of rules. Each may refuse; where
// both accept, the length of the body and the byte at which the message ends must be the same in both.
//
// Phase            moved by
//   head           feed() until the empty line; then complete, or body_ahead when a body is announced
//   body_ahead     accept_body(), or the next feed() by the default rules
//   body           feed() until the last byte of the body
//   trailers       feed() until the empty line behind the last chunk
//   complete       next() -> head
//   refused        next() is not allowed: nobody knows where the next request begins; forget() for a new connection
//
// Where bytes live. feed() looks at the caller's bytes in place. As long as the request came in one piece nothing is
// copied: fields and body are views of those bytes. When feed() must ask for more, it keeps a copy of what it still needs (the
// head in head_text_, the body in body_text_, both reused), so the caller may reuse its buffer whenever needs_more is
// returned, or once it has called next(). Steady state allocates nothing.
//
// A caller's loop:
//
//   bytes = read
//   for (;;) {
//     verdict = parser.feed(bytes); bytes = bytes.subspan(verdict.consumed)
//     needs_more:    read again (idle() tells which timeout applies)
//     head_complete: accept_body(...); answer "100 Continue" when expect_continue() and `bytes` is empty
//     complete:      handle(parser.current()), write, parser.next()
//     refused:       write a problem, close
//   }

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "http/chunk_rules.hpp"
#include "http/head_rules.hpp"
#include "levity/http/limits.hpp"
#include "levity/http/refusal.hpp"
#include "levity/http/request.hpp"

namespace levity::inline v0::http::detail {

// Where a streamed body goes: called with each piece, in order, from within feed(). The piece is a view of what was fed.
struct body_sink {
  void (*take)(void* context, std::string_view piece) = nullptr;
  void* context = nullptr;
};

struct verdict {
  enum class kind : std::uint8_t { needs_more, head_complete, complete, refused };

  kind what = kind::needs_more;
  refusal why = refusal::none;
  // Bytes of this feed() that belong to the request: all of them with needs_more, unspecified when refused.
  std::size_t consumed = 0;
};

class request_parser {
public:
  explicit request_parser(const limits& bounds = {}) noexcept;
  request_parser(const request_parser&) = delete;
  request_parser& operator=(const request_parser&) = delete;

  // Goes on with the request. After head_complete the rest of the same bytes must follow, if there were any left.
  // Throws std::bad_alloc when a copy does not fit in memory, and what a sink throws; the connection must then be closed.
  verdict feed(std::span<const std::byte> bytes);

  // After head_complete: collects the body, up to that many bytes, or streams it. Answers body_too_large when the
  // announced length is above; the parser has then refused the request. Once, or not at all for limits::body_bytes.
  refusal accept_body(std::uint64_t bytes_max);
  refusal accept_body(std::uint64_t bytes_max, body_sink sink);

  // Valid from head_complete on; the body from complete on.
  [[nodiscard]] const request& current() const noexcept { return request_; }

  // Done with a complete request; its views end here.
  void next() noexcept;
  // Back to the state of a new parser; keeps memory.
  void forget() noexcept;
  // Frees memory that is kept for reuse. Between requests.
  void release() noexcept;
  // Whether no byte of the next request has come: an idle connection, not a slow request.
  [[nodiscard]] bool idle() const noexcept { return phase_ == phase::head && head_text_.empty(); }
  // Bytes of memory kept for reuse.
  [[nodiscard]] std::size_t kept_bytes() const noexcept;

private:
  enum class phase : std::uint8_t { head, body_ahead, body, trailers, complete, refused };

  static int on_headers_complete(llhttp_t* reader) noexcept;
  static int on_body(llhttp_t* reader, const char* at, std::size_t size) noexcept;
  static int on_message_complete(llhttp_t* reader) noexcept;
  static const llhttp_settings_t& settings() noexcept;

  verdict feed_head(std::string_view bytes);
  verdict head_done(std::string_view head, std::size_t consumed);
  verdict feed_sized_body(std::string_view bytes);
  verdict feed_chunks(std::string_view bytes);
  verdict feed_trailers(std::string_view bytes, std::size_t before);
  verdict body_done(std::size_t consumed);
  verdict need_more(std::size_t consumed);
  verdict refuse(refusal why, std::size_t consumed) noexcept;

  // Whether llhttp takes these bytes too.
  bool read_along(std::string_view bytes);
  void keep_head();
  void keep_body();

  limits limits_;
  llhttp_t reader_;
  head_rules head_rules_;
  chunk_rules chunk_rules_;
  request request_;
  body_sink sink_;
  std::string head_text_;     // the head, when it did not come in one piece with the rest
  std::string body_text_;     // the body, when it did not come in one piece
  std::string trailer_text_;
  std::string_view in_place_;  // the head in the caller's bytes
  std::string_view piece_;     // the body in the caller's bytes, as long as it is in one piece
  std::string_view reader_body_;  // what llhttp called body in the bytes it read last
  const char* expected_ = nullptr;  // where the caller must go on, while in_place_ is set
  std::uint64_t body_left_ = 0;
  std::uint64_t body_taken_ = 0;  // what llhttp handed over
  std::uint64_t reader_length_ = 0;
  bool reader_chunked_ = false;
  bool reader_headers_done_ = false;
  bool reader_done_ = false;
  phase phase_ = phase::head;
};

}  // namespace levity::http::detail
