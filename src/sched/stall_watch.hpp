#pragma once

// stall_watch: the watchdog's notes of one task that it suspects: why its thread stands still, whether it is to be replaced, and
// what there is to tell of it.
//
//   moved by           from -> to
//   begin()            free -> watching
//   look()             watching -> asked: it has lasted for long enough to be told of, and computes; it is asked for its stack
//                      watching, asked -> told; and so again when it has lasted ten times as long
//   end()              any -> free
//
// It holds three descriptors while it watches, or up to six where quotas are set, opened at its first look
// (platform/thread_state.hpp).
//
// Of the watchdog's thread.

#include <cstdint>
#include <optional>

#include "platform/thread_stack.hpp"
#include "platform/thread_state.hpp"
#include "sched/stall_cause.hpp"

namespace levity::inline v0::detail {

class stall_watch {
public:
  static constexpr std::int64_t stuck_ns = 1'000'000;
  /// So long its answer is waited for when it is asked where it computes.
  static constexpr std::int64_t answer_ns = 20'000'000;

  stall_watch() = default;
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;

  /// From now on, of a task that was first seen at `since_ns`. `tell_after_ns`: how long it lasts before it is told of; 0: never.
  void begin(thread_sign thread, std::int64_t since_ns, std::int64_t tell_after_ns, const machine_state& machine) noexcept;
  void end(stack_sampler& sampler) noexcept;
  [[nodiscard]] bool is_free() const noexcept { return !reader_.has_value(); }

  /// The time since the last look. True: it is to be told of now, with stack().
  [[nodiscard]] bool look(const machine_state& machine, stack_sampler& sampler) noexcept;

  /// Whether its thread is kept by the task, and has not merely been denied a processor: it has slept for `stuck_ns` since begin(),
  /// or computed for `computed_ns`.
  [[nodiscard]] bool is_stuck(std::int64_t computed_ns) const noexcept;
  [[nodiscard]] bool waits_for_answer() const noexcept { return asked_at_ns_ != 0; }
  [[nodiscard]] std::int64_t lasted_ns() const noexcept { return last_.at_ns - since_ns_; }
  [[nodiscard]] stall_verdict why() const noexcept { return account_.judge(); }
  [[nodiscard]] const stack_trace& stack() const noexcept { return stack_; }

private:
  [[nodiscard]] bool find_stack(stack_sampler& sampler) noexcept;

  std::optional<thread_reader> reader_;
  stall_account account_;
  thread_state last_;
  stack_trace stack_;
  std::int64_t since_ns_ = 0;
  std::int64_t tell_after_ns_ = 0;  // 0: never
  std::int64_t asked_at_ns_ = 0;    // 0: it is not
};

}  // namespace levity::detail
