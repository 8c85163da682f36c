#include "platform/signal_counts.hpp"

#include <signal.h>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;

// Once: what an execution finds here, the one before has left.
const bool is_subscribed = levity::detail::subscribe_signal(SIGUSR1).has_value();

// E113.
LEVITY_SCENARIO(who_sees_a_signal_counted_sees_what_its_sender_did) {
  model::require(is_subscribed, "SIGUSR1 can be caught");
  const std::uint64_t before = levity::detail::signal_count(SIGUSR1);
  model::cell<int> sent{0};
  const auto look = [&] {
    if (levity::detail::signal_count(SIGUSR1) != before) model::require(sent.get() == 1, "what the sender did is there");
  };
  model::together(
      [&] {
        sent.set(1);
        model::require(levity::detail::deliver_signal(SIGUSR1), "somebody has subscribed");
      },
      look);
}

// E395.
LEVITY_SCENARIO(who_delivers_a_signal_sees_what_its_subscriber_did) {
  model::cell<int> prepared{0};
  model::together(
      [&] {
        prepared.set(1);
        model::require(levity::detail::subscribe_signal(SIGUSR2).has_value(), "SIGUSR2 can be caught");
      },
      [&] {
        if (levity::detail::deliver_signal(SIGUSR2)) model::require(prepared.get() == 1, "what the subscriber did is there");
      });
  levity::detail::unsubscribe_signal(SIGUSR2);
}

}  // namespace
