#pragma once

// The rules for the head of a message, and for the trailer fields behind a chunked body.
//
// Why: llhttp in its default build is lenient. It joins folded lines, takes "Host :", a second Host or none, and
// Transfer-Encoding in HTTP/1.0. Each of these is read differently by somebody else, and a proxy in front that reads a
// message differently is how requests are smuggled. So one pass here looks at every byte of the head before llhttp sees it.
// It can only refuse; a head that it lets through must also pass llhttp, and both must agree on the framing.
//
// The pass goes from control character to control character. The only ones in a head are tabs in values and the CR LF that
// end its lines, so each stop is the end of a line or a refusal, and a line is judged when it is whole. What is wrong is
// found at the same byte however the head was cut into reads: the earliest byte at which it is certain decides.
//
// Answers go through the same pass. What differs is the first line, that there is no Host, and that whether a body follows hangs
// on the status and on the method that was asked: the rules say so, and an answer that claims a body where none can be is refused.
//
// Where two widely used readers differ, one of them refuses, and nobody needs it, it is refused here, too: a Host that is not that
// of an absolute target, a query right behind the host of one, the body of a GET in HTTP/1.0 (docs/design/0036).
//
// Rejected: to wait for the empty line before looking. Text with bare LFs would never be answered.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "levity/http/limits.hpp"
#include "levity/http/refusal.hpp"
#include "levity/http/request.hpp"

namespace levity::inline v0::http::detail {

class head_rules {
public:
  enum class outcome : std::uint8_t { needs_more, done, refused };

  // Begins a head: what is found goes to `found`, which must live until the head is done.
  void begin_head(request_head& found, const limits& bounds) noexcept;
  // The same for the answer to a request of method `asked`.
  void begin_answer(response_head& found, method asked, const limits& bounds) noexcept;
  // Begins trailer fields; those that must not stand there are judged but not kept.
  void begin_trailers(std::vector<field_pieces>& found, const limits& bounds) noexcept;

  // Goes on with `text`: all bytes from the beginning, those of the last call included (they may have moved).
  outcome scan(std::string_view text);

  // Once done: where the first line begins, and where the head ends (behind its empty line).
  [[nodiscard]] std::size_t first() const noexcept { return first_; }
  [[nodiscard]] std::size_t size() const noexcept { return line_; }
  // Once refused.
  [[nodiscard]] refusal why() const noexcept { return why_; }

private:
  enum class part : std::uint8_t { request_line, status_line, fields, trailers };

  // Each answers none or why the line is refused.
  refusal request_line(std::string_view text, piece line);
  refusal status_line(std::string_view line) noexcept;
  refusal target(std::string_view text, piece whole);
  refusal field_line(std::string_view text, piece line);
  refusal known_field(std::string_view name, std::string_view text, piece value);
  refusal transfer_encoding(std::string_view value);
  refusal content_length(std::string_view value);
  void connection(std::string_view value) noexcept;
  [[nodiscard]] refusal whole_head() const noexcept;
  [[nodiscard]] refusal whole_answer() const noexcept;
  [[nodiscard]] refusal too_large() const noexcept;
  outcome refuse(refusal why) noexcept;

  message_head* head_ = nullptr;       // not for trailers
  request_head* request_ = nullptr;    // the same, of a request
  response_head* response_ = nullptr;  // the same, of an answer
  std::vector<field_pieces>* trailers_ = nullptr;
  const limits* limits_ = nullptr;
  method asked_ = method::get;  // what is answered
  std::size_t scanned_ = 0;  // no control characters before this, but those of lines that are done
  std::size_t line_ = 0;     // where the line that is being read begins
  std::size_t first_ = 0;
  part part_ = part::request_line;
  refusal why_ = refusal::none;
  bool blank_line_ = false;
  bool has_host_ = false;
  bool has_coding_ = false;
  bool named_keep_alive_ = false;
  bool named_close_ = false;
};

// Whether `text` is host[:port] as RFC 9110 has it, with a host that is not empty.
[[nodiscard]] bool is_host(std::string_view text) noexcept;

}  // namespace levity::http::detail
