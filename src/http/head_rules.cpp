#include "http/head_rules.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "http/char_class.hpp"

namespace levity::inline v0::http::detail {

namespace {

// "OPTIONS", two spaces, "HTTP/1.1" and CR LF fit beside the target, as does a longer method that is then called unknown.
constexpr std::size_t request_line_rest = 64;

// Where the first control character other than the tab stands at or after `at`; text.size() when there is none.
std::size_t find_control(std::string_view text, std::size_t at) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  constexpr std::uint64_t highs = 0x8080808080808080u;
  for (;;) {
    if constexpr (std::endian::native == std::endian::little) {
      // Eight bytes at once: a byte is below 0x20, or it is 0x7f. Only bytes behind a true hit can be hit falsely.
      while (text.size() - at >= 8) {
        std::uint64_t word;
        std::memcpy(&word, text.data() + at, 8);
        const std::uint64_t low = (word - ones * 0x20) & ~word;
        const std::uint64_t del = ((word ^ (ones * 0x7f)) - ones) & ~(word ^ (ones * 0x7f));
        const std::uint64_t hits = (low | del) & highs;
        if (hits != 0) {
          at += static_cast<std::size_t>(std::countr_zero(hits)) / 8;
          break;
        }
        at += 8;
      }
    }
    while (at < text.size() && is(text[at], text_char) && text[at] != '\t') ++at;
    if (at == text.size() || text[at] != '\t') return at;
    ++at;
  }
}

piece part_of(piece whole, std::size_t from, std::size_t size) noexcept {
  return {whole.at + static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(size)};
}

// Fields that frame, route or authorise a message, or say what its content is, must come before the body (RFC 9110 6.5.1).
bool may_be_trailer(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 32> forbidden{
      "age",           "authorization",       "cache-control",     "connection",     "content-encoding",
      "content-length", "content-range",      "content-type",      "cookie",         "date",
      "expect",        "expires",             "forwarded",         "host",           "if-match",
      "if-modified-since", "if-none-match",   "if-range",          "if-unmodified-since", "keep-alive",
      "location",      "max-forwards",        "pragma",            "proxy-authenticate", "proxy-authorization",
      "range",         "retry-after",         "set-cookie",        "te",             "trailer",
      "transfer-encoding", "upgrade"};
  return std::none_of(forbidden.begin(), forbidden.end(), [name](auto each) { return same_word(name, each); });
}

// host[:port], which is_host() knows, without the port that the scheme has anyway, or an empty one.
std::string_view without_default_port(std::string_view authority, std::string_view port) noexcept {
  const std::size_t colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  const bool goes = colon != std::string_view::npos && (colon + 1 == authority.size() || authority.substr(colon + 1) == port);
  return goes ? authority.substr(0, colon) : authority;
}

}  // namespace

bool is_host(std::string_view text) noexcept {
  std::size_t host_size = 0;
  if (text.starts_with('[')) {
    host_size = text.find(']');
    if (host_size == std::string_view::npos) return false;
    const std::string_view address = text.substr(1, host_size - 1);
    if (address.size() < 2 || !std::all_of(address.begin(), address.end(), [](char c) {
          return is(c, hex_char) || c == ':' || c == '.';
        })) {
      return false;
    }
    ++host_size;
  } else {
    host_size = std::min(text.find(':'), text.size());
    const std::string_view name = text.substr(0, host_size);
    if (name.empty() || !all_are_or_percent(name, host_char) || !encoded_well(name)) return false;
  }
  std::string_view port = text.substr(host_size);
  if (port.empty()) return true;
  if (port.front() != ':') return false;
  port.remove_prefix(1);
  if (port.size() > 5 || !all_are(port, digit_char)) return false;
  unsigned number = 0;
  std::from_chars(port.data(), port.data() + port.size(), number);
  return number <= 65535;
}

void head_rules::begin_head(request_head& found, const limits& bounds) noexcept {
  *this = head_rules();
  head_ = request_ = &found;
  limits_ = &bounds;
  found.clear();
}

void head_rules::begin_answer(response_head& found, method asked, const limits& bounds) noexcept {
  *this = head_rules();
  head_ = response_ = &found;
  limits_ = &bounds;
  asked_ = asked;
  part_ = part::status_line;
  found.clear();
}

void head_rules::begin_trailers(std::vector<field_pieces>& found, const limits& bounds) noexcept {
  *this = head_rules();
  trailers_ = &found;
  limits_ = &bounds;
  part_ = part::trailers;
  found.clear();
}

