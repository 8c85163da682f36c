#include "reactor/sim/sim_reactor.hpp"

#include <memory>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::poll_lease;
using levity::detail::ready_batch;
using levity::detail::sim_reactor;
using levity::detail::timer_wheel;

// E70. A poll for ever that nobody has rung for ends the program, so it comes after the ring in time; what comes before that is not
// ordered but by the ring.
LEVITY_SCENARIO(what_was_done_before_a_ring_is_there_for_the_poll) {
  sim_reactor reactor(1);
  model::cell<int> done{0};
  levity::atomic<bool> is_rung{false};
  auto ready = std::make_unique<ready_batch>();
  model::together(
      [&] {
        done.set(1);
        reactor.ring();
        is_rung.store(true, std::memory_order_relaxed);
      },
      [&] {
        if (!is_rung.load(std::memory_order_relaxed)) return;
        const poll_lease held(reactor.lease);
        reactor.poll(held, timer_wheel::never_ns, *ready);
        model::require(done.get() == 1, "what came before the ring is there");
      });
}

}  // namespace
