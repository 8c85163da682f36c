#include "platform/affinity.hpp"

#include <utility>

namespace levity::inline v0::detail {
namespace {

thread_local std::shared_ptr<const cpu_set> wide;

}  // namespace

bool narrow_affinity(const cpu_set& cpus) {
  std::shared_ptr<const cpu_set> before = wide != nullptr ? wide : std::make_shared<const cpu_set>(cpu_set::of_this_thread());
  if (cpus.apply_to_this_thread() != 0) return false;
  wide = std::move(before);
  return true;
}

void widen_affinity() noexcept {
  if (wide == nullptr) return;
  // Refused when nothing of it is left: then the kernel has widened this thread already.
  static_cast<void>(wide->apply_to_this_thread());
  wide.reset();
}

std::shared_ptr<const cpu_set> wide_affinity() noexcept { return wide; }

}  // namespace levity::detail
