#include "reactor/ring/ring_socket.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::allocate_ring_socket;
using levity::detail::drop_references;
using levity::detail::publish;
using levity::detail::ring_socket;
using levity::detail::try_hold;

// E202: the last one that lets go gives the memory to the next user, after all others are done with it.
LEVITY_SCENARIO(a_socket_goes_when_everybody_is_done_with_it) {
  ring_socket other;  // in the store from the beginning
  publish(other);
  drop_references(other, ring_socket::one_use);
  ring_socket socket;
  publish(socket);
  socket.references.fetch_add(2 * ring_socket::one_use, std::memory_order_relaxed);
  model::cell<int> used[2];
  levity::atomic<bool> is_taken{false};
  const auto use = [&](int number) {
    if (number < 2) used[number].set(1);
    drop_references(socket, ring_socket::one_use);
    if (socket.generation.load(std::memory_order_relaxed) == 0 || is_taken.exchange(true, std::memory_order_relaxed)) return;
    if (&allocate_ring_socket() != &socket) return;  // it has just gone, and is not in the store yet
    for (auto& each : used) each.set(2);  // whoever finds it there writes over all of it
  };
  model::together([&] { use(0); }, [&] { use(1); }, [&] { use(2); });
  static_cast<void>(allocate_ring_socket());  // what is left there
}

// E202: an event that comes late finds that the socket is gone, or another one that is whole.
LEVITY_SCENARIO(a_socket_that_is_held_is_whole) {
  ring_socket socket;
  model::cell<int> constants{0};
  model::together(
      [&] {
        constants.set(1);
        publish(socket);
      },
      [&] {
        if (!try_hold(socket)) return;
        model::require(constants.get() == 1, "what is constant while it is open is there");
        drop_references(socket, ring_socket::one_use);
      });
}

}  // namespace
