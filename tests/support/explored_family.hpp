#pragma once

// explored_family: what scenarios of the model lane need for tasks that spawn others.

#include <coroutine>
#include <utility>

#include "levity/memory/frame_pool.hpp"
#include "levity/task/scope.hpp"
#include "tests/support/explored_crew.hpp"

namespace levity::inline v0::explored {

/// A crew whose tasks have children. These are run by other threads, and end as a worker ends them. One is handed over by a word
/// of its own, for which the deque stands otherwise.
class family : public crew {
public:
  void start(std::coroutine_handle<> root) noexcept override {
    handed_[begun_++].store(root.address(), std::memory_order_release);
  }

  /// Runs the child with that number, which somebody spawns, to its end or its first wait.
  void take(unsigned number) {
    void* root = nullptr;
    while ((root = handed_[number].load(std::memory_order_acquire)) == nullptr) levity::spin_hint();
    run_child(std::coroutine_handle<>::from_address(root));
  }
  auto takes(unsigned number) {
    return [this, number] {
      take(number);
      run_ready();
    };
  }

private:
  void run_child(std::coroutine_handle<> root) {
    using namespace levity::detail;
    run_state& run = current_run();
    run.exec = this;
    run.blank = new (frame_allocate(sizeof(job))) job;  // crews queue jobs
    job& child = static_cast<job&>(*run.blank);
    become(child, root, 2000, 0);
    run.current = &child;
    run.budget = budget;
    root.resume();
    if (task_record* const over = std::exchange(run.ended_root, nullptr)) end_task(run, *over);
    run.current = nullptr;
    settle_ends(run);
    if (run.blank != nullptr) {
      job* const blank = static_cast<job*>(std::exchange(run.blank, nullptr));
      blank->~job();
      frame_free(blank, sizeof(job));
    }
  }

  levity::atomic<void*> handed_[4] = {nullptr, nullptr, nullptr, nullptr};
  unsigned begun_ = 0;
};

}  // namespace levity::explored