head_rules::outcome head_rules::refuse(refusal why) noexcept {
  why_ = why;
  return outcome::refused;
}

refusal head_rules::too_large() const noexcept {
  switch (part_) {
    case part::request_line: return refusal::target_too_long;
    case part::trailers: return refusal::trailers_too_large;
    default: return refusal::head_too_large;
  }
}

head_rules::outcome head_rules::scan(std::string_view text) {
  for (;;) {
    // A line that is not over at `bound` is too long, even if its end is known to follow.
    std::size_t bound = part_ == part::trailers ? limits_->trailer_bytes : limits_->head_bytes;
    if (part_ == part::request_line) {
      bound = std::min(bound, line_ + limits_->target_bytes + request_line_rest);
      if (line_ < text.size() && !is(text[line_], token_char) && text[line_] != '\r' && text[line_] != '\n') {
        return refuse(refusal::garbage_first);
      }
    } else if (part_ == part::status_line) {
      // Another protocol is told from its first bytes: it may wait for ours to go on.
      constexpr std::string_view begins = "HTTP/";
      const std::string_view seen = text.substr(line_, begins.size());
      if (seen != begins.substr(0, seen.size())) return refuse(refusal::garbage_first);
    }
    const std::size_t stop = find_control(text.substr(0, bound), std::min(scanned_, bound));
    scanned_ = stop;
    if (stop + 2 > bound) return refuse(too_large());
    if (stop >= text.size()) return outcome::needs_more;
    if (text[stop] == '\n') return refuse(refusal::bare_lf);
    if (text[stop] != '\r') return refuse(refusal::control_character);
    if (stop + 1 == text.size()) return outcome::needs_more;
    if (text[stop + 1] != '\n') return refuse(refusal::bare_cr);

    const piece line{static_cast<std::uint32_t>(line_), static_cast<std::uint32_t>(stop - line_)};
    scanned_ = line_ = stop + 2;
    refusal why = refusal::none;
    if (part_ == part::request_line && line.size == 0) {
      if (blank_line_) return refuse(refusal::blank_lines_first);
      blank_line_ = true;
      first_ = line_;
    } else if (part_ == part::request_line) {
      why = request_line(text, line);
      part_ = part::fields;
    } else if (part_ == part::status_line) {
      why = status_line(line.in(text.data()));
      part_ = part::fields;
    } else if (line.size != 0) {
      why = field_line(text, line);
    } else {
      if (part_ == part::fields) why = response_ != nullptr ? whole_answer() : whole_head();
      if (why == refusal::none) return outcome::done;
    }
    if (why != refusal::none) return refuse(why);
  }
}

refusal head_rules::request_line(std::string_view text, piece line) {
  const std::string_view view = line.in(text.data());
  const std::size_t first_space = view.find(' ');
  if (first_space == std::string_view::npos) return refusal::request_line_shape;
  const std::size_t last_space = view.find(' ', first_space + 1);
  if (last_space == std::string_view::npos || last_space == first_space + 1) return refusal::request_line_shape;
  const std::string_view method_text = view.substr(0, first_space);
  const piece whole = part_of(line, first_space + 1, last_space - first_space - 1);
  const std::string_view target_text = whole.in(text.data());
  const std::string_view version_text = view.substr(last_space + 1);
  if (!is_token(method_text) || version_text.find(' ') != std::string_view::npos) return refusal::request_line_shape;
  if (version_text.size() != 8 || !version_text.starts_with("HTTP/") || !is(version_text[5], digit_char) ||
      version_text[6] != '.' || !is(version_text[7], digit_char)) {
    return refusal::version_shape;
  }
  if (version_text[5] != '1' || version_text[7] > '1') return refusal::version_unsupported;
  head_->version = version_text[7] == '1' ? version::http_1_1 : version::http_1_0;
  const auto method = method_from(method_text);
  if (!method) return refusal::method_unknown;
  if (*method == method::connect) return refusal::connect_unsupported;
  request_->method = *method;
  if (target_text.size() > limits_->target_bytes) return refusal::target_too_long;
  request_->target = whole;
  return target(text, whole);
}

