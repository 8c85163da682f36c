#pragma once

#include <string_view>

namespace levity::inline v0::detail {

/// What the kernel's headers, of the machine that this was built on, call the system call with this number on this kind of
/// processor: "read". Empty where they have no name for it: a number out of range, or a call that is younger. Any thread.
[[nodiscard]] std::string_view system_call_name(int number) noexcept;

}  // namespace levity::detail
