#include "levity/base/process_id.hpp"

#include <unistd.h>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

int process_id() noexcept { return detail::this_time_source() != nullptr ? 1 : static_cast<int>(::getpid()); }

}  // namespace levity
