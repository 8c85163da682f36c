#include "levity/task/task_local.hpp"

#include "levity/base/assert.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/shield.hpp"

namespace levity::inline v0::detail {
namespace {

local_binding& share(local_binding& bound) noexcept {
  bound.references.fetch_add(1, std::memory_order_relaxed);
  return bound;
}

// A chain may be long, and its end ours to destroy as well.
void drop(local_binding* bound) noexcept {
  while (bound != nullptr) {
    // E120 release: we have read the value.
    if (bound->references.fetch_sub(1, std::memory_order_release) != 1) return;
    // E120 acquire: so have all others.
    (void)bound->references.load(std::memory_order_acquire);
    local_binding* const outer = bound->outer;
    bound->destroy(*bound);
    bound = outer;
  }
}

}  // namespace

const local_binding* find_local(const void* key) noexcept {
  const task_record* const task = current_run().current;
  if (task == nullptr || task->contexts == nullptr) return nullptr;
  for (const local_binding* each = bound_in(*task); each != nullptr; each = each->outer) {
    if (each->key == key) return each;
  }
  return nullptr;
}

void bind_local(local_context& context, local_binding& binding) noexcept {
  task_record* const task = current_run().current;
  LEVITY_ASSERT(task != nullptr, "a task-local value is bound inside a task");
  if (local_binding* outer = bound_in(*task)) binding.outer = &share(*outer);
  context.bound = &binding;
  push_context(*task, context);
}

void unbind_local(local_context& context) noexcept {
  pop_context(*current_run().current, context);
  drop(context.bound);
}

without_locals::without_locals() noexcept : task_(current_run().current) {
  if (task_ != nullptr) push_context(*task_, none_);
}

without_locals::~without_locals() {
  if (task_ != nullptr) pop_context(*task_, none_);
}

void inherit_locals(task_record& child, local_binding& bound) {
  auto* inherited = new (frame_allocate(sizeof(local_context))) local_context;
  inherited->bound = &share(bound);
  push_context(child, *inherited);
}

void drop_inherited_locals(task_record& ended) noexcept {
  auto* inherited = static_cast<local_context*>(ended.contexts);
  ended.contexts = inherited->outer;
  drop(inherited->bound);
  inherited->~local_context();
  frame_free(inherited, sizeof(local_context));
}

}  // namespace levity::detail