// "HTTP/1.1 200 OK". The reason may be empty, and many leave out the space before it, too.
refusal head_rules::status_line(std::string_view line) noexcept {
  if (line.size() < 8 || !is(line[5], digit_char) || line[6] != '.' || !is(line[7], digit_char)) return refusal::version_shape;
  if (line[5] != '1' || line[7] > '1') return refusal::version_unsupported;
  head_->version = line[7] == '1' ? version::http_1_1 : version::http_1_0;
  if (line.size() < 12 || line[8] != ' ' || !all_are(line.substr(9, 3), digit_char) || (line.size() > 12 && line[12] != ' ')) {
    return refusal::status_line_shape;
  }
  if (line[9] < '1' || line[9] > '5') return refusal::status_unknown;
  std::from_chars(line.data() + 9, line.data() + 12, response_->code);
  // Nobody here asks for another protocol.
  return response_->code == 101 ? refusal::upgrade_unasked : refusal::none;
}

// origin-form "/path?query", absolute-form "http://host/path?query", asterisk-form "*" (RFC 9112 3.2).
refusal head_rules::target(std::string_view text, piece whole) {
  const std::string_view view = whole.in(text.data());
  std::size_t path = 0;
  if (view == "*") {
    if (request_->method != method::options) return refusal::target_form;
    request_->path = whole;
    return refusal::none;
  }
  if (view.find('#') != std::string_view::npos) return refusal::target_fragment;
  if (view.front() != '/') {
    const std::size_t scheme = view.find("://");
    if (scheme == std::string_view::npos) return refusal::target_form;
    if (!same_word(view.substr(0, scheme), "http") && !same_word(view.substr(0, scheme), "https")) {
      return refusal::target_form;
    }
    const std::size_t authority = scheme + 3;
    // A query alone behind the host is taken for a part of it by some.
    path = std::min(view.find('/', authority), view.size());
    if (!is_host(view.substr(authority, path - authority))) return refusal::target_authority;
    request_->host = part_of(whole, authority, path - authority);
  }
  const std::size_t mark = std::min(view.find('?', path), view.size());
  const std::string_view path_text = view.substr(path, mark - path);
  const std::string_view query_text = mark == view.size() ? std::string_view() : view.substr(mark + 1);
  if (!all_are_or_percent(path_text, path_char) || !all_are_or_percent(query_text, query_char)) {
    return refusal::target_character;
  }
  if (!encoded_well(path_text) || !encoded_well(query_text)) return refusal::target_encoding;
  // Whoever decodes it, a handler for one, may end the text there; nginx refuses it, too.
  if (path_text.find("%00") != std::string_view::npos) return refusal::target_nul;
  request_->path = part_of(whole, path, path_text.size());
  request_->query = part_of(whole, view.size() - query_text.size(), query_text.size());
  return refusal::none;
}

refusal head_rules::field_line(std::string_view text, piece line) {
  const std::string_view view = line.in(text.data());
  if (view.front() == ' ' || view.front() == '\t') return refusal::folded_field;
  std::size_t colon = 0;
  while (colon < view.size() && is(view[colon], token_char)) ++colon;
  if (colon == view.size()) return refusal::field_without_colon;
  if (view[colon] == ' ' || view[colon] == '\t') {
    return view.find(':', colon) == std::string_view::npos ? refusal::field_without_colon : refusal::space_before_colon;
  }
  if (view[colon] != ':') return refusal::field_name_character;
  if (colon == 0) return refusal::field_name_empty;

  const std::string_view name = view.substr(0, colon);
  const std::string_view value_text = trim_blanks(view.substr(colon + 1));
  const piece value = part_of(line, static_cast<std::size_t>(value_text.data() - view.data()), value_text.size());
  auto& fields = part_ == part::trailers ? *trailers_ : head_->fields;
  if (fields.size() >= limits_->fields) return refusal::too_many_fields;
  if (part_ == part::fields) {
    const refusal why = known_field(name, text, value);
    if (why != refusal::none) return why;
  } else if (!may_be_trailer(name)) {
    return refusal::none;
  }
  fields.push_back({part_of(line, 0, colon), value});
  return refusal::none;
}

refusal head_rules::known_field(std::string_view name, std::string_view text, piece value) {
  const std::string_view value_text = value.in(text.data());
  switch (name.size()) {
    case 4:
      if (request_ == nullptr || !same_word(name, "host")) break;
      if (has_host_) return refusal::host_repeated;
      if (!is_host(value_text)) return refusal::host_invalid;
      has_host_ = true;
      // The target's host is the one that counts (RFC 9112 3.2.2), and a client must send the same in both (3.2): one that does
      // not has somebody on the way who goes by the other.
      if (request_->host.size == 0) {
        request_->host = value;
      } else {
        constexpr std::size_t https_size = 5;
        const bool secure = same_word(request_->target.in(text.data()).substr(0, https_size), "https");
        const std::string_view port = secure ? "443" : "80";
        const std::string_view named = without_default_port(request_->host.in(text.data()), port);
        if (!same_word(named, without_default_port(value_text, port))) return refusal::host_differs;
      }
      break;
    case 6:
      if (request_ == nullptr || !same_word(name, "expect") || head_->version == version::http_1_0) break;
      if (!same_word(value_text, "100-continue")) return refusal::expectation_unknown;
      request_->expect_continue = true;
      break;
    case 10:
      if (same_word(name, "connection")) connection(value_text);
      break;
    case 14:
      if (same_word(name, "content-length")) return content_length(value_text);
      break;
    case 17:
      if (same_word(name, "transfer-encoding")) return transfer_encoding(value_text);
      break;
    default: break;
  }
  return refusal::none;
}

