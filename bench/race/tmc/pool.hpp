#pragma once

// The one translation unit of each program defines the library.
#define TMC_IMPL
#include <tmc/all_headers.hpp>

#include "../stopwatch.hpp"

namespace race {

/// Runs the task that `make` returns on WORKERS threads.
template <class Make>
int on_pool(std::uint64_t workers, Make make) {
  tmc::cpu_executor().set_thread_count(workers).init();
  return tmc::async_main(make());
}

}  // namespace race
