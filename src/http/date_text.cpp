#include "http/date_text.hpp"

#include <chrono>
#include <cstring>

namespace levity::inline v0::http::detail {

namespace {

void write_number(char* to, unsigned value, int digits) noexcept {
  for (int i = digits - 1; i >= 0; --i) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

}  // namespace

std::string_view date_text::at(std::int64_t seconds) noexcept {
  if (seconds != written_) {
    using namespace std::chrono;
    const sys_seconds moment{std::chrono::seconds(seconds)};
    const auto midnight = floor<days>(moment);
    const year_month_day date{midnight};
    const hh_mm_ss time{moment - midnight};
    std::memcpy(text_.data(), &"SunMonTueWedThuFriSat"[3 * weekday(midnight).c_encoding()], 3);
    std::memcpy(text_.data() + 3, ", 00 Jan 0000 00:00:00 GMT", 26);
    write_number(text_.data() + 5, static_cast<unsigned>(date.day()), 2);
    const unsigned month = static_cast<unsigned>(date.month()) - 1;
    std::memcpy(text_.data() + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * month], 3);
    write_number(text_.data() + 12, static_cast<unsigned>(static_cast<int>(date.year())), 4);
    write_number(text_.data() + 17, static_cast<unsigned>(time.hours().count()), 2);
    write_number(text_.data() + 20, static_cast<unsigned>(time.minutes().count()), 2);
    write_number(text_.data() + 23, static_cast<unsigned>(time.seconds().count()), 2);
    written_ = seconds;
  }
  return {text_.data(), text_.size()};
}

}  // namespace levity::http::detail
