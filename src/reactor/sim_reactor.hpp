#pragma once

#include <cstdint>
#include <memory>

#include "reactor/reactor.hpp"

namespace levity::detail {

/// A reactor over an in-memory network in virtual time; everything it decides is drawn from `seed`.
std::unique_ptr<reactor> make_sim_reactor(std::uint64_t seed);

}  // namespace levity::detail
