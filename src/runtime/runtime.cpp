#include "levity/runtime/runtime.hpp"

#include <poll.h>

#include <cerrno>
#include <stdexcept>

#include "levity/base/assert.hpp"
#include "levity/task/scope.hpp"
#include "platform/syscall.hpp"
#include "runtime/run_host.hpp"
#include "runtime/runtime_core.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr unsigned turn_tasks_max = 1000;

// A child that is not there: keeps the root scope, and so the workers, from ending.
void hold(scope_state& root) noexcept { root.outstanding.fetch_add(1, std::memory_order_relaxed); }
void let_go(scope_state& root) noexcept { root.children_ended(nullptr, 1); }

}  // namespace

runtime::runtime(const runtime_options& options) {
  if (this_run_host() != nullptr) {
    throw std::runtime_error("levity cannot start: a lv::runtime lives among threads, and a simulated host has none besides its "
                             "main(); use lv::run");
  }
  if (options.backend == runtime_options::sockets::sim) {
    throw std::runtime_error("levity cannot simulate a runtime that threads from outside use; simulate with lv::run_with");
  }
  core_ = owner<runtime_core>(new runtime_core(options));
  core_->runs.root().policy = failure_policy::report;
  hold(core_->runs.root());
  if (core_->embedded) {
    core_->runs.turn_here(0);  // from here on it is asleep, and its descriptor tells when it is woken
  } else {
    core_->runs.start();
  }
}

runtime::~runtime() {
  LEVITY_ASSERT(current_run().exec == nullptr, "a runtime is destroyed by a thread that runs no tasks");
  scheduler& runs = core_->runs;
  runs.root().cancel(cancel_reason::shutdown);
  let_go(runs.root());
  if (!core_->embedded) {
    runs.join();
    return;
  }
  pollfd watched{pollable_fd(), POLLIN, 0};
  while (!runs.turn_here(turn_tasks_max)) kernel::poll(&watched, 1, -1);
}

void runtime::adopt(task<> root, const char* name) {
  auto frame = std::move(root).release_frame();
  core_->runs.root().adopt(frame, frame.promise(), name, std::source_location{});
}

void runtime::wait(baton& done) {
  LEVITY_ASSERT(current_run().exec == nullptr, "block_on is for threads that run no tasks; co_await the task instead");
  if (!core_->embedded) return done.wait();
  pollfd watched{pollable_fd(), POLLIN, 0};
  for (;;) {
    core_->runs.turn_here(turn_tasks_max);
    if (done.is_posted()) return;
    kernel::poll(&watched, 1, -1);
  }
}

int runtime::pollable_fd() const noexcept { return core_->embedded ? core_->runs.first().home().pollable_fd() : -1; }

void runtime::run_ready() {
  LEVITY_ASSERT(core_->embedded, "run_ready is for a runtime with runtime_options::embedded; this one has threads");
  LEVITY_ASSERT(current_run().exec == nullptr, "run_ready is called by a thread that runs no tasks");
  core_->runs.turn_here(turn_tasks_max);
}

}  // namespace levity
