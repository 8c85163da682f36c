#include "levity/http/url.hpp"

#include <algorithm>
#include <charconv>

#include "http/char_class.hpp"
#include "http/head_rules.hpp"

namespace levity::inline v0::http {

namespace {

constexpr std::string_view scheme_text = "http://";

std::unexpected<std::string> wrong(std::string_view text, std::string_view why) {
  constexpr std::size_t shown_max = 120;
  std::string said = "the URL \"";
  for (const char c : text.substr(0, shown_max)) said.append(1, detail::is(c, detail::text_char) ? c : '?');
  return std::unexpected(said.append(text.size() > shown_max ? "...\" " : "\" ").append(why));
}

// The scheme that `text` begins with, or nothing.
std::string_view scheme_of(std::string_view text) noexcept {
  const std::size_t colon = text.find_first_of(":/?#");
  if (colon == std::string_view::npos || colon == 0 || text[colon] != ':') return {};
  return text.substr(0, colon);
}

// RFC 3986 5.2.4, for a path that begins with `/`.
std::string without_dot_segments(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment == "/." || segment == "/..") {
      if (segment == "/..") out.resize(std::min(out.rfind('/'), out.size()));
      if (path.empty()) out.append(1, '/');
    } else {
      out.append(segment);
    }
  }
  return out;
}

detail::piece at(std::size_t from, std::size_t size) noexcept {
  return {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(size)};
}

}  // namespace

std::expected<url, std::string> url::parse(std::string_view text) {
  constexpr std::size_t size_max = 64 * 1024;
  if (text.size() > size_max) return wrong(text, "is longer than 64 KiB");
  const std::string_view scheme = scheme_of(text);
  if (same_word(scheme, "https")) return wrong(text, "asks for TLS, which this client does not speak; use http://");
  if (!same_word(scheme, "http") || !text.substr(scheme.size()).starts_with("://")) return wrong(text, "must begin with http://");
  const std::string_view rest = text.substr(0, text.find('#')).substr(scheme_text.size());
  const std::size_t authority_size = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, authority_size);
  if (authority.find('@') != std::string_view::npos) return wrong(text, "has a user before its host; send an Authorization field");
  if (!detail::is_host(authority)) return wrong(text, "must have a host and at most a port between http:// and the next /");

  url read;
  std::string_view host = authority.substr(0, authority.find(']') == std::string_view::npos ? authority.find(':')
                                                                                            : authority.find(']') + 1);
  const std::string_view port = authority.substr(host.size());
  if (port.size() > 1) {
    std::from_chars(port.data() + 1, port.data() + port.size(), read.port_);
    if (read.port_ == 0) return wrong(text, "has port 0, where nobody can listen");
  }
  const std::string_view target = rest.substr(authority_size);
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query = target.substr(std::min(path.size() + 1, target.size()));
  if (!detail::all_are_or_percent(path, detail::path_char) || !detail::all_are_or_percent(query, detail::query_char)) {
    return wrong(text, "has a character that must be percent-encoded");
  }
  if (!detail::encoded_well(target)) return wrong(text, "has a \"%\" without two hexadecimal digits behind it");

  read.text_.reserve(scheme_text.size() + authority.size() + target.size() + 1);
  read.text_.append(scheme_text);
  for (const char c : host) read.text_.append(1, detail::lower(c));
  read.host_ = host.starts_with('[') ? at(scheme_text.size() + 1, host.size() - 2) : at(scheme_text.size(), host.size());
  if (read.port_ != 80) read.text_.append(":").append(std::to_string(read.port_));
  read.authority_ = at(scheme_text.size(), read.text_.size() - scheme_text.size());
  const std::size_t target_at = read.text_.size();
  if (!target.starts_with('/')) read.text_.append("/");
  read.text_.append(target);
  read.target_ = at(target_at, read.text_.size() - target_at);
  return read;
}

std::expected<url, std::string> url::resolve(std::string_view reference) const {
  if (!scheme_of(reference).empty()) return parse(reference);
  if (reference.starts_with("//")) return parse(std::string("http:").append(reference));
  reference = reference.substr(0, reference.find('#'));
  const std::string_view relative_path = reference.substr(0, reference.find('?'));
  std::string_view query = reference.substr(relative_path.size());
  std::string path;
  if (relative_path.empty()) {
    path = this->path();
    if (query.empty()) query = target().substr(path.size());
  } else if (relative_path.starts_with('/')) {
    path = without_dot_segments(relative_path);
  } else {
    const std::string_view own = this->path();
    path = without_dot_segments(std::string(own.substr(0, own.rfind('/') + 1)).append(relative_path));
  }
  return parse(std::string(scheme_text).append(authority()).append(path).append(query));
}

}  // namespace levity::http
