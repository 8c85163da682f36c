#include "levity/http/outgoing.hpp"

#include <utility>

namespace levity::inline v0::http {

void outgoing::clear() noexcept {
  method_ = http::method::get;
  url_ = std::unexpected(std::string());
  fields_.clear();
  drop_body();
  timeout_.reset();
  redirects_.reset();
  answer_max_.reset();
}

void outgoing::drop_body() noexcept {
  kind_ = body_kind::none;
  own_.clear();
  view_ = {};
  viewed_ = false;
  source_ = nullptr;
  length_.reset();
}

void outgoing::set_body(std::string_view bytes) {
  own_.assign(bytes);
  view_ = {};
  viewed_ = false;
  source_ = nullptr;
  length_.reset();
  kind_ = body_kind::bytes;
}

void outgoing::set_body_view(std::string_view bytes) noexcept {
  drop_body();
  view_ = bytes;
  viewed_ = true;
  kind_ = body_kind::bytes;
}

void outgoing::set_body_source(body_source from, std::optional<std::uint64_t> length) {
  drop_body();
  source_ = std::move(from);
  length_ = length;
  kind_ = body_kind::source;
}

void outgoing::stream_body(std::optional<std::uint64_t> length) noexcept {
  drop_body();
  length_ = length;
  kind_ = body_kind::streamed;
}

bool outgoing::may_be_sent(std::string_view name) noexcept {
  return !same_word(name, "expect") && !same_word(name, "upgrade") && !same_word(name, "te");
}

bool outgoing::idempotent() const noexcept {
  switch (method_) {
    case http::method::post:
    case http::method::patch:
    case http::method::connect: return find("Idempotency-Key").has_value();
    default: return true;
  }
}

}  // namespace levity::http
