#include "http/talk.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "http/make_connection.hpp"
#include "levity/base/assert.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http::detail {

namespace {

using body_kind = outgoing::body_kind;

iovec bytes_of(std::string_view text) noexcept {
  // iovec has no const; the socket only reads.
  return {const_cast<char*>(text.data()), text.size()};
}

std::string_view text_of(byte_view bytes) noexcept { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

time_point end_of(const outgoing& asked, const client_options& options, time_point began) noexcept {
  const duration whole = asked.timeout().value_or(options.timeout);
  return whole < time_point::max() - began ? began + whole : time_point::max();
}

void append_number(std::string& to, std::uint64_t number) {
  char text[20];
  to.append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

// What says who asks: only for the server that it was meant for.
bool is_credential(std::string_view name) noexcept {
  return same_word(name, "authorization") || same_word(name, "cookie") || same_word(name, "proxy-authorization") ||
         same_word(name, "host");
}

// What says what the body is.
bool describes_body(std::string_view name) noexcept {
  return name.size() > 8 && same_word(name.substr(0, 8), "content-");
}

std::string milliseconds(duration span) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count()) + " ms";
}

}  // namespace

talk::talk(std::shared_ptr<connection_pool> pool, const outgoing& asked, answer& into) noexcept
    : pool_(std::move(pool)), asked_(asked), into_(into), began_(clock::now()), until_(end_of(asked, pool_->options(), began_)) {}

talk::~talk() {
  if (!settled_ && host_ != nullptr) {
    settle(to_string(client_failure::cancelled));
    pool_->count_failure(*host_, false);
  }
  if (whole_ && connection_ != nullptr) rest_connection();
  let_go();
  leave_host();
}

// ---- the frame of every call -----------------------------------------------------------------------------------------

task<std::expected<void, client_error>> talk::bounded(task<step_result> part, who whose) {
  step_result ended;
  if (until_ == time_point::max()) {
    ended = co_await std::move(part);
  } else {
    ended = co_await with_deadline(until_, std::move(part));
  }
  if (!ended.failed) [[likely]] co_return {};
  // A writer that fails is not the end of it: the answer may say why, and its reader settles.
  if (whose == who::reader && host_ != nullptr && !settled_) {
    settle(to_string(ended.what));
    pool_->count_failure(*host_, ended.what == client_failure::pool_exhausted);
  }
  co_return std::unexpected(explain(ended));
}

task<std::expected<byte_view, client_error>> talk::read() {
  std::expected<void, client_error> ended;
  if (!head_read_) ended = co_await bounded(read_head());
  if (ended && !whole_) ended = co_await bounded(read_piece());
  if (!ended) co_return std::unexpected(std::move(ended).error());
  if (whole_) co_return byte_view{};
  co_return byte_view{reinterpret_cast<const std::byte*>(piece_.data()), piece_.size()};
}

void talk::settle(std::string_view error) noexcept {
  settled_ = true;
  into_.timings_.total = clock::now() - began_;
  pool_->durations().record(host_->whose, method_, error.empty() ? into_.kept_.head.code : 0, error, into_.timings_.total);
}

// ---- one hop after the other -----------------------------------------------------------------------------------------

step_result talk::setup() {
  into_.clear();
  if (!asked_.target()) {
    sentence_ = asked_.target().error();
    return failed_step(client_failure::invalid_request);
  }
  target_ = &*asked_.target();
  method_ = asked_.method();
  body_kind_ = asked_.body_comes_from();
  if (method_ == method::connect) {
    sentence_ = "CONNECT is for proxies, which this client does not use";
    return failed_step(client_failure::invalid_request);
  }
  redirects_left_ = asked_.redirects().value_or(pool_->options().redirects);
  answer_max_ = asked_.answer_max().value_or(pool_->options().bounds.body_bytes);
  return {};
}

task<step_result> talk::all() {
  step_result ended = setup();
  if (body_kind_ == body_kind::streamed) {
    sentence_ = "a body that is written piece by piece needs client::open()";
    ended = failed_step(client_failure::invalid_request);
  }
  while (!ended.failed) {
    ended = co_await hop(true);
    if (ended.failed || !redirected()) break;
    ended = follow();
  }
  if (!ended.failed) settle({});
  co_return ended;
}

