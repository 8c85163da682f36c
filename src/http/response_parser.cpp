#include "http/response_parser.hpp"

#include <algorithm>

#include "levity/base/assert.hpp"

namespace levity::inline v0::http::detail {

namespace {

constexpr std::size_t head_bytes_most = std::size_t{1} << 30;

response_parser& owner(llhttp_t* reader) noexcept { return *static_cast<response_parser*>(reader->data); }

}  // namespace

const llhttp_settings_t& response_parser::settings() noexcept {
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

response_parser::response_parser(const limits& bounds) noexcept : limits_(bounds) {
  LEVITY_ASSERT(limits_.head_bytes <= head_bytes_most && limits_.trailer_bytes <= head_bytes_most,
                "limits for a head above 1 GiB; pieces of a head are counted in 32 bits");
  llhttp_init(&reader_, HTTP_RESPONSE, &settings());
  reader_.data = this;
}

void response_parser::begin(method asked, kept_answer& into) noexcept {
  LEVITY_ASSERT(phase_ == phase::idle || phase_ == phase::complete, "an answer is read to its end before the next one begins");
  asked_ = asked;
  kept_ = &into;
  into.clear();
  body_bytes_max_ = limits_.body_bytes;
  interim_ = 0;
  untouched_ = true;
  begin_head();
}

void response_parser::begin_head() noexcept {
  llhttp_reset(&reader_);
  head_rules_.begin_answer(kept_->head, asked_, limits_);
  kept_->head_text.clear();
  body_left_ = body_taken_ = reader_length_ = 0;
  reader_chunked_ = reader_has_length_ = reader_headers_done_ = reader_done_ = false;
  phase_ = phase::head;
}

int response_parser::on_headers_complete(llhttp_t* reader) noexcept {
  response_parser& self = owner(reader);
  self.reader_headers_done_ = true;
  self.reader_chunked_ = (reader->flags & F_CHUNKED) != 0;
  self.reader_has_length_ = (reader->flags & F_CONTENT_LENGTH) != 0;
  self.reader_length_ = reader->content_length;
  // An offer of another protocol beside an answer may be ignored (RFC 9110 7.8).
  reader->upgrade = 0;
  // 1: no body follows, whatever the fields say. Which method was asked only the rules know.
  return self.kept_->head.has_body ? 0 : 1;
}

int response_parser::on_body(llhttp_t* reader, const char*, std::size_t size) noexcept {
  owner(reader).body_taken_ += size;
  return 0;
}

int response_parser::on_message_complete(llhttp_t* reader) noexcept {
  owner(reader).reader_done_ = true;
  return 0;
}

bool response_parser::read_along(std::string_view bytes) noexcept {
  return llhttp_execute(&reader_, bytes.data(), bytes.size()) == HPE_OK;
}

response_parser::verdict response_parser::refuse(refusal why) noexcept {
  phase_ = phase::refused;
  return {verdict::kind::refused, why, 0};
}

response_parser::verdict response_parser::done(std::size_t consumed) noexcept {
  phase_ = phase::complete;
  return {verdict::kind::complete, refusal::none, consumed};
}

response_parser::verdict response_parser::feed(std::string_view bytes) {
  LEVITY_ASSERT(phase_ != phase::idle && phase_ != phase::complete && phase_ != phase::refused,
                "feed() goes on with an answer; begin() another one");
  if (!bytes.empty()) untouched_ = false;
  switch (phase_) {
    case phase::head: return feed_head(bytes);
    case phase::trailers: return feed_trailers(bytes, 0);
    default: break;
  }
  const response_head& head = kept_->head;
  if (!head.has_body) return done(0);
  if (head.chunked) return feed_chunks(bytes);
  return head.until_close ? feed_open_body(bytes) : feed_sized_body(bytes);
}

response_parser::verdict response_parser::feed_end() noexcept {
  if (phase_ == phase::body && kept_->head.has_body && kept_->head.until_close) {
    if (llhttp_finish(&reader_) != HPE_OK || !reader_done_) return refuse(refusal::readers_disagree);
    return done(0);
  }
  if (phase_ == phase::body && !kept_->head.has_body) return done(0);
  return refuse(refusal::cut_short);
}

response_parser::verdict response_parser::feed_head(std::string_view bytes) {
  std::string& text = kept_->head_text;
  for (std::size_t taken = 0;;) {
    const std::string_view rest = bytes.substr(taken);
    if (rest.empty()) return {verdict::kind::needs_more, refusal::none, taken};
    std::size_t part = 0;
    if (text.empty()) {
      switch (head_rules_.scan(rest)) {
        case head_rules::outcome::refused: return refuse(head_rules_.why());
        case head_rules::outcome::needs_more: text.assign(rest); return {verdict::kind::needs_more, refusal::none, bytes.size()};
        case head_rules::outcome::done: break;
      }
      part = head_rules_.size();
      text.assign(rest.substr(0, part));
    } else {
      // What lies beyond the limit decides nothing.
      const std::size_t before = text.size();
      text.append(rest.substr(0, std::min(rest.size(), limits_.head_bytes + 2 - std::min(before, limits_.head_bytes + 2))));
      switch (head_rules_.scan(text)) {
        case head_rules::outcome::refused: return refuse(head_rules_.why());
        case head_rules::outcome::needs_more: return {verdict::kind::needs_more, refusal::none, bytes.size()};
        case head_rules::outcome::done: break;
      }
      text.resize(head_rules_.size());
      part = text.size() - before;
    }
    taken += part;
    const verdict said = head_done(taken);
    if (said.what != verdict::kind::needs_more) return said;
  }
}

// needs_more: it was an interim one, and the next head begins.
response_parser::verdict response_parser::head_done(std::size_t consumed) {
  const response_head& head = kept_->head;
  const bool accepted = read_along(kept_->head_text);
  const bool same_framing = reader_chunked_ == head.chunked && reader_has_length_ == head.content_length.has_value() &&
                            reader_length_ == head.content_length.value_or(0) && reader_.status_code == head.code &&
                            reader_.http_major == 1 && reader_.http_minor == (head.version == version::http_1_1 ? 1 : 0);
  if (!accepted || !reader_headers_done_ || !same_framing || reader_done_ == head.has_body) {
    return refuse(refusal::readers_disagree);
  }
  if (head.code < 200) {
    if (++interim_ > limits_.interim_answers) return refuse(refusal::interim_answers);
    begin_head();
    return {verdict::kind::needs_more, refusal::none, consumed};
  }
  if (head.has_body && head.chunked) {
    chunk_rules_.begin(limits_, body_bytes_max_);
  } else if (head.has_body && !head.until_close) {
    body_left_ = *head.content_length;
    if (body_left_ > body_bytes_max_) return refuse(refusal::body_too_large);
  }
  phase_ = phase::body;
  return {verdict::kind::head, refusal::none, consumed};
}

response_parser::verdict response_parser::feed_sized_body(std::string_view bytes) noexcept {
  if (body_left_ == 0) {
    if (!reader_done_ || body_taken_ != *kept_->head.content_length) return refuse(refusal::readers_disagree);
    return done(0);
  }
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, bytes.size()));
  if (taken == 0) return {};
  if (!read_along(bytes.substr(0, taken))) return refuse(refusal::readers_disagree);
  body_left_ -= taken;
  if (reader_done_ != (body_left_ == 0)) return refuse(refusal::readers_disagree);
  return {verdict::kind::piece, refusal::none, taken, bytes.substr(0, taken)};
}

