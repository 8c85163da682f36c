#include "sim/world_observer.hpp"

#include <utility>

#include "reactor/sim/sim_reactor.hpp"
#include "runtime/run_host.hpp"

namespace levity::inline v0::detail {
namespace {

constinit thread_local world_observer* thread_observer = nullptr;

}  // namespace

world_observer* exchange_thread_observer(world_observer* by) noexcept { return std::exchange(thread_observer, by); }

place_in_world this_place() {
  world_observer* const outside = thread_observer;
  const place_in_world outside_of_hosts{.by = outside, .at_ns = outside != nullptr ? outside->now_ns() : 0};
  run_host* const host = this_run_host();
  if (host == nullptr) return outside_of_hosts;
  auto& home = static_cast<sim_reactor&>(host->home());  // nobody else has a host
  world_observer* const by = observer_of(home.network());
  if (!home.network().has_process(home.site())) return {.is_cut_off = true};
  return by != nullptr ? place_in_world{.by = by, .site = home.site(), .at_ns = home.network().now_ns()} : outside_of_hosts;
}

void tell(sim::happened what, std::string_view text, duration lasts) {
  const place_in_world here = this_place();
  if (here.by != nullptr) here.by->tell(what, here.site, here.at_ns, {.text = text, .lasts = lasts});
}

}  // namespace levity::detail