task<step_result> talk::up_to_head() {
  step_result ended = setup();
  while (!ended.failed) {
    ended = co_await hop(false);
    if (ended.failed || !redirected()) break;
    ended = follow();
  }
  co_return ended;
}

// Whether the answer that was read sends us elsewhere, and we go.
bool talk::redirected() const noexcept {
  if (!head_read_) return false;
  switch (into_.kept_.head.code) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: break;
    default: return false;
  }
  const bool allowed = asked_.redirects().value_or(pool_->options().redirects) > 0;
  const bool body_is_gone = body_kind_ == body_kind::source || body_kind_ == body_kind::streamed;
  return allowed && !body_is_gone && into_.find("Location").has_value();
}

// Makes ready for the next hop.
step_result talk::follow() {
  if (redirects_left_-- == 0) {
    sentence_ = std::string(target_->text()) + " redirects once more, after " + std::to_string(into_.redirects_) + " redirects";
    return failed_step(client_failure::too_many_redirects);
  }
  auto next = target_->resolve(*into_.find("Location"));
  if (!next) {
    sentence_ = std::string(target_->text()) + " redirects to where nobody can follow: " + next.error();
    return failed_step(client_failure::too_many_redirects);
  }
  const unsigned code = into_.kept_.head.code;
  if ((code == 303 && method_ != method::head) || (code < 303 && method_ == method::post)) {
    method_ = method::get;
    body_kind_ = body_kind::none;
  }
  same_server_ = same_server_ && target_->same_server(*next);
  redirected_to_ = std::move(*next);
  target_ = &redirected_to_;
  const unsigned followed = into_.redirects_ + 1;
  let_go();
  leave_host();
  into_.clear();
  into_.redirects_ = followed;
  writing_ = writing::body_ahead;
  repeated_ = kept_ = first_byte_ = head_read_ = whole_ = false;
  return {};
}

bool talk::may_do_twice() const noexcept {
  const bool has_bytes = body_kind_ == body_kind::none || body_kind_ == body_kind::bytes;
  return has_bytes && (method_ != asked_.method() || asked_.idempotent());
}

bool talk::may_repeat(const step_result& ended) const noexcept {
  return ended.failed && ended.what == client_failure::connection_lost && kept_ && !repeated_ && may_do_twice();
}

task<step_result> talk::hop(bool with_body) {
  host_ = pool_->pin(*target_);
  if (host_ == nullptr) co_return failed_step(client_failure::closed);
  step_result ended;
  if (pool_->try_place(*host_)) [[likely]] {
    has_place_ = true;
  } else {
    ended = co_await wait_for_place();
    if (ended.failed) co_return ended;
  }
  connection_ = pool_->take_idle(*host_);
  kept_ = connection_ != nullptr;
  if (!kept_) ended = co_await connect();
  if (!ended.failed) {
    if (kept_) had_connection_ = clock::now();
    ended = co_await over_connection(with_body);
    if (may_repeat(ended)) {
      repeated_ = true;
      kept_ = false;
      pool_->count_repeated(*host_);
      pool_->drop(std::exchange(connection_, nullptr));
      writing_ = writing::body_ahead;
      ended = co_await connect();
      if (!ended.failed) ended = co_await over_connection(with_body);
    }
  }
  if (body_kind_ == body_kind::streamed && !ended.failed) co_return ended;
  if (ended.failed) {
    let_go();
  } else if (whole_) {
    rest_connection();
  }
  co_return ended;
}

