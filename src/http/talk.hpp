#pragma once

// talk: one request and its answer, from a URL to the last byte.
//
//   state        moved by
//   fresh        hop(): a place among the host's connections, then a kept or a new connection
//   connected    over_connection(): the head is written, and the body with it, or by a writer beside the reader, or by the user
//   answered     read_head()
//   whole        read_piece() that finds the end: the connection is given back, if nothing speaks against it
//
// A redirect that is followed begins anew with another URL, within the same deadline.
//
// Where the user writes the body, another task may still do so when the answer is whole: then the connection is given back or
// closed when the talk ends, and not before.
//
// When a connection is not given back: the answer does not keep it; bytes are left behind the answer; the request was not written
// to its end; anything failed; the talk ends before its answer does. In all these cases it is closed, so what is still on its way
// to this side has nobody to arrive at. That no answer meets another request rests on this alone.
//
// Repeating. A kept connection may have been closed by the peer while nobody looked, or just now. When it ends before one byte of
// the answer came, the request is sent once more, over a new connection, if doing it twice is doing it once and its body is still
// here. In all other cases the request fails: whether it was carried out is unknown.
//
// Writing beside reading. A server may answer before it has read the request, even so much that it stops reading until somebody
// takes the answer. So a body of more than `inline_body_max` or from a source is written by a task of its own while this one
// reads; smaller ones fit into the sockets' buffers.

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <exception>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "http/connection_pool.hpp"
#include "http/step_result.hpp"
#include "levity/base/clock.hpp"
#include "levity/http/answer.hpp"
#include "levity/http/client_error.hpp"
#include "levity/http/outgoing.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::http::detail {

class talk {
public:
  // All three outlive it.
  talk(std::shared_ptr<connection_pool> pool, const outgoing& asked, answer& into) noexcept;
  talk(const talk&) = delete;
  talk& operator=(const talk&) = delete;
  ~talk();

  // The whole of it; `into` has the body.
  task<std::expected<void, client_error>> whole() { return bounded(all()); }
  // Up to the head of the answer, or of the request where its body is written by write().
  task<std::expected<void, client_error>> open() { return bounded(up_to_head()); }
  task<std::expected<void, client_error>> write(byte_view bytes) { return bounded(write_part(bytes), who::writer); }
  task<std::expected<void, client_error>> end_body() { return bounded(write_last(), who::writer); }
  task<std::expected<void, client_error>> answered() { return bounded(read_head()); }
  task<std::expected<byte_view, client_error>> read();

private:
  static constexpr std::size_t inline_body_max = 64 * 1024;

  enum class writing : std::uint8_t { body_ahead, done, failed };
  enum class who : std::uint8_t { reader, writer };  // of two tasks of the user that share an exchange

  // Each is a part of the talk that waits.
  task<std::expected<void, client_error>> bounded(task<step_result> part, who whose = who::reader);
  task<step_result> all();
  task<step_result> up_to_head();
  task<step_result> hop(bool with_body);
  task<step_result> wait_for_place();
  task<step_result> connect();
  task<step_result> over_connection(bool with_body);
  task<step_result> beside_writer(bool with_body);
  task<step_result> read_answer(bool with_body);
  task<step_result> read_head();
  task<step_result> read_piece();
  task<step_result> write_part(byte_view bytes);
  task<step_result> write_last();
  task<> write_body(scope* reader);
  static task<> read_beside(talk* self, bool with_body, step_result* ended);

  step_result setup();
  step_result follow();
  [[nodiscard]] bool redirected() const noexcept;
  void compose_head();
  step_result judge(const response_parser::verdict& said) noexcept;
  step_result read_failed(io_error why) noexcept;
  void rest_connection();
  void let_go() noexcept;
  void leave_host() noexcept;
  void settle(std::string_view error) noexcept;
  [[nodiscard]] bool may_do_twice() const noexcept;
  [[nodiscard]] bool may_repeat(const step_result& ended) const noexcept;
  [[nodiscard]] client_error explain(const step_result& ended) const;

  const std::shared_ptr<connection_pool> pool_;
  const outgoing& asked_;
  answer& into_;

  // Of this hop.
  url redirected_to_;
  const url* target_ = nullptr;
  pooled_host* host_ = nullptr;
  pooled_connection* connection_ = nullptr;
  std::string_view rest_;   // of the last read, not yet looked at
  std::string_view piece_;  // of the body, as read_piece() found it; empty: the answer is whole
  std::string sentence_;    // what a failure has to say beyond its kind
  std::array<char, 20> chunk_line_{};
  std::array<iovec, 3> pieces_{};
  std::exception_ptr source_threw_;
  step_result source_ended_;
  std::uint64_t body_left_ = 0;  // of a body whose length was announced
  std::uint64_t answer_max_ = 0;
  const time_point began_;
  const time_point until_;
  time_point had_connection_{};
  unsigned redirects_left_ = 0;
  method method_ = method::get;
  outgoing::body_kind body_kind_ = outgoing::body_kind::none;
  writing writing_ = writing::body_ahead;
  bool has_place_ = false;
  bool same_server_ = true;   // as the URL that was asked for: the request's credentials are meant for it
  bool kept_ = false;         // the connection had been used before
  bool repeated_ = false;
  bool in_chunks_ = false;
  bool first_byte_ = false;   // of the answer has come
  bool head_read_ = false;
  bool whole_ = false;        // the answer is
  bool settled_ = false;
};

// What an exchange owns.
struct owned_talk {
  owned_talk(std::shared_ptr<connection_pool> pool, outgoing what) : asked(std::move(what)), on(std::move(pool), asked, got) {}

  outgoing asked;
  answer got;
  talk on;
};

}  // namespace levity::http::detail
