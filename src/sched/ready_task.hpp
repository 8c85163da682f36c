#pragma once

// ready_task: a task that waits to be run, in one word. It is a record, or the root frame of a task that was spawned and has no
// record yet; the lowest bit of the address tells which. There is no object of this type, only pointers to it, so that they fit
// where a deque keeps pointers.

#include <coroutine>
#include <cstdint>

#include "levity/task/detail/record.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

struct ready_task;

inline constexpr std::uintptr_t ready_frame_bit = 1;

inline ready_task* as_ready(std::coroutine_handle<> root) noexcept {
  return reinterpret_cast<ready_task*>(reinterpret_cast<std::uintptr_t>(root.address()) | ready_frame_bit);
}
inline ready_task* as_ready(task_record* record) noexcept { return reinterpret_cast<ready_task*>(record); }

inline bool is_frame(const ready_task* task) noexcept {
  return (reinterpret_cast<std::uintptr_t>(task) & ready_frame_bit) != 0;
}
inline std::coroutine_handle<> frame_of(ready_task* task) noexcept {
  return std::coroutine_handle<>::from_address(
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(task) & ~ready_frame_bit));
}
inline task_record& record_of(ready_task* task) noexcept { return *reinterpret_cast<task_record*>(task); }

inline const scope_state* scope_of(ready_task* task) noexcept {
  return is_frame(task) ? &scope_of_fresh(frame_of(task)) : record_of(task).scope;
}

/// Gives a task that has none its record.
inline task_record& record_for(ready_task* task, std::uint32_t id) noexcept {
  return is_frame(task) ? enter_fresh(frame_of(task), id, coarse_now_ms()) : record_of(task);
}

}  // namespace levity::detail
