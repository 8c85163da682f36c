#include "http/chunk_rules.hpp"

#include <algorithm>

#include "http/char_class.hpp"

namespace levity::inline v0::http::detail {

void chunk_rules::begin(const limits& bounds, std::uint64_t body_bytes_max) noexcept {
  *this = chunk_rules();
  limits_ = &bounds;
  body_bytes_max_ = body_bytes_max;
}

std::size_t chunk_rules::step(std::string_view text) noexcept {
  was_extension_ = false;
  if (state_ == state::data) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_, text.size()));
    chunk_ -= size;
    if (chunk_ == 0) state_ = state::data_cr;
    return size;
  }
  was_extension_ = (state_ == state::extension && !text.starts_with('\r')) ||
                   (state_ == state::size && digits_ > 0 && text.starts_with(';'));
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && (was_extension_ ? text[i] == '\r' : state_ == state::size && text[i] == ';')) return i;
    why_ = take(text[i]);
    if (why_ != refusal::none) return i;
    if (text[i] == '\n') return i + 1;
  }
  return text.size();
}

refusal chunk_rules::take(char c) noexcept {
  switch (state_) {
    case state::size:
    case state::extension:
      if (++line_bytes_ > limits_->chunk_line_bytes) return refusal::chunk_line_too_long;
      if (state_ == state::size && is(c, hex_char)) {
        if (++digits_ > 16) return refusal::chunk_size_too_large;
        chunk_ = chunk_ * 16 + static_cast<unsigned>(hex_value(c));
      } else if (c == '\r' && digits_ > 0) {
        state_ = state::size_end;
      } else if (state_ == state::extension && is(c, text_char)) {
        if (++extension_bytes_ > limits_->chunk_extension_bytes) return refusal::chunk_extensions_too_long;
      } else if (state_ == state::size && c == ';' && digits_ > 0) {
        state_ = state::extension;
      } else {
        return refusal::chunk_size_invalid;
      }
      return refusal::none;
    case state::size_end: return c == '\n' ? size_known() : refusal::bare_cr;
    case state::data_cr:
      if (c != '\r') return refusal::chunk_end_missing;
      state_ = state::data_lf;
      return refusal::none;
    case state::data_lf:
      if (c != '\n') return refusal::chunk_end_missing;
      state_ = state::size;
      digits_ = 0;
      line_bytes_ = 0;
      return refusal::none;
    case state::data:
    case state::last: break;
  }
  return refusal::chunk_size_invalid;
}

refusal chunk_rules::size_known() noexcept {
  if (chunk_ == 0) {
    state_ = state::last;
    return refusal::none;
  }
  if (chunk_ > body_bytes_max_ - body_bytes_) return refusal::body_too_large;
  body_bytes_ += chunk_;
  state_ = state::data;
  return refusal::none;
}

}  // namespace levity::http::detail
