#include "levity/sim/properties.hpp"

#include <string>

#include "levity/base/assert.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0 {
namespace detail {

void always_failed(std::string_view what, const std::source_location& where) {
  const place_in_world here = this_place();
  if (here.is_cut_off) return;
  if (here.by != nullptr && here.by->always_failed(here.site, here.at_ns, what, where)) return;
  assertion_failed("sim::always", std::string(what).c_str(), where.file_name(), static_cast<int>(where.line()));
}

}  // namespace detail

namespace sim {

void sometimes(bool holds, std::string_view what) {
  const detail::place_in_world here = detail::this_place();
  if (here.by != nullptr) here.by->sometimes(here.site, here.at_ns, holds, what);
}

void reachable(std::string_view what) { sometimes(true, what); }

}  // namespace sim
}  // namespace levity
