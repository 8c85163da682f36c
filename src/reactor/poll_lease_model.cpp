#include "reactor/poll_lease.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::lease_word;
using levity::detail::poll_lease;

// E6.
LEVITY_SCENARIO(what_one_poller_wrote_the_next_one_sees) {
  lease_word word;
  model::cell<int> polled{0};
  const auto poll = [&] {
    const poll_lease held(word);
    if (held.held()) polled.set(polled.get() + 1);
  };
  model::together(poll, poll, poll);
  model::require(polled.get() >= 1, "somebody found it free");
}

LEVITY_SCENARIO(who_waits_in_a_reactor_gets_its_lease) {
  lease_word word;
  model::cell<int> polled{0};
  model::together(
      [&] {
        const poll_lease held = poll_lease::for_wait(word);
        polled.set(polled.get() + 1);
      },
      [&] {
        const poll_lease held(word);
        if (held.held()) polled.set(polled.get() + 1);
      });
  model::require(polled.get() >= 1, "who waits has polled");
}

}  // namespace
