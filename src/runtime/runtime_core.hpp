#pragma once

// runtime_core: what every runtime consists of, whoever starts and ends it.

#include <memory>

#include "inspect/layout.hpp"
#include "inspect/stall_printer.hpp"
#include "io/file_service.hpp"
#include "levity/runtime/options.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

class runtime_core {
public:
  /// `other` carries out file operations instead of `files`, and outlives the runtime; null: nobody does. Throws
  /// std::runtime_error.
  explicit runtime_core(const runtime_options& options, file_backend* other = nullptr);
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;
  ~runtime_core() { runs.end_calls(); }

  const bool embedded;
  const bool simulated;
  stall_printer stalls;
  scheduler runs;
  file_service files;
  listed_runtime listed;
};

}  // namespace levity::detail