task<step_result> talk::wait_for_place() {
  const time_point asked = clock::now();
  place_waiter self;
  if (!pool_->begin_wait(*host_, self)) {
    sentence_ = pool_->why_exhausted(*host_);
    co_return failed_step(client_failure::pool_exhausted, io_error{io_failure::unavailable});
  }
  // It leaves the list whatever happens: there may be no memory for the sentence, which counts it as one that waits.
  struct waits {
    connection_pool& of;
    pooled_host& host;
    place_waiter& self;
    bool has_place = false;
    ~waits() { of.end_wait(host, self, has_place); }
  };
  cancel_reason why = cancel_reason::none;
  {
    waits until{*pool_, *host_, self};
    place_wait place{*host_};
    why = co_await place;
    until.has_place = why == cancel_reason::none;
    if (why != cancel_reason::none) sentence_ = pool_->why_exhausted(*host_);
  }
  into_.timings_.queue = clock::now() - asked;
  if (why == cancel_reason::none) {
    has_place_ = true;
    if (pool_->closed()) co_return failed_step(client_failure::closed);
    co_return {};
  }
  co_return failed_io(to_io_error(why, "waiting for a connection"), client_failure::pool_exhausted);
}

task<step_result> talk::connect() {
  made_connection fresh = co_await make_connection(*pool_, *host_);
  into_.timings_.dns = fresh.dns;
  into_.timings_.connect = fresh.connect;
  if (fresh.made == nullptr) {
    sentence_ = std::move(fresh.sentence);
    co_return fresh.ended;
  }
  connection_ = fresh.made.release();
  had_connection_ = clock::now();
  co_return {};
}

// ---- over one connection ---------------------------------------------------------------------------------------------

void talk::compose_head() {
  std::string& text = connection_->head_text;
  text.assign(to_string(method_)).append(1, ' ').append(target_->target()).append(" HTTP/1.1\r\n");
  const bool drops_body_fields = method_ != asked_.method();
  if (!same_server_ || !asked_.find("Host")) text.append("Host: ").append(target_->authority()).append("\r\n");
  in_chunks_ = false;
  switch (body_kind_) {
    case body_kind::none:
      if (method_ == method::post || method_ == method::put || method_ == method::patch) text.append("Content-Length: 0\r\n");
      break;
    case body_kind::bytes:
      text.append("Content-Length: ");
      append_number(text, asked_.body().size());
      text.append("\r\n");
      break;
    case body_kind::source:
    case body_kind::streamed:
      in_chunks_ = !asked_.announced_length();
      body_left_ = asked_.announced_length().value_or(0);
      if (in_chunks_) {
        text.append("Transfer-Encoding: chunked\r\n");
      } else {
        text.append("Content-Length: ");
        append_number(text, body_left_);
        text.append("\r\n");
      }
      break;
  }
  if (same_server_ && !drops_body_fields) {
    text.append(asked_.fields().text());
  } else {
    for (std::size_t i = 0; i < asked_.fields().size(); i++) {
      const field each = asked_.fields()[i];
      if ((!same_server_ && is_credential(each.name)) || (drops_body_fields && describes_body(each.name))) continue;
      text.append(each.name).append(": ").append(each.value).append("\r\n");
    }
  }
  if (pool_->options().send_deadline && !asked_.find("X-Request-Deadline-Ms")) {
    if (const auto due = current_deadline()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - clock::now()).count();
      text.append("X-Request-Deadline-Ms: ");
      append_number(text, static_cast<std::uint64_t>(std::max<std::int64_t>(left, 1)));
      text.append("\r\n");
    }
  }
  text.append("\r\n");
}

task<step_result> talk::over_connection(bool with_body) {
  into_.kept_connection_ = kept_;
  rest_ = {};
  connection_->parser.begin(method_, into_.kept_);
  connection_->parser.bound_body(with_body ? answer_max_ : UINT64_MAX);
  compose_head();
  const bool goes_along =
      body_kind_ == body_kind::none || (body_kind_ == body_kind::bytes && asked_.body().size() <= inline_body_max);
  pieces_[0] = bytes_of(connection_->head_text);
  pieces_[1] = goes_along && body_kind_ == body_kind::bytes ? bytes_of(asked_.body()) : iovec{};
  const io_result<void> sent = co_await connection_->stream.write_all(std::span<iovec>(pieces_.data(), 2));
  if (!sent) {
    if (sent.error() == io_failure::cancelled || sent.error() == io_failure::timed_out) {
      co_return failed_io(sent.error(), client_failure::timed_out);
    }
    // Who refuses to read on may have said why.
    writing_ = writing::failed;
    if (body_kind_ == body_kind::streamed) co_return failed_step(client_failure::connection_lost, sent.error());
  } else if (goes_along) {
    writing_ = writing::done;
  }
  if (body_kind_ == body_kind::streamed) co_return {};
  if (goes_along || writing_ == writing::failed) co_return co_await read_answer(with_body);
  co_return co_await beside_writer(with_body);
}

