#include "http/request_parser.hpp"

#include <algorithm>

#include "levity/base/assert.hpp"

namespace levity::inline v0::http::detail {

namespace {

constexpr std::size_t head_bytes_most = std::size_t{1} << 30;

request_parser& owner(llhttp_t* reader) noexcept { return *static_cast<request_parser*>(reader->data); }

}  // namespace

const llhttp_settings_t& request_parser::settings() noexcept {
  static const llhttp_settings_t table = [] {
    llhttp_settings_t fresh;
    llhttp_settings_init(&fresh);
    fresh.on_headers_complete = on_headers_complete;
    fresh.on_body = on_body;
    fresh.on_message_complete = on_message_complete;
    return fresh;
  }();
  return table;
}

request_parser::request_parser(const limits& bounds) noexcept : limits_(bounds) {
  LEVITY_ASSERT(limits_.head_bytes <= head_bytes_most && limits_.trailer_bytes <= head_bytes_most &&
                    limits_.target_bytes <= head_bytes_most,
                "limits for a head above 1 GiB; pieces of a head are counted in 32 bits");
  llhttp_init(&reader_, HTTP_REQUEST, &settings());
  reader_.data = this;
  forget();
}

void request_parser::forget() noexcept {
  llhttp_reset(&reader_);
  head_rules_.begin_head(request_.head_, limits_);
  request_.text_ = request_.trailer_text_ = "";
  request_.body_ = {};
  request_.trailers_.clear();
  sink_ = {};
  head_text_.clear();
  body_text_.clear();
  trailer_text_.clear();
  in_place_ = piece_ = reader_body_ = {};
  expected_ = nullptr;
  body_left_ = body_taken_ = reader_length_ = 0;
  reader_chunked_ = reader_headers_done_ = reader_done_ = false;
  phase_ = phase::head;
}

void request_parser::next() noexcept {
  LEVITY_ASSERT(phase_ == phase::complete, "next() follows a complete request; close the connection after a refusal");
  forget();
}

void request_parser::release() noexcept {
  LEVITY_ASSERT(idle(), "release() frees the bytes of a request that is being read");
  std::string().swap(head_text_);
  std::string().swap(body_text_);
  std::string().swap(trailer_text_);
  std::vector<field_pieces>().swap(request_.head_.fields);
  std::vector<field_pieces>().swap(request_.trailers_);
}

std::size_t request_parser::kept_bytes() const noexcept {
  const auto heap = [](const std::string& text) { return text.capacity() > 15 ? text.capacity() + 1 : 0; };
  return heap(head_text_) + heap(body_text_) + heap(trailer_text_) +
         (request_.head_.fields.capacity() + request_.trailers_.capacity()) * sizeof(field_pieces);
}

int request_parser::on_headers_complete(llhttp_t* reader) noexcept {
  request_parser& self = owner(reader);
  self.reader_headers_done_ = true;
  self.reader_chunked_ = (reader->flags & F_CHUNKED) != 0;
  self.reader_length_ = reader->content_length;
  // An offer to change the protocol may be ignored (RFC 9110 7.8), and is: what follows is still HTTP/1.1.
  reader->upgrade = 0;
  return 0;
}

int request_parser::on_body(llhttp_t* reader, const char* at, std::size_t size) noexcept {
  request_parser& self = owner(reader);
  // Only noted: what is done with it may throw, and must not throw through C.
  if (self.reader_body_.empty()) self.reader_body_ = {at, size};
  self.body_taken_ += size;
  return 0;
}

int request_parser::on_message_complete(llhttp_t* reader) noexcept {
  owner(reader).reader_done_ = true;
  return 0;
}

bool request_parser::read_along(std::string_view bytes) {
  reader_body_ = {};
  if (llhttp_execute(&reader_, bytes.data(), bytes.size()) != HPE_OK) return false;
  if (reader_body_.empty()) return true;
  if (sink_.take != nullptr) {
    sink_.take(sink_.context, reader_body_);
  } else if (body_text_.empty() && piece_.empty()) {
    piece_ = reader_body_;
  } else {
    keep_body();
    body_text_.append(reader_body_);
  }
  return true;
}

void request_parser::keep_head() {
  if (in_place_.data() == nullptr) return;
  head_text_.assign(in_place_);
  request_.text_ = head_text_.data();
  in_place_ = {};
  expected_ = nullptr;
}

void request_parser::keep_body() {
  if (piece_.empty()) return;
  body_text_.append(piece_);
  piece_ = {};
}

verdict request_parser::need_more(std::size_t consumed) {
  keep_head();
  keep_body();
  return {verdict::kind::needs_more, refusal::none, consumed};
}

verdict request_parser::refuse(refusal why, std::size_t consumed) noexcept {
  phase_ = phase::refused;
  return {verdict::kind::refused, why, consumed};
}

verdict request_parser::feed(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  LEVITY_ASSERT(phase_ != phase::complete && phase_ != phase::refused, "feed() after the end of a request; call next()");
  LEVITY_ASSERT(expected_ == nullptr || expected_ == text.data(), "after head_complete feed the rest of the same bytes");
  switch (phase_) {
    case phase::head: return feed_head(text);
    case phase::body_ahead: {
      const refusal why = accept_body(limits_.body_bytes);
      if (why != refusal::none) return refuse(why, 0);
      break;
    }
    case phase::trailers: return feed_trailers(text, 0);
    default: break;
  }
  return request_.chunked() ? feed_chunks(text) : feed_sized_body(text);
}

verdict request_parser::feed_head(std::string_view bytes) {
  if (head_text_.empty()) {
    if (bytes.empty()) return {};
    switch (head_rules_.scan(bytes)) {
      case head_rules::outcome::refused: return refuse(head_rules_.why(), 0);
      case head_rules::outcome::needs_more: break;
      case head_rules::outcome::done: {
        const verdict found = head_done(bytes.substr(0, head_rules_.size()), head_rules_.size());
        // With nothing left to go on with, the caller will read into the same memory again.
        if (found.what == verdict::kind::head_complete && found.consumed == bytes.size()) keep_head();
        return found;
      }
    }
    head_text_.assign(bytes);
    return {verdict::kind::needs_more, refusal::none, bytes.size()};
  }
  // What lies beyond the limit decides nothing.
  const std::size_t before = head_text_.size();
  const std::size_t taken = std::min(bytes.size(), limits_.head_bytes + 2 - std::min(before, limits_.head_bytes + 2));
  head_text_.append(bytes.substr(0, taken));
  switch (head_rules_.scan(head_text_)) {
    case head_rules::outcome::refused: return refuse(head_rules_.why(), 0);
    case head_rules::outcome::needs_more: return {verdict::kind::needs_more, refusal::none, bytes.size()};
    case head_rules::outcome::done: break;
  }
  head_text_.resize(head_rules_.size());
  return head_done(head_text_, head_text_.size() - before);
}

verdict request_parser::head_done(std::string_view head, std::size_t consumed) {
  request_.text_ = head.data();
  const bool accepted = read_along(head.substr(head_rules_.first()));
  const bool same_framing =
      reader_chunked_ == request_.chunked() &&
      (request_.chunked() || reader_length_ == request_.content_length().value_or(0)) &&
      reader_.http_major == 1 && reader_.http_minor == (request_.version() == version::http_1_1 ? 1 : 0);
  if (!accepted || !reader_headers_done_ || !same_framing || reader_done_ == request_.has_body()) {
    return refuse(refusal::readers_disagree, 0);
  }
  if (!request_.has_body()) {
    phase_ = phase::complete;
    return {verdict::kind::complete, refusal::none, consumed};
  }
  phase_ = phase::body_ahead;
  if (head_text_.empty()) {
    in_place_ = head;
    expected_ = head.data() + head.size();
  }
  return {verdict::kind::head_complete, refusal::none, consumed};
}

refusal request_parser::accept_body(std::uint64_t bytes_max) { return accept_body(bytes_max, {}); }

refusal request_parser::accept_body(std::uint64_t bytes_max, body_sink sink) {
  LEVITY_ASSERT(phase_ == phase::body_ahead, "accept_body() follows head_complete");
  sink_ = sink;
  if (request_.chunked()) {
    chunk_rules_.begin(limits_, bytes_max);
  } else {
    body_left_ = *request_.content_length();
    if (body_left_ > bytes_max) {
      phase_ = phase::refused;
      return refusal::body_too_large;
    }
  }
  phase_ = phase::body;
  return refusal::none;
}

verdict request_parser::feed_sized_body(std::string_view bytes) {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, bytes.size()));
  if (taken > 0 && !read_along(bytes.substr(0, taken))) return refuse(refusal::readers_disagree, 0);
  body_left_ -= taken;
  if (body_left_ > 0) return reader_done_ ? refuse(refusal::readers_disagree, 0) : need_more(taken);
  if (body_taken_ != *request_.content_length()) return refuse(refusal::readers_disagree, 0);
  return body_done(taken);
}

