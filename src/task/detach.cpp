#include "levity/task/detach.hpp"

#include <exception>

#include "levity/base/assert.hpp"
#include "levity/task/cancel.hpp"

namespace levity::inline v0::detail {
namespace {

executor& executor_here() noexcept {
  const run_state& run = current_run();
  LEVITY_ASSERT(run.exec != nullptr, "detach is for tasks; a thread from outside uses lv::runtime::spawn");
  return *run.exec;
}

}  // namespace

void adopt_detached(task<> root, const char* name, const std::source_location& site) {
  auto frame = std::move(root).release_frame();
  executor_here().root_scope().adopt(frame, frame.promise(), name, site);
}

void detached_failed(const char* name, const std::source_location& site) noexcept {
  const run_state& run = current_run();
  std::exception_ptr thrown = std::current_exception();
  try {
    throw;
  } catch (const cancelled&) {
    if (!run.current->entered) ask_scope(*run.current);
    if (was_cancelled(*run.current)) return;
  } catch (...) {
  }
  run.exec->unobserved(std::move(thrown), executor::failed::task, name, site);
}

void cancel_detached() noexcept {
  const run_state& run = current_run();
  run.exec->root_scope().cancel(cancel_reason::shutdown, run.current);
}

}  // namespace levity::detail
