#include "reactor/ring/poll_sleep.hpp"

#include <memory>

#include "levity/model/scenario.hpp"
#include "reactor/still_reactor.hpp"

namespace {

namespace model = levity::model;
using levity::detail::poll_lease;
using levity::detail::poll_sleep;
using levity::detail::ready_batch;
using levity::detail::still_reactor;
using levity::detail::timer_wheel;

// E205.
LEVITY_SCENARIO(no_socket_is_left_while_the_poller_sleeps) {
  poll_sleep sleep(nullptr);
  levity::atomic<int> pushed{0};
  model::together(
      [&] {
        while (pushed.load(std::memory_order_relaxed) == 0) {
          sleep.fall_asleep();
          if (pushed.load(std::memory_order_relaxed) == 0) sleep.wait(timer_wheel::never_ns);
          sleep.wake_up();
        }
      },
      [&] {
        pushed.store(1, std::memory_order_relaxed);
        sleep.wake();
      });
}

// E206, E205.
LEVITY_SCENARIO(who_rings_is_heard) {
  poll_sleep sleep(nullptr);
  model::cell<int> written{0};
  model::together(
      [&] {
        while (!sleep.heard()) {
          sleep.fall_asleep();
          if (!sleep.is_rung_approx()) sleep.wait(timer_wheel::never_ns);
          sleep.wake_up();
        }
        model::require(written.get() == 1, "what the caller wrote is there");
      },
      [&] {
        written.set(1);
        sleep.ring();
      });
}

// E370: from now on another reactor attends to this one, and looks once by itself.
LEVITY_SCENARIO(what_is_pushed_is_told_to_the_attendant_or_found_by_its_first_poll) {
  poll_sleep resting(nullptr);
  levity::atomic<int> pushed{0};
  std::unique_ptr<still_reactor> attendant;  // whoever is told must know it whole
  model::together(
      [&] {
        attendant = std::make_unique<still_reactor>();
        resting.is_attended_by(*attendant, 1);
        attendant->news.put(1);
        auto ready = std::make_unique<ready_batch>();
        const poll_lease held(attendant->lease);
        for (;;) {
          bool found = false;
          attendant->news.take([&](unsigned number) {
            model::require(number == 1, "the number is told");
            found = pushed.load(std::memory_order_relaxed) != 0;
          });
          if (found) return;
          attendant->poll(held, timer_wheel::never_ns, *ready);
        }
      },
      [&] {
        pushed.store(1, std::memory_order_relaxed);
        resting.wake();
      });
}

// E370: the other way round. Who polls here again looks before it sleeps.
LEVITY_SCENARIO(what_is_pushed_is_found_by_who_has_dismissed_the_attendant) {
  still_reactor attendant;
  poll_sleep served(nullptr);
  levity::atomic<int> pushed{0};
  served.is_attended_by(attendant, 1);
  model::together(
      [&] {
        served.is_dismissed();
        while (pushed.load(std::memory_order_relaxed) == 0) {
          served.fall_asleep();
          if (pushed.load(std::memory_order_relaxed) == 0) served.wait(timer_wheel::never_ns);
          served.wake_up();
        }
      },
      [&] {
        pushed.store(1, std::memory_order_relaxed);
        served.wake();
      });
}

}  // namespace