verdict request_parser::feed_chunks(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t taken = chunk_rules_.step(bytes.substr(at));
    // llhttp goes first up to the byte that the rules refuse, so that the first of both to object is the same in any split.
    if (taken > 0 && !chunk_rules_.was_extension() && !read_along(bytes.substr(at, taken))) {
      return refuse(refusal::readers_disagree, at);
    }
    at += taken;
    if (reader_done_) return refuse(refusal::readers_disagree, at);
    if (chunk_rules_.why() != refusal::none) return refuse(chunk_rules_.why(), at);
    if (!chunk_rules_.last()) continue;
    if (body_taken_ != chunk_rules_.body_bytes()) return refuse(refusal::readers_disagree, at);
    phase_ = phase::trailers;
    head_rules_.begin_trailers(request_.trailers_, limits_);
    return feed_trailers(bytes.substr(at), at);
  }
  return need_more(at);
}

verdict request_parser::feed_trailers(std::string_view bytes, std::size_t before) {
  std::size_t taken = 2;
  if (!trailer_text_.empty() || !bytes.starts_with("\r\n")) {
    const std::size_t kept = trailer_text_.size();
    taken = std::min(bytes.size(), limits_.trailer_bytes + 2 - std::min(kept, limits_.trailer_bytes + 2));
    trailer_text_.append(bytes.substr(0, taken));
    switch (head_rules_.scan(trailer_text_)) {
      case head_rules::outcome::refused: return refuse(head_rules_.why(), before);
      case head_rules::outcome::needs_more: return need_more(before + bytes.size());
      case head_rules::outcome::done: break;
    }
    trailer_text_.resize(head_rules_.size());
    taken = trailer_text_.size() - kept;
    request_.trailer_text_ = trailer_text_.data();
  }
  // Trailers were judged here and are not llhttp's business: one named Content-Length must not confuse it.
  if (!read_along("\r\n") || !reader_done_) return refuse(refusal::readers_disagree, before);
  return body_done(before + taken);
}

verdict request_parser::body_done(std::size_t consumed) {
  if (!reader_done_) return refuse(refusal::readers_disagree, consumed);
  if (!body_text_.empty()) {
    keep_body();
    request_.body_ = body_text_;
  } else {
    request_.body_ = piece_;
  }
  expected_ = nullptr;
  phase_ = phase::complete;
  return {verdict::kind::complete, refusal::none, consumed};
}

}  // namespace levity::http::detail
