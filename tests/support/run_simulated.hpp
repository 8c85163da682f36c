#pragma once

#include <cstdint>
#include <utility>

#include "levity/runtime/run.hpp"

namespace levity::test {

/// Runs `f(args...)` as the main task of a simulated runtime: in virtual time, in an order that the seed decides.
template <class F, class... Args>
int run_simulated(std::uint64_t seed, F f, Args... args) {
  return run_with({.backend = runtime_options::sockets::sim, .seed = seed}, std::move(f), std::move(args)...);
}

}  // namespace levity::test
