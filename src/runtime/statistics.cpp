#include "levity/runtime/statistics.hpp"

#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

std::uint64_t live_tasks() noexcept {
  detail::executor* here = detail::current_run().exec;
  return here != nullptr ? here->live_tasks_approx() : 0;
}

}  // namespace levity