response_parser::verdict response_parser::feed_open_body(std::string_view bytes) noexcept {
  if (bytes.empty()) return {};
  if (bytes.size() > body_bytes_max_ - body_taken_) return refuse(refusal::body_too_large);
  if (!read_along(bytes) || reader_done_) return refuse(refusal::readers_disagree);
  return {verdict::kind::piece, refusal::none, bytes.size(), bytes};
}

response_parser::verdict response_parser::feed_chunks(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint64_t before = body_taken_;
    const std::size_t taken = chunk_rules_.step(bytes.substr(at));
    if (taken > 0 && !chunk_rules_.was_extension() && !read_along(bytes.substr(at, taken))) {
      return refuse(refusal::readers_disagree);
    }
    const std::string_view stretch = bytes.substr(at, taken);
    at += taken;
    if (reader_done_) return refuse(refusal::readers_disagree);
    if (chunk_rules_.why() != refusal::none) return refuse(chunk_rules_.why());
    if (body_taken_ != before) {
      // A step goes over data or over a line, never over both.
      if (body_taken_ - before != taken) return refuse(refusal::readers_disagree);
      return {verdict::kind::piece, refusal::none, at, stretch};
    }
    if (!chunk_rules_.last()) continue;
    if (body_taken_ != chunk_rules_.body_bytes()) return refuse(refusal::readers_disagree);
    phase_ = phase::trailers;
    head_rules_.begin_trailers(kept_->trailers, limits_);
    return feed_trailers(bytes.substr(at), at);
  }
  return {verdict::kind::needs_more, refusal::none, at};
}

response_parser::verdict response_parser::feed_trailers(std::string_view bytes, std::size_t before) {
  std::string& text = kept_->trailer_text;
  std::size_t taken = 2;
  if (!text.empty() || !bytes.starts_with("\r\n")) {
    const std::size_t kept = text.size();
    taken = std::min(bytes.size(), limits_.trailer_bytes + 2 - std::min(kept, limits_.trailer_bytes + 2));
    text.append(bytes.substr(0, taken));
    switch (head_rules_.scan(text)) {
      case head_rules::outcome::refused: return refuse(head_rules_.why());
      case head_rules::outcome::needs_more: return {verdict::kind::needs_more, refusal::none, before + bytes.size()};
      case head_rules::outcome::done: break;
    }
    text.resize(head_rules_.size());
    taken = text.size() - kept;
  }
  // As with requests: trailers were judged here and are not llhttp's business.
  if (!read_along("\r\n") || !reader_done_) return refuse(refusal::readers_disagree);
  return done(before + taken);
}

}  // namespace levity::http::detail
