#include "platform/system_call_name.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace levity::inline v0::detail {
namespace {

struct named {
  int number;
  std::string_view name;
};

// Written by room.cmake.
constexpr named known[] = {
#include "system_calls.inc"
};

constexpr auto by_number = [] {
  std::array<named, std::size(known)> all{};
  std::copy(std::begin(known), std::end(known), all.begin());
  std::sort(all.begin(), all.end(), [](const named& a, const named& b) { return a.number < b.number; });
  return all;
}();

}  // namespace

std::string_view system_call_name(int number) noexcept {
  const auto at = std::lower_bound(by_number.begin(), by_number.end(), number,
                                   [](const named& each, int wanted) { return each.number < wanted; });
  return at != by_number.end() && at->number == number ? at->name : std::string_view{};
}

}  // namespace levity::detail
