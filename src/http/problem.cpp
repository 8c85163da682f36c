#include "levity/http/problem.hpp"

#include <charconv>

namespace levity::inline v0::http {

namespace {

// The size of the UTF-8 sequence at the front of `text`, 0 when there is none (RFC 3629: no overlong forms, no surrogates).
std::size_t utf8_size(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    const std::size_t size = utf8_size(text);
    if (size == 0) {
      out.append("\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c < 0x20 || c == 0x7f) {
      out.append("\\u00");
      out.push_back(digits[c >> 4]);
      out.push_back(digits[c & 15]);
    } else {
      out.append(text.substr(0, size));
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
}

void write_problem(response& answer, status which, std::string_view detail) {
  answer.set_status(which);
  answer.set("Content-Type", "application/problem+json");
  std::string& body = answer.body_buffer();
  char number[8];
  char* const end = std::to_chars(number, number + sizeof number, code(which)).ptr;
  body.append(R"({"type":"about:blank","title":")");
  append_json_text(body, reason(which));
  body.append(R"(","status":)").append(number, end);
  if (!detail.empty()) {
    body.append(R"(,"detail":")");
    append_json_text(body, detail);
    body.push_back('"');
  }
  body.push_back('}');
}

}  // namespace levity::http
