#include "inspect/stall_printer.hpp"

#include <unistd.h>

#include "levity/base/clock.hpp"
#include "platform/bounded_writer.hpp"

namespace levity::inline v0::detail {

void stall_printer::hear(const stalled_task& of) noexcept {
  bounded_writer(STDERR_FILENO, 0).write(reporter_.report(of, kernel_now_ns(), text_));
}

}  // namespace levity::detail
