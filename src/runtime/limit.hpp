#pragma once

#include <functional>
#include <memory>

#include "platform/cpu_limit.hpp"

namespace levity::inline v0::detail {

/// Makes the limit of CPUs that the workers of a new runtime follow. Tests put another one here.
inline std::function<std::unique_ptr<cpu_limit>()> make_limit = [] { return std::make_unique<cpu_limit>(); };

}  // namespace levity::detail
