#pragma once

// stall_printer: tells of stalled tasks on standard error, as far as somebody reads it: who waits for a pipe hears of nobody else.

#include <array>

#include "inspect/stall_report.hpp"
#include "sched/stalled_task.hpp"

namespace levity::inline v0::detail {

class stall_printer final : public stall_listener {
public:
  void hear(const stalled_task& of) noexcept override;

private:
  stall_reporter reporter_;
  std::array<char, 4096> text_{};  // a pipe takes as much at once, or says that it cannot
};

}  // namespace levity::detail
