#include "levity/http/method.hpp"

#include <algorithm>

namespace levity::inline v0::http {

namespace {
constexpr std::array<std::string_view, method_count> names{"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                                           "CONNECT", "OPTIONS", "TRACE", "PATCH"};
}

std::string_view to_string(method which) noexcept { return names[static_cast<std::size_t>(which)]; }

std::optional<method> method_from(std::string_view text) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<method>(i);
  }
  return std::nullopt;
}

allow_text::allow_text(method_set methods) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!methods.contains(static_cast<method>(i))) continue;
    const std::string_view between = size_ == 0 ? "" : ", ";
    auto* end = std::copy(between.begin(), between.end(), text_.data() + size_);
    end = std::copy(names[i].begin(), names[i].end(), end);
    size_ = static_cast<std::size_t>(end - text_.data());
  }
}

}  // namespace levity::http
