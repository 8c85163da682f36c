#include "inspect/layout.hpp"

#include <chrono>
#include <cstddef>

#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

// Both compilers give the offset of a member in any class without virtual bases.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace levity::inline v0::detail {

struct layout_entry {
  const char* name;
  std::int64_t value;
};

/// Sees what the scheduler and its workers keep to themselves.
struct layout_of {
  using registry = scheduler::registry;

  static void fill(listed_runtime& entry, scheduler& runs) noexcept {
    entry.registries = runs.registries_.get();
    entry.registries_count = runs.size() + 1;
    entry.workers = runs.workers_.data();
    entry.workers_count = &runs.workers_count_;
  }

  static constexpr std::int64_t worker_current = offsetof(worker, current_);
  static constexpr std::int64_t worker_call = offsetof(worker, call_);
  static constexpr std::int64_t worker_runs_id = offsetof(worker, runs_id_);
  static constexpr std::int64_t worker_runs_name = offsetof(worker, runs_name_);
  static constexpr std::int64_t worker_runs_site = offsetof(worker, runs_site_);
};

// Not standard, but the same with every compiler that levity is built with: a frame starts with the addresses of what resumes and
// what destroys it, and the promise follows; promise_of() relies on that too.
constexpr std::int64_t promise_in_frame = 2 * sizeof(void*);

static_assert(sizeof(atomic<std::uint64_t>) == sizeof(std::uint64_t) && sizeof(atomic<void*>) == sizeof(void*),
              "an atomic is its value to whoever reads memory");
static_assert(sizeof(std::unique_ptr<worker>) == sizeof(worker*), "an array of owners is an array of pointers");

extern "C" {

extern const layout_entry levity_layout[];
[[gnu::used]] constinit const layout_entry levity_layout[] = {
    {"version", 1},

    {"runtime.next", offsetof(listed_runtime, next)},
    {"runtime.registries", offsetof(listed_runtime, registries)},
    {"runtime.registries_count", offsetof(listed_runtime, registries_count)},
    {"runtime.workers", offsetof(listed_runtime, workers)},
    {"runtime.workers_count", offsetof(listed_runtime, workers_count)},
    {"runtime.simulated", offsetof(listed_runtime, simulated)},
    {"runtime.monotonic_ns", offsetof(listed_runtime, monotonic_ns)},
    {"runtime.realtime_ns", offsetof(listed_runtime, realtime_ns)},

    // A list is a sentinel whose elements are linked by `next`, the first word of each.
    {"registry.bytes", sizeof(layout_of::registry)},
    {"registry.scopes", offsetof(layout_of::registry, scopes)},
    {"registry.visitor", offsetof(layout_of::registry, visitor)},

    {"scope.registry", offsetof(scope_state, registry)},
    {"scope.children", offsetof(scope_state, children)},
    {"scope.cursors", offsetof(scope_state, cursors)},
    {"scope.cursors_count", sizeof(scope_state::cursors) / sizeof(list_link)},
    {"scope.link_bytes", sizeof(list_link)},
    {"scope.outstanding", offsetof(scope_state, outstanding)},
    {"scope.spawned", offsetof(scope_state, spawned)},
    {"scope.open_bias", scope_state::open_bias},
    {"scope.owner", offsetof(scope_state, owner)},
    {"scope.name", offsetof(scope_state, name)},
    {"scope.opened_at", offsetof(scope_state, opened_at)},
    {"scope.cancelled", offsetof(scope_state, cancelled)},

    {"record.sibling", offsetof(task_record, sibling)},
    {"record.word", offsetof(task_record, word)},
    {"record.leaf", offsetof(task_record, leaf)},
    {"record.waits_on", offsetof(task_record, waits_on)},
    {"record.since_ms", offsetof(task_record, id) - sizeof(std::uint32_t)},  // 31 bits of the word before it
    {"record.id", offsetof(task_record, id)},
    {"record.name", offsetof(task_record, name)},
    {"record.site", offsetof(task_record, site)},
    {"record.scope", offsetof(task_record, scope)},
    {"record.reason_shift", task_record::reason_shift},

    {"waiter.reason", offsetof(waiter, reason)},
    {"reason.name", offsetof(wait_reason, name)},
    {"sleep.due_ns", offsetof(sleep_waiter, due_ns)},

    {"frame.resume", 0},
    {"frame.promise", promise_in_frame},
    {"promise.continuation", offsetof(promise_base, continuation_address)},
    {"promise.here", offsetof(promise_base, here)},

    // What __builtin_source_location() points to.
    {"site.file", 0},
    {"site.function", sizeof(void*)},
    {"site.line", 2 * sizeof(void*)},

    {"worker.current", layout_of::worker_current},
    {"worker.call", layout_of::worker_call},
    {"worker.runs_id", layout_of::worker_runs_id},
    {"worker.runs_name", layout_of::worker_runs_name},
    {"worker.runs_site", layout_of::worker_runs_site},

    {nullptr, 0},
};

extern listed_runtime* levity_runtimes;
[[gnu::used]] constinit listed_runtime* levity_runtimes = nullptr;  // guarded by list_lock

}  // extern "C"

namespace {
constinit spin_lock list_lock;
}  // namespace

listed_runtime::listed_runtime(scheduler& runs, bool is_simulated) noexcept : simulated(is_simulated) {
  layout_of::fill(*this, runs);
  monotonic_ns = kernel_now_ns();
  realtime_ns = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  list_lock.lock();
  next = levity_runtimes;
  levity_runtimes = this;
  list_lock.unlock();
}

listed_runtime::~listed_runtime() {
  list_lock.lock();
  listed_runtime** link = &levity_runtimes;
  while (*link != this) link = &(*link)->next;
  *link = next;
  list_lock.unlock();
}

}  // namespace levity::detail
