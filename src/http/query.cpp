#include "levity/http/query.hpp"

#include "http/char_class.hpp"

namespace levity::inline v0::http {

bool percent_decode(std::string_view text, std::string& out, plus reading) {
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && reading == plus::is_blank) {
      c = ' ';
    } else if (c == '%') {
      const int high = text.size() - i > 2 ? detail::hex_value(text[i + 1]) : -1;
      const int low = text.size() - i > 2 ? detail::hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0 || (high == 0 && low == 0)) {
        out.resize(before);
        return false;
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    out.push_back(c);
  }
  return true;
}

query_pairs::iterator& query_pairs::iterator::operator++() noexcept {
  while (!rest_.empty()) {
    const std::size_t end = rest_.find('&');
    const std::string_view piece = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    if (piece.empty()) continue;
    const std::size_t equals = piece.find('=');
    pair_.name = piece.substr(0, equals);
    pair_.value = equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1);
    return *this;
  }
  ended_ = true;
  return *this;
}

std::optional<std::string_view> query_value(std::string_view query, std::string_view name) noexcept {
  for (const query_pair& pair : query_pairs(query)) {
    if (pair.name == name) return pair.value;
  }
  return std::nullopt;
}

}  // namespace levity::http
