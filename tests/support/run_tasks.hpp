#pragma once

#include <levity/levity.hpp>

#include <utility>

namespace levity::test {

/// Runs `f(args...)` as the main task of a runtime with `workers` workers that leaves the process's signals alone.
template <class F, class... Args>
int run_tasks(unsigned workers, F f, Args... args) {
  runtime_options options;
  options.workers = workers;
  options.handle_signals = false;
  return run_with(options, std::move(f), std::move(args)...);
}

/// How much less work a build does that is slow by nature: sanitizers, -O0, and what an emulator runs.
inline constexpr int slow_build_factor =
#if defined(LEVITY_ASAN) || defined(LEVITY_TSAN)
    20;
#elif !defined(__OPTIMIZE__) || defined(LEVITY_EMULATED)
    5;
#else
    1;
#endif

}  // namespace levity::test
