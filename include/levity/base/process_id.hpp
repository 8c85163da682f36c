#pragma once

namespace levity::inline v0 {

/// The number of this process: getpid(2), but 1 inside a task of a simulated run and on a thread of a simulated host, where the
/// number of the process that simulates would be another one in each run. For what is written into files and logs; kill(2) knows
/// nothing of simulated ones. Any thread.
[[nodiscard]] int process_id() noexcept;

}  // namespace levity
