#include "levity/runtime/statistics.hpp"

#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

std::uint64_t live_tasks() noexcept {
  detail::executor* here = detail::current_run().exec;
  return here != nullptr ? here->live_tasks_approx() : 0;
}

thread_counts threads_of_runtime() noexcept {
  detail::executor* here = detail::current_run().exec;
  if (here == nullptr) return {};
  const detail::executor::thread_figures found = here->threads_approx();
  return {found.workers, found.threads, found.taken, found.left};
}

stall_counts stalls_of_runtime() noexcept {
  detail::executor* here = detail::current_run().exec;
  if (here == nullptr) return {};
  const detail::executor::stall_figures found = here->stalls_approx();
  return {found.computed, found.in_calls, found.in_locks, found.in_faults, found.off_cpu, found.unknown};
}

node_counts nodes_of_runtime() noexcept {
  detail::executor* here = detail::current_run().exec;
  if (here == nullptr) return {};
  const detail::executor::node_figures found = here->nodes_approx();
  return {found.nodes, found.taken, found.taken_early};
}

}  // namespace levity
