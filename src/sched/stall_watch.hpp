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

#include "platform/looker.hpp"
#include "platform/thread_stack.hpp"
#include "platform/thread_state.hpp"
#include "sched/stall_cause.hpp"

namespace levity::inline v0::detail {

class stall_watch {
public:
  static constexpr std::int64_t stuck_ns = 1'000'000;
  static constexpr std::int64_t computes_ns = 3'000'000;  // of processor time; who uses less only takes his time
  /// The first one in a while, of which a neighbour has told. There are few of those, so a wrong one costs little; and it has just
  /// begun, so others wait for it.
  static constexpr std::int64_t first_computes_ns = 2'000'000;
  /// So long its answer is waited for when it is asked where it computes.
  static constexpr std::int64_t answer_ns = 20'000'000;

  stall_watch() = default;
  stall_watch(const stall_watch&) = delete;
  stall_watch& operator=(const stall_watch&) = delete;

  /// From now on, of a task that was first seen at `since_ns`. `tell_after_ns`: how long it lasts before it is told of; 0: never.
  void begin(thread_sign thread, std::int64_t since_ns, std::int64_t tell_after_ns, looker& by) noexcept;
  /// Right after begin(): what its thread has computed since its clock said so, for the same task, counts as well; no more than
  /// `seen_before_ns`. And `first_computes_ns` are enough.
  void count_computed_since(std::int64_t cpu_ns) noexcept;
  static constexpr std::int64_t seen_before_ns = 1'500'000;
  void end(stack_sampler& sampler) noexcept;
  [[nodiscard]] bool is_free() const noexcept { return !reader_.has_value(); }

  /// The time since the last look. True: it is to be told of now, with stack().
  [[nodiscard]] bool look(looker& by, stack_sampler& sampler) noexcept;

  /// Whether its thread is kept by the task, and has not merely been denied a processor: it has slept for `stuck_ns` since begin(),
  /// or computed for so long that it lacks_ns() none. `in_own_crowd`: those who deny it one are tasks that were replaced
  /// themselves. Then it is enough that it has computed or waited for one for `stuck_ns`.
  [[nodiscard]] bool is_stuck(bool in_own_crowd) const noexcept;
  /// At the last look: it computes, or would if it had a processor.
  [[nodiscard]] bool is_ready() const noexcept {
    return last_.does == thread_activity::on_cpu || last_.does == thread_activity::waiting;
  }
  [[nodiscard]] bool is_on_cpu() const noexcept { return last_.does == thread_activity::on_cpu; }
  /// Of processor time for the task, until it has computed for so long that it is stuck; negative after that.
  [[nodiscard]] std::int64_t lacks_ns() const noexcept { return enough_ns_ - computed_before_ns_ - account_.shares().on_cpu_ns; }
  [[nodiscard]] bool has_shares() const noexcept { return account_.shares().total_ns() > 0; }
  [[nodiscard]] std::int64_t looked_at_ns() const noexcept { return last_.at_ns; }
  [[nodiscard]] bool waits_for_answer() const noexcept { return asked_at_ns_ != 0; }
  [[nodiscard]] std::int64_t since_ns() const noexcept { return since_ns_; }
  [[nodiscard]] std::int64_t lasted_ns() const noexcept { return last_.at_ns - since_ns_; }
  [[nodiscard]] stall_verdict why() const noexcept { return account_.judge(); }
  [[nodiscard]] const stack_trace& stack() const noexcept { return stack_; }

private:
  [[nodiscard]] bool find_stack(stack_sampler& sampler) noexcept;

  std::optional<thread_reader> reader_;
  stall_account account_;
  thread_state last_;
  stack_trace stack_;
  std::int64_t computed_before_ns_ = 0;  // before begin()
  std::int64_t enough_ns_ = computes_ns;
  std::int64_t since_ns_ = 0;
  std::int64_t tell_after_ns_ = 0;  // 0: never
  std::int64_t asked_at_ns_ = 0;    // 0: it is not
};

}  // namespace levity::detail
