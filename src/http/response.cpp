#include "levity/http/response.hpp"

namespace levity::inline v0::http {

void response::clear() noexcept {
  fields_.clear();
  own_.clear();
  view_ = {};
  status_ = http::status::ok;
  viewed_ = false;
  close_ = false;
}

void response::set_body(std::string_view bytes) {
  own_.assign(bytes);
  viewed_ = false;
}

void response::set_body_view(std::string_view bytes) noexcept {
  view_ = bytes;
  viewed_ = true;
}

std::string& response::body_buffer() noexcept {
  own_.clear();
  viewed_ = false;
  return own_;
}

void response::release() noexcept {
  clear();
  fields_.release();
  std::string().swap(own_);
}

}  // namespace levity::http