refusal head_rules::content_length(std::string_view value) {
  if (head_->content_length) return refusal::length_repeated;
  if (has_coding_) return refusal::length_with_coding;
  if (value.empty() || value.size() > 19 || !all_are(value, digit_char)) {
    return all_are(value, digit_char) || value.find(',') == std::string_view::npos ? refusal::length_invalid
                                                                                    : refusal::length_repeated;
  }
  // 19 digits fit in 64 bits.
  std::uint64_t length = 0;
  std::from_chars(value.data(), value.data() + value.size(), length);
  head_->content_length = length;
  return refusal::none;
}

refusal head_rules::transfer_encoding(std::string_view value) {
  if (head_->version == version::http_1_0) return refusal::coding_in_http_1_0;
  if (has_coding_) return refusal::coding_repeated;
  if (head_->content_length) return refusal::length_with_coding;
  has_coding_ = true;
  if (same_word(value, "chunked")) {
    head_->chunked = true;
    return refusal::none;
  }
  // Not accepted; what remains is to say why. 501 says that other codings exist, so it must be a list of codings.
  refusal why = refusal::coding_unknown;
  bool chunked_before = false;
  for (std::size_t at = 0; at <= value.size();) {
    const std::size_t end = std::min(value.find(',', at), value.size());
    const std::string_view coding = trim_blanks(value.substr(at, end - at));
    if (!is_token(coding) || same_word(coding, "identity")) return refusal::coding_invalid;
    if (chunked_before) why = refusal::coding_repeated;
    chunked_before = chunked_before || same_word(coding, "chunked");
    at = end + 1;
  }
  return why;
}

void head_rules::connection(std::string_view value) noexcept {
  for (std::size_t at = 0; at <= value.size();) {
    const std::size_t end = std::min(value.find(',', at), value.size());
    const std::string_view option = trim_blanks(value.substr(at, end - at));
    named_close_ = named_close_ || same_word(option, "close");
    named_keep_alive_ = named_keep_alive_ || same_word(option, "keep-alive");
    at = end + 1;
  }
}

refusal head_rules::whole_head() const noexcept {
  if (!has_host_ && head_->version == version::http_1_1) return refusal::host_missing;
  // Agents of that age know no body there and take it for the next request (RFC 9110 9.3.1 leaves it to the server).
  if (head_->version == version::http_1_0 && head_->content_length.value_or(0) > 0 &&
      (request_->method == method::get || request_->method == method::head || request_->method == method::delete_)) {
    return refusal::body_in_http_1_0;
  }
  head_->keep_alive = !named_close_ && (named_keep_alive_ || head_->version == version::http_1_1);
  // There is nothing to wait for when no body follows.
  request_->expect_continue = request_->expect_continue && (head_->chunked || head_->content_length.value_or(0) > 0);
  return refusal::none;
}

// Where an answer ends (RFC 9112 6.3).
refusal head_rules::whole_answer() const noexcept {
  const auto answered = static_cast<status>(response_->code);
  head_->keep_alive = !named_close_ && (named_keep_alive_ || head_->version == version::http_1_1);
  // Of a 1xx and a 204 a body is as impossible as it is of HEAD, but there a length says what GET would have brought. A peer that
  // announces one here may also send it, and it would be taken for the next answer.
  const bool bodiless = answered == status::no_content || response_->code < 200;
  if (bodiless && (head_->chunked || head_->content_length.value_or(0) > 0)) return refusal::body_where_none_can_be;
  if (asked_ == method::head || has_no_body(answered)) return refusal::none;
  response_->until_close = !head_->chunked && !head_->content_length;
  response_->has_body = head_->chunked || response_->until_close || *head_->content_length > 0;
  head_->keep_alive = head_->keep_alive && !response_->until_close;
  return refusal::none;
}

}  // namespace levity::http::detail
