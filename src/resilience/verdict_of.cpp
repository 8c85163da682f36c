#include "levity/resilience/verdict_of.hpp"

namespace levity::inline v0 {

verdict verdict_of(const io_error& error) noexcept {
  switch (error.failure()) {
    // The other side, the way to it, or that nothing came of it in time.
    case io_failure::eof:
    case io_failure::reset:
    case io_failure::timed_out:
    case io_failure::refused:
    case io_failure::unreachable:
    case io_failure::truncated:
    case io_failure::unavailable:
    case io_failure::no_space:
    case io_failure::other: return verdict::failure;
    // Nobody wanted it any longer.
    case io_failure::cancelled:
    case io_failure::closed: return verdict::neutral;
    // This side had nothing to make the call with.
    case io_failure::address_in_use:
    case io_failure::no_address:
    case io_failure::would_block:
    case io_failure::no_descriptors:
    case io_failure::no_memory: return verdict::neutral;
    // It was asked for what there is not, or more was given than the caller takes.
    case io_failure::not_found:
    case io_failure::exists:
    case io_failure::permission:
    case io_failure::invalid:
    case io_failure::unsupported:
    case io_failure::too_large: return verdict::neutral;
  }
  return verdict::failure;
}

}  // namespace levity
