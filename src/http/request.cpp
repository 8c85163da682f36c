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

void detail::request_head::clear() noexcept {
  method = http::method::get;
  version = http::version::http_1_1;
  target = path = query = host = {};
  content_length.reset();
  chunked = false;
  keep_alive = true;
  expect_continue = false;
  fields.clear();
}

}  // namespace levity::http