task<> talk::read_beside(talk* self, bool with_body, step_result* ended) { *ended = co_await self->read_answer(with_body); }

task<step_result> talk::beside_writer(bool with_body) {
  step_result ended = failed_step(client_failure::cancelled, io_error{io_failure::cancelled});
  source_ended_ = {};
  scope reader{on_failure::keep_going, "http answer"};
  scope writer{on_failure::keep_going, "http request body"};
  reader.spawn("http answer", read_beside, this, with_body, &ended);
  writer.spawn("http request body", [](talk* self, scope* beside) { return self->write_body(beside); }, this, &reader);
  co_await reader.join();
  // Whoever answers well without the answer's body being read goes on reading the request; else nobody needs the rest of it.
  const bool goes_on = !ended.failed && !with_body && !whole_ && into_.kept_.head.code < 300;
  if (!goes_on) writer.cancel();
  co_await writer.join();
  if (source_threw_ != nullptr) std::rethrow_exception(std::exchange(source_threw_, nullptr));
  if (ended.failed && source_ended_.failed) co_return source_ended_;
  co_return ended;
}

// Writes a large body, or one that somebody gives, while another task reads the answer.
task<> talk::write_body(scope* reader) {
  if (body_kind_ == body_kind::bytes) {
    const io_result<void> sent = co_await connection_->stream.write_all(asked_.body());
    writing_ = sent ? writing::done : writing::failed;
    co_return;
  }
  try {
    for (;;) {
      const io_result<byte_view> more = co_await asked_.source()();
      if (!more) {
        sentence_ = "the request's body could not be had: " + more.error().message();
        source_ended_ = failed_io(more.error(), client_failure::invalid_request);
        break;
      }
      step_result sent;
      if (more->empty()) {
        sent = co_await write_last();
        source_ended_ = sent.what == client_failure::invalid_request ? sent : source_ended_;
        break;
      }
      sent = co_await write_part(*more);
      if (!sent.failed) continue;
      if (sent.what == client_failure::invalid_request) source_ended_ = sent;
      break;
    }
  } catch (const cancelled&) {
    // The answer came first, or the request was given up.
  } catch (...) {
    source_threw_ = std::current_exception();
  }
  // A request that ends in its middle is answered by nobody.
  if (source_ended_.failed || source_threw_ != nullptr) reader->cancel();
}

