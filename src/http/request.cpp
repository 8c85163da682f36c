#include "levity/http/request.hpp"

namespace levity::inline v0::http {

std::string_view to_string(version which) noexcept {
  return which == version::http_1_1 ? std::string_view("HTTP/1.1") : std::string_view("HTTP/1.0");
}

std::optional<std::string_view> field_list::find(std::string_view name) const noexcept {
  for (const field each : *this) {
    if (same_word(each.name, name)) return each.value;
  }
  return std::nullopt;
}

void detail::message_head::clear_message() noexcept {
  version = http::version::http_1_1;
  content_length.reset();
  chunked = false;
  keep_alive = true;
  fields.clear();
}

void detail::request_head::clear() noexcept {
  clear_message();
  method = http::method::get;
  target = path = query = host = {};
  expect_continue = false;
}

void detail::response_head::clear() noexcept {
  clear_message();
  code = 200;
  has_body = until_close = false;
}

}  // namespace levity::http
