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

}  // namespace