task<step_result> talk::write_part(byte_view bytes) {
  if (writing_ == writing::done) {
    sentence_ = "the request's body has ended, or was never announced by stream_body()";
    co_return failed_step(client_failure::invalid_request);
  }
  if (writing_ == writing::failed || connection_ == nullptr) co_return failed_step(client_failure::connection_lost);
  if (bytes.empty()) co_return {};
  std::size_t count = 1;
  if (in_chunks_) {
    char* end = std::to_chars(chunk_line_.data(), chunk_line_.data() + 16, bytes.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    pieces_[0] = bytes_of({chunk_line_.data(), static_cast<std::size_t>(end - chunk_line_.data())});
    pieces_[1] = bytes_of(text_of(bytes));
    pieces_[2] = bytes_of("\r\n");
    count = 3;
  } else {
    if (bytes.size() > body_left_) {
      writing_ = writing::failed;
      sentence_ = "the request's body is longer than was announced";
      co_return failed_step(client_failure::invalid_request);
    }
    body_left_ -= bytes.size();
    pieces_[0] = bytes_of(text_of(bytes));
  }
  const io_result<void> sent = co_await connection_->stream.write_all(std::span<iovec>(pieces_.data(), count));
  if (sent) co_return {};
  writing_ = writing::failed;
  co_return failed_io(sent.error(),
                      sent.error() == io_failure::timed_out ? client_failure::timed_out : client_failure::connection_lost);
}

task<step_result> talk::write_last() {
  if (writing_ == writing::done) co_return {};
  if (writing_ == writing::failed || connection_ == nullptr) co_return failed_step(client_failure::connection_lost);
  if (!in_chunks_) {
    if (body_left_ == 0) {
      writing_ = writing::done;
      co_return {};
    }
    writing_ = writing::failed;
    sentence_ = "the request's body is shorter than was announced, by " + std::to_string(body_left_) + " bytes";
    co_return failed_step(client_failure::invalid_request);
  }
  const io_result<void> sent = co_await connection_->stream.write_all(std::string_view("0\r\n\r\n"));
  writing_ = sent ? writing::done : writing::failed;
  if (sent) co_return {};
  co_return failed_io(sent.error(),
                      sent.error() == io_failure::timed_out ? client_failure::timed_out : client_failure::connection_lost);
}

// ---- the answer ------------------------------------------------------------------------------------------------------

step_result talk::read_failed(io_error why) noexcept {
  if (why == io_failure::timed_out || why == io_failure::cancelled) return failed_io(why, client_failure::timed_out);
  if (connection_->parser.untouched()) return failed_step(client_failure::connection_lost, why);
  return failed_step(client_failure::bad_answer, why, refusal::cut_short);
}

// What a refusal of the parser means to a caller.
step_result talk::judge(const response_parser::verdict& said) noexcept {
  const bool too_large = said.why == refusal::body_too_large || said.why == refusal::head_too_large ||
                         said.why == refusal::too_many_fields || said.why == refusal::trailers_too_large;
  return failed_step(too_large ? client_failure::answer_too_large : client_failure::bad_answer, io_error{io_failure::other},
                     said.why);
}

task<step_result> talk::read_head() {
  if (head_read_) co_return {};
  if (connection_ == nullptr) co_return failed_step(client_failure::connection_lost);
  for (;;) {
    const response_parser::verdict said = connection_->parser.feed(rest_);
    if (said.what == response_parser::verdict::kind::refused) co_return judge(said);
    rest_.remove_prefix(said.consumed);
    if (said.what == response_parser::verdict::kind::head) {
      head_read_ = true;
      co_return {};
    }
    const io_result<byte_view> more = co_await connection_->stream.read_some();
    if (!more) co_return read_failed(more.error());
    if (!first_byte_) {
      first_byte_ = true;
      into_.timings_.first_byte = clock::now() - had_connection_;
    }
    rest_ = text_of(*more);
  }
}

// The next part of the body in piece_, or the end.
task<step_result> talk::read_piece() {
  piece_ = {};
  if (whole_) co_return {};
  if (connection_ == nullptr) co_return failed_step(client_failure::connection_lost);
  for (;;) {
    response_parser::verdict said = connection_->parser.feed(rest_);
    if (said.what == response_parser::verdict::kind::needs_more) {
      const io_result<byte_view> more = co_await connection_->stream.read_some();
      if (more) {
        rest_ = text_of(*more);
        continue;
      }
      if (more.error() != io_failure::eof) co_return read_failed(more.error());
      rest_ = {};
      said = connection_->parser.feed_end();
    }
    if (said.what == response_parser::verdict::kind::refused) co_return judge(said);
    rest_.remove_prefix(said.consumed);
    if (said.what == response_parser::verdict::kind::piece) {
      piece_ = said.piece;
      co_return {};
    }
    whole_ = true;
    if (!settled_) settle({});
    if (body_kind_ != body_kind::streamed) rest_connection();
    co_return {};
  }
}

// The head, and the body where it is read whole; that of a redirect only to have the connection back.
task<step_result> talk::read_answer(bool with_body) {
  step_result ended = co_await read_head();
  if (ended.failed) co_return ended;
  constexpr std::size_t redirect_body_max = 64 * 1024;
  const bool drops_body = redirected();
  if (!with_body && !drops_body) co_return ended;
  if (!drops_body) {
    if (const auto length = into_.content_length(); length && into_.kept_.head.has_body) into_.body_.reserve(*length);
  }
  for (std::size_t dropped = 0;;) {
    const response_parser::verdict said = connection_->parser.feed(rest_);
    switch (said.what) {
      case response_parser::verdict::kind::refused: co_return judge(said);
      case response_parser::verdict::kind::piece:
        rest_.remove_prefix(said.consumed);
        dropped += said.piece.size();
        if (!drops_body) into_.body_.append(said.piece);
        if (drops_body && dropped > redirect_body_max) co_return {};
        continue;
      case response_parser::verdict::kind::complete:
        rest_.remove_prefix(said.consumed);
        whole_ = true;
        co_return {};
      default: break;
    }
    rest_ = {};
    const io_result<byte_view> more = co_await connection_->stream.read_some();
    if (more) {
      rest_ = text_of(*more);
      continue;
    }
    if (more.error() != io_failure::eof) co_return read_failed(more.error());
    const response_parser::verdict last = connection_->parser.feed_end();
    if (last.what == response_parser::verdict::kind::refused) co_return judge(last);
    whole_ = true;
    co_return {};
  }
}

// ---- the end ---------------------------------------------------------------------------------------------------------

// The answer was read to its end: the connection goes back, unless something speaks against it.
void talk::rest_connection() {
  const bool clean = whole_ && rest_.empty() && writing_ == writing::done && into_.kept_.head.keep_alive;
  if (pooled_connection* const own = std::exchange(connection_, nullptr); clean) {
    pool_->give_back(own);
  } else {
    pool_->drop(own);
  }
  let_go();
}

// Gives up the connection, if there still is one, and the place.
void talk::let_go() noexcept {
  if (connection_ != nullptr) pool_->drop(std::exchange(connection_, nullptr));
  if (std::exchange(has_place_, false)) pool_->leave_place(*host_);
}

void talk::leave_host() noexcept {
  if (host_ != nullptr) pool_->unpin(*std::exchange(host_, nullptr));
}

client_error talk::explain(const step_result& ended) const {
  const std::string to = target_ != nullptr ? std::string(target_->authority()) : std::string();
  const std::string cause =
      ended.cause == io_failure::other ? std::string() : " (" + std::string(to_string(ended.cause.failure())) + ")";
  std::string said;
  switch (ended.what) {
    case client_failure::invalid_request:
    case client_failure::pool_exhausted:
    case client_failure::unresolved:
    case client_failure::unreachable:
    case client_failure::too_many_redirects: said = sentence_; break;
    case client_failure::closed: said = "the client is closed; nothing was sent to " + to; break;
    case client_failure::cancelled: said = "the request to " + to + " was cancelled"; break;
    case client_failure::connection_lost:
      said = (kept_ ? "the kept connection to " : "the connection to ") + to + " ended before an answer came" + cause;
      if (kept_ && !may_do_twice()) {
        said.append("; it is unknown whether the request was carried out, and a ").append(to_string(method_));
        said.append(body_kind_ == body_kind::source || body_kind_ == body_kind::streamed
                        ? " whose body is streamed is not sent twice"
                        : " is not sent twice without an Idempotency-Key");
      }
      break;
    case client_failure::timed_out:
      said = to + " has not answered to the end within " + milliseconds(clock::now() - began_);
      // Where another task reads, these are its own.
      if (body_kind_ == body_kind::streamed) break;
      said.append(!first_byte_ ? "; no byte of its answer came" : head_read_ ? "; the answer's body was on its way" : "");
      break;
    case client_failure::bad_answer:
      said = "the answer of " + to + " cannot be read" + cause + ": " + std::string(http::explain(ended.refused));
      break;
    case client_failure::answer_too_large:
      said = "the answer of " + to + " is too large (" + std::string(to_string(ended.refused)) +
             "); raise the bound, or read its body in pieces";
      break;
  }
  return {ended.what, ended.cause, ended.refused, std::move(said)};
}

}  // namespace levity::http::detail
