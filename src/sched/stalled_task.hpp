#pragma once

// stalled_task: what is known of a task that has kept its worker for long.

#include <cstdint>
#include <source_location>

#include "platform/thread_stack.hpp"
#include "sched/stall_cause.hpp"

namespace levity::inline v0::detail {

struct stalled_task {
  std::uint32_t id = 0;
  const char* name = nullptr;  // null: it has none
  std::source_location spawned_at;
  unsigned worker = 0;
  std::int64_t since_ns = 0;  // with the task, it tells this stall from others
  std::int64_t lasted_ns = 0;
  stall_verdict why{};
  stack_trace stack{};  // may be empty
};

/// Who wants to know of them. Called by one thread at a time, most often one that may take its time (stall_teller.hpp).
class stall_listener {
public:
  virtual void hear(const stalled_task& of) noexcept = 0;

protected:
  ~stall_listener() = default;
};

}  // namespace levity::detail
