#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace levity::inline v0::http::detail {

// The value of a Date field ("Sun, 06 Nov 1994 08:49:37 GMT"), written again only when the second has changed. One owner.
class date_text {
public:
  // `seconds` since 1970 in UTC, 0 up to the year 9999. The view is valid until the next call.
  [[nodiscard]] std::string_view at(std::int64_t seconds) noexcept;

private:
  std::int64_t written_ = -1;
  std::array<char, 29> text_{};
};

}  // namespace levity::http::detail
