#pragma once

// task_local: values that follow a task and what it spawns, such as a request's id.
//
// A binding is a node that never changes: key, value and the binding that was innermost when it was made. So a task's values are
// one pointer to a chain, and a child takes all of them over by taking that pointer, whatever its parent binds later. The pointer
// is kept in a context (record.hpp), which only a task with values has: others pay a look at an empty list when they spawn, and
// nothing else.
//
// A task that inherits values gets its record when it is spawned, not at its first wait: there is no other place for them.
//
// Edges
//   E120  dropping a reference to a binding -> its destruction: whoever used the value has done so.
//
// Rejected: a map in each record (8 B in every task, for the few that need it); looking the values up at the parent (a child may
// outlive the block that bound them).

#include <cstdint>
#include <cstdio>
#include <string_view>
#include <type_traits>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0 {
namespace detail {

struct local_binding {
  atomic<std::uint32_t> references{1};
  local_binding* outer = nullptr;  // holds a reference
  const void* key = nullptr;
  const char* name = nullptr;
  void (*destroy)(local_binding&) noexcept = nullptr;
  void (*describe)(const local_binding&, char* text, std::size_t size) noexcept = nullptr;
};

/// What is bound in a part of a task, or what the whole of it has inherited.
struct local_context : context {
  local_context() noexcept : context(kind::locals) {}
  local_binding* bound = nullptr;  // the innermost
};

/// The innermost binding of a task; null if it has none. For the running task or who holds or owns its record. O(contexts).
inline local_binding* bound_in(const task_record& record) noexcept {
  for (const context* each = record.contexts; each != nullptr; each = each->outer) {
    if (each->what == context::kind::locals) return static_cast<const local_context*>(each)->bound;
  }
  return nullptr;
}

/// The running task's binding of a key, null if there is none. A call, so that no address of the thread is kept in a coroutine.
const local_binding* find_local(const void* key) noexcept;

/// Pushes a binding onto the running task, takes it away again.
void bind_local(local_context& context, local_binding& binding) noexcept;
void unbind_local(local_context& context) noexcept;

/// While it lives, what is spawned inherits nothing: for a task that serves everybody and is started by whoever comes first. That
/// one's request is over long before the task is. For a block without waits; anywhere.
class without_locals {
public:
  without_locals() noexcept;
  without_locals(const without_locals&) = delete;
  without_locals& operator=(const without_locals&) = delete;
  ~without_locals();

private:
  task_record* const task_;  // null: none runs here
  local_context none_;
};

/// Gives a task that has not begun its parent's bindings; takes them from one that has ended.
void inherit_locals(task_record& child, local_binding& bound);
void drop_inherited_locals(task_record& ended) noexcept;

template <class T>
struct local_value : local_binding {
  T value;

  explicit local_value(T&& moved) noexcept(std::is_nothrow_move_constructible_v<T>) : value(std::move(moved)) {
    destroy = [](local_binding& self) noexcept { delete static_cast<local_value*>(&self); };
    describe = [](const local_binding& self, char* text, std::size_t size) noexcept {
      const T& shown = static_cast<const local_value&>(self).value;
      if constexpr (std::is_convertible_v<const T&, std::string_view>) {
        const std::string_view view = shown;
        std::snprintf(text, size, "%.*s", static_cast<int>(view.size() < 64 ? view.size() : 64), view.data());
      } else if constexpr (std::is_integral_v<T>) {
        std::snprintf(text, size, "%lld", static_cast<long long>(shown));
      } else {
        std::snprintf(text, size, "(bound)");
      }
    };
  }

  static void* operator new(std::size_t bytes) { return frame_allocate(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { frame_free(block, bytes); }
};

}  // namespace detail

/// A variable with a value for each task, which the tasks that it spawns inherit. Define one at namespace scope:
///
///     const lv::task_local<std::string> request_id{"request"};
///
///     lv::task<> handle(request r) {
///       const auto bound = request_id.bind(r.id);   // until the end of this block
///       co_await work(r);                            // sees it, as does whatever it awaits, spawns, races or detaches
///     }
///     void log(std::string_view what) { fmt::print("{} {}\n", request_id.value_or("-"), what); }
///
/// A child sees what was bound when it was spawned, for as long as it lives. Work for other threads (blocking(), spawns from
/// outside) sees nothing. The dump of all tasks shows the values of strings and integers under their name.
///
/// T: immutable while bound, used by several tasks at once; destroyed by the last one, in whichever. Looking up is O(bindings).
/// A spawn under a binding costs about 60 ns more. Inside tasks; get() and value_or() anywhere.
template <class T>
class task_local {
  static_assert(alignof(T) <= 16, "a task-local value is kept in the frame pool, which aligns to 16 bytes");

public:
  /// `name`: for dumps, a literal.
  explicit constexpr task_local(const char* name = "local") noexcept : name_(name) {}
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// A value in force. Ends in the task and in the reverse of the order in which they were made, as a block's variables do.
  class [[nodiscard("the value is bound until this goes")]] binding {
  public:
    /// As task_local::bind().
    binding(const task_local& to, T value) {
      auto* made = new detail::local_value<T>(std::move(value));
      made->key = &to;
      made->name = to.name_;
      detail::bind_local(context_, *made);
    }
    binding(const binding&) = delete;
    binding& operator=(const binding&) = delete;
    ~binding() { detail::unbind_local(context_); }

  private:
    detail::local_context context_;
  };

  /// Binds `value` for the running task until what is returned goes. Throws std::bad_alloc.
  [[nodiscard]] binding bind(T value) const { return binding(*this, std::move(value)); }

  /// The value of the running task; null if none is bound, or no task runs here. Valid while its binding, or the task, lives.
  [[nodiscard]] const T* get() const noexcept {
    const auto* found = static_cast<const detail::local_value<T>*>(detail::find_local(this));
    return found != nullptr ? &found->value : nullptr;
  }

  /// A copy of the value, or `otherwise`.
  [[nodiscard]] T value_or(T otherwise) const {
    const T* found = get();
    return found != nullptr ? *found : std::move(otherwise);
  }

private:
  const char* const name_;
};

}  // namespace levity
