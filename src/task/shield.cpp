#include "levity/task/shield.hpp"

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

void push_context(task_record& record, context& inner) noexcept {
  inner.outer = record.contexts;
  record.contexts = &inner;
}

void pop_context(task_record& record, context& inner) noexcept {
  // Scopes left behind inside may lie above it; they stay.
  context** link = &record.contexts;
  while (*link != &inner) {
    LEVITY_ASSERT(*link != nullptr && (*link)->what == context::kind::orphans, "contexts are left in the order of their nesting");
    link = &(*link)->outer;
  }
  *link = inner.outer;
}

}  // namespace levity::detail
