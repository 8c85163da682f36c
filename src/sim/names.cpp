#include "sim/names.hpp"

#include <algorithm>
#include <cstdint>

#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

// A server in the same building.
constexpr std::int64_t answer_ns_min = 200'000;
constexpr std::uint64_t answer_ns_spread = 2'000'000;

}  // namespace

detail::simulated_names::answer names::ask(std::string_view name) {
  answer said;
  said.after_ns = answer_ns_min;
  // Of a program that was killed nothing reaches the world, not even what it draws.
  const bool is_heard = !detail::this_place().is_cut_off;
  if (is_heard) said.after_ns += static_cast<std::int64_t>(network_.draw(answer_ns_spread));
  const auto found = known_.find(name);
  if (found == known_.end()) {
    said.addresses = std::unexpected(io_error{io_failure::not_found, 0, "looking up a name"});
  } else if (found->second.addresses.empty()) {
    said.after_ns = std::max(said.after_ns, found->second.after.count());
    said.addresses = std::unexpected(io_error{found->second.failure, 0, "looking up a name"});
  } else {
    said.addresses = found->second.addresses;
  }
  if (!is_heard) return said;
  network_.trace_text(name);
  if (said.addresses) {
    for (const address& each : *said.addresses) network_.trace_text(each.to_string());
  } else {
    network_.trace(static_cast<std::uint64_t>(said.addresses.error().failure()));
  }
  network_.trace(static_cast<std::uint64_t>(said.after_ns));
  return said;
}

}  // namespace levity::sim
