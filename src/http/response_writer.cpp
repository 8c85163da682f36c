#include "http/response_writer.hpp"

#include <charconv>

namespace levity::inline v0::http::detail {

void response_writer::put(std::size_t index, std::string_view bytes) noexcept {
  // iovec has no const; the socket only reads.
  pieces_[index] = {const_cast<char*>(bytes.data()), bytes.size()};
}

void response_writer::write_head(const response& answer, const answer_to& to, framing how) {
  framing_ = how;
  sends_body_ = to.method != method::head && !has_no_body(answer.status());
  keeps_connection_ = to.keep_alive && !answer.closes() && how != framing::until_close;

  char number[20];
  head_.assign("HTTP/1.1 ");
  head_.append(number, std::to_chars(number, number + sizeof number, code(answer.status())).ptr);
  head_.append(1, ' ').append(reason(answer.status())).append("\r\n");
  if (!to.date.empty()) head_.append("Date: ").append(to.date).append("\r\n");
  if (!keeps_connection_) {
    head_.append("Connection: close\r\n");
  } else if (to.version == version::http_1_0) {
    head_.append("Connection: keep-alive\r\n");
  }
  if (how == framing::length) {
    head_.append("Content-Length: ");
    head_.append(number, std::to_chars(number, number + sizeof number, answer.body().size()).ptr);
    head_.append("\r\n");
  } else if (how == framing::chunks) {
    head_.append("Transfer-Encoding: chunked\r\n");
  }
  head_.append(answer.field_lines()).append("\r\n");
}

std::span<iovec> response_writer::whole(const response& answer, const answer_to& to) {
  write_head(answer, to, has_no_body(answer.status()) ? framing::none : framing::length);
  put(0, head_);
  if (!sends_body_ || answer.body().empty()) return pieces(1);
  put(1, answer.body());
  return pieces(2);
}

std::span<iovec> response_writer::begin_pieces(const response& answer, const answer_to& to) {
  if (has_no_body(answer.status())) {
    write_head(answer, to, framing::none);
  } else {
    write_head(answer, to, to.version == version::http_1_1 ? framing::chunks : framing::until_close);
  }
  put(0, head_);
  return pieces(1);
}

std::span<iovec> response_writer::piece(std::string_view bytes) {
  // An empty chunk would end the body.
  if (!sends_body_ || bytes.empty()) return {};
  if (framing_ == framing::until_close) {
    put(0, bytes);
    return pieces(1);
  }
  char* end = std::to_chars(chunk_line_.data(), chunk_line_.data() + 16, bytes.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  put(0, {chunk_line_.data(), static_cast<std::size_t>(end - chunk_line_.data())});
  put(1, bytes);
  put(2, "\r\n");
  return pieces(3);
}

std::span<iovec> response_writer::end_pieces() {
  if (!sends_body_ || framing_ != framing::chunks) return {};
  put(0, "0\r\n\r\n");
  return pieces(1);
}

}  // namespace levity::http::detail
