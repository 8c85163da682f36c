#include "resilience/breaker_machine.hpp"

namespace levity::inline v0::detail {

breaker_look breaker_machine::look() const noexcept {
  breaker_look seen;
  show(seen);
  seen.transitions = transitions_.load(std::memory_order_relaxed);
  seen.refused = refused_.load(std::memory_order_relaxed);
  seen.would_have_refused = would_have_refused_.load(std::memory_order_relaxed);
  seen.stale_results = stale_results_.load(std::memory_order_relaxed);
  return seen;
}

void breaker_machine::tell(breaker_transition told, std::uint32_t generation) noexcept {
  // Two who made changes one after the other may come here in the other order. The number is that of the change, not of the
  // telling: the one near the count that ends with the bits of the generation.
  const std::uint64_t about = transitions_.fetch_add(1, std::memory_order_relaxed) + 1;
  told.name = settings_.name;
  told.number = about + static_cast<std::uint64_t>(std::int64_t{static_cast<std::int16_t>(generation - about)});
  if (settings_.on_transition) settings_.on_transition(told);
}

}  // namespace levity::detail
