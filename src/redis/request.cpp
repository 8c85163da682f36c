#include "levity/redis/request.hpp"

#include <charconv>
#include <cstring>

#include "levity/base/assert.hpp"
#include "redis/number_text.hpp"

namespace levity::inline v0::redis {

namespace {

// '*', nine digits, CR LF: a thousand million arguments are no command.
constexpr std::size_t head_room = 12;
constexpr std::uint32_t words_max = 999'999'999;

}  // namespace

request::request(std::string_view name, std::size_t arguments) {
  text_.reserve(head_room + name.size() + 8 + arguments * 24);
  text_.assign(head_room, ' ');
  put(name);
}

void request::put(std::string_view text) {
  LEVITY_ASSERT(words_ < words_max, "a command has fewer than a thousand million arguments");
  char length[24];
  length[0] = '$';
  char* const end = std::to_chars(length + 1, length + sizeof length - 2, text.size()).ptr;
  end[0] = '\r';
  end[1] = '\n';
  text_.append(length, static_cast<std::size_t>(end + 2 - length));
  text_.append(text);
  text_.append("\r\n", 2);
  words_++;
}

void request::put_real(double number) {
  std::string text;
  detail::append_real(text, number);
  put(text);
}

void request::put_unsigned(std::uint64_t number) {
  char text[24];
  put({text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, number).ptr - text)});
}

void request::put_signed(std::int64_t number) {
  char text[24];
  put({text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, number).ptr - text)});
}

std::string_view request::word(std::size_t index) const noexcept {
  const char* at = text_.data() + head_room;
  const char* const end = text_.data() + text_.size();
  for (std::size_t i = 0; at < end; i++) {
    std::size_t size = 0;
    at = std::from_chars(at + 1, end, size).ptr + 2;
    if (i == index) return {at, size};
    at += size + 2;
  }
  return {};
}

std::string_view request::encode() noexcept {
  char digits[12];
  const auto count = static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, words_).ptr - digits);
  const std::size_t begin = head_room - (count + 3);
  text_[begin] = '*';
  std::memcpy(text_.data() + begin + 1, digits, count);
  text_[head_room - 2] = '\r';
  text_[head_room - 1] = '\n';
  return std::string_view(text_).substr(begin);
}

}  // namespace levity::redis
