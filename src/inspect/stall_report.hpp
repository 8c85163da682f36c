#pragma once

// stall_report: why a task has kept its worker for long, as text, for the person who gets paged.
//
//   levity: task 17 "reserve" spawned at orders.cpp:88 has kept worker 1 for 23.4 ms: it waits for a lock (futex); hold it for
//   less, or
//           use lv::mutex, whose wait lets the worker go
//       lock 22.9 ms, on a CPU 0.4 ms, waiting for a CPU 0.1 ms
//       ? __lll_lock_wait+0x2a in libc.so.6
//         shop::reserve+0x91 in orders
//
// A line that begins with ? is a guess (platform/thread_stack.hpp). It writes into a buffer that it is given, and decides how much
// is said: one stall of a cause and spawn site a second, and how many were left out. The stall that was told last is told again
// whenever it comes: it has lasted ten times as long by then.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/code_name.hpp"
#include "sched/stalled_task.hpp"

namespace levity::inline v0::detail {

/// One thread.
class stall_reporter {
public:
  static constexpr std::int64_t pause_ns = 1'000'000'000;
  static constexpr std::size_t kinds_max =
      64;  // causes and spawn sites that are told apart; the one that was told first makes room

  /// The report, within `text`; what does not fit is cut off at the end, where a line ends all the same. Empty: another stall like
  /// it was told less than a second ago.
  [[nodiscard]] std::string_view report(const stalled_task& what, std::int64_t now_ns, std::span<char> text) noexcept;

  /// Those that were not told, ever.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

private:
  struct kind {
    const char* file = nullptr;
    std::uint_least32_t line = 0;
    stall_cause cause = stall_cause::unknown;
    std::uint32_t task = 0;     // of the stall that was told last
    std::int64_t since_ns = 0;  // the same
    std::int64_t told_at_ns = 0;
    std::uint64_t left_out = 0;  // since then
  };
  // Null: not now. Otherwise how many were left out before this one.
  [[nodiscard]] const std::uint64_t* admit(const stalled_task& what, std::int64_t now_ns) noexcept;

  std::array<kind, kinds_max> kinds_{};
  std::size_t known_ = 0;
  std::uint64_t left_out_before_ = 0;
  std::uint64_t left_out_ = 0;
  code_names names_;
};

}  // namespace levity::detail
