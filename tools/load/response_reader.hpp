// response_reader.hpp -- bytes of an HTTP/1.1 connection -> one response at a time, strictly.
//
// Why its own: a generator has to be trusted while the server, and the library the server is built on, is under suspicion.
// What a client may not accept (RFC 9112) is an error here, never repaired: a lone LF, a header line that is folded or has
// a space before its colon, Content-Length with Transfer-Encoding, lengths that differ, a bad chunk size, bytes after the
// end of an answer that nobody asked for.
//
// State        moved by
//   head       -> fixed | chunk_size | until_eof | complete   the empty line
//   fixed      -> complete                                    the last byte
//   chunk_size -> chunk_data | trailer                        a size line
//   chunk_data -> chunk_end -> chunk_size                     the last byte, CRLF
//   trailer    -> complete                                    the empty line
//   until_eof  -> complete                                    end()
//   any        -> failed                                      a broken rule
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levity::load {

class response_reader {
public:
  /// Bodies longer than this are counted, not kept.
  static constexpr std::size_t kept_body_bytes_max = std::size_t{4} << 20;
  static constexpr std::size_t head_bytes_max = std::size_t{64} << 10;

  /// Forgets the last response and waits for the next. `to_head`: the request was a HEAD, its answer has no body.
  void start(bool to_head = false);

  /// Takes bytes, returns how many were used: all of them unless the response became complete or failed.
  std::size_t feed(std::string_view bytes);

  /// The peer has closed. True when that completes the response (a body without a length).
  bool end();

  [[nodiscard]] bool complete() const { return state_ == state::complete; }
  [[nodiscard]] bool failed() const { return state_ == state::failed; }
  [[nodiscard]] bool untouched() const { return state_ == state::head && head_.empty() && !seen_any_; }
  [[nodiscard]] const char* reason() const { return reason_; }  ///< why it failed

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] std::string_view body() const { return body_; }
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }

  /// The first header of this name (case does not matter); valid until start().
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;

private:
  enum class state : std::uint8_t { head, fixed, chunk_size, chunk_data, chunk_end, trailer, until_eof, complete, failed };
  struct field {
    std::uint32_t name_at, name_size, value_at, value_size;  // into head_
  };

  std::size_t fail(const char* reason);
  std::size_t feed_head(std::string_view bytes);
  void finish_head();
  [[nodiscard]] const char* read_status_line(std::string_view line);
  [[nodiscard]] const char* read_field_line(std::string_view line);
  std::size_t take_body(std::string_view bytes);
  std::optional<std::size_t> take_line(std::string_view bytes);
  void finish_chunk_size();

  state state_ = state::head;
  bool to_head_ = false;
  bool seen_any_ = false;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  int status_ = 0;
  const char* reason_ = "";
  std::string head_;
  std::vector<field> fields_;
  std::string line_;  // a chunk size or trailer line under way
  std::string body_;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t left_ = 0;  // bytes until the end of the body or chunk
  std::size_t trailer_bytes_ = 0;
};

}  // namespace levity::load
