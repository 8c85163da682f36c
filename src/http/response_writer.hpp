#pragma once

// Answers become bytes. The head goes into memory that is reused, the body stays where it is: what is handed to the socket
// is a list of pieces. Framing is decided here and nowhere else:
//
//   answer to HEAD          the head of the GET answer, no body
//   1xx, 204, 304           no body, no Content-Length
//   whole body              Content-Length
//   body in pieces, 1.1     Transfer-Encoding: chunked
//   body in pieces, 1.0     ends with the connection
//
// Pieces are valid until the next call, and the body as long as its owner keeps it.

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "levity/http/request.hpp"
#include "levity/http/response.hpp"

namespace levity::inline v0::http::detail {

// What the answer must know of its request and moment.
struct answer_to {
  http::method method = http::method::get;
  http::version version = http::version::http_1_1;
  bool keep_alive = true;    // what the peer wants and the server grants
  std::string_view date{};  // empty: no Date field
};

// The peer may send its body now.
inline constexpr std::string_view continue_text = "HTTP/1.1 100 Continue\r\n\r\n";

class response_writer {
public:
  // Head and body of a whole answer.
  std::span<iovec> whole(const response& answer, const answer_to& to);

  // The head of an answer whose body follows in pieces; the body of `answer` is ignored.
  std::span<iovec> begin_pieces(const response& answer, const answer_to& to);
  // One piece of the body; nothing for an empty one or for an answer without body.
  std::span<iovec> piece(std::string_view bytes);
  // The end of the body.
  std::span<iovec> end_pieces();

  // Whether the connection goes on after the answer that was written last.
  [[nodiscard]] bool keeps_connection() const noexcept { return keeps_connection_; }
  void release() noexcept { std::string().swap(head_); }

private:
  enum class framing : std::uint8_t { none, length, chunks, until_close };

  void write_head(const response& answer, const answer_to& to, framing how);
  std::span<iovec> pieces(std::size_t count) noexcept { return {pieces_.data(), count}; }
  void put(std::size_t index, std::string_view bytes) noexcept;

  std::string head_;
  std::array<iovec, 3> pieces_{};
  std::array<char, 20> chunk_line_{};
  framing framing_ = framing::none;
  bool sends_body_ = true;
  bool keeps_connection_ = true;
};

}  // namespace levity::http::detail
