#pragma once

// runtime_core: what every runtime consists of, whoever starts and ends it.

#include <memory>
#include <optional>

#include "inspect/layout.hpp"
#include "inspect/stall_printer.hpp"
#include "io/file_service.hpp"
#include "io/simulated_signals.hpp"
#include "levity/runtime/options.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

/// What a simulated host brings along.
struct simulated_parts {
  std::unique_ptr<reactor> home;
  std::uint64_t seed = 1;         // of the order of ready tasks
  chooser* chooses = nullptr;     // that order instead; outlives the runtime
  file_backend* files = nullptr;  // outlives the runtime; null: files are the kernel's
  simulated_names* names = nullptr;  // outlive the runtime; null: names are unknown
};

class runtime_core {
public:
  /// `other` carries out file operations instead of `files`, and outlives the runtime; null: nobody does. Throws
  /// std::runtime_error.
  explicit runtime_core(const runtime_options& options, file_backend* other = nullptr);
  /// Of a simulated host.
  explicit runtime_core(simulated_parts parts);
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;
  ~runtime_core() { runs.end_calls(); }

  const bool embedded;
  const bool simulated;
  stall_printer stalls;
  scheduler runs;
  file_service files;
  std::optional<simulated_signals> signals;  // of a simulated run
  listed_runtime listed;
};

}  // namespace levity::detail
