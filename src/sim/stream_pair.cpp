#include "levity/sim/stream_pair.hpp"

#include <expected>
#include <utility>

#include "levity/io/tcp_listener.hpp"

namespace levity::inline v0::sim {

task<io_result<stream_ends>> stream_pair() {
  auto listener = tcp_listener::bind("127.0.0.1:0");
  if (!listener) co_return std::unexpected(listener.error());
  auto near = co_await tcp_stream::connect(listener->local_address());
  if (!near) co_return std::unexpected(near.error());
  const address own = near->local_address();
  for (;;) {
    auto far = co_await listener->accept();
    if (!far) co_return std::unexpected(far.error());
    // On a machine anybody may connect to the port.
    if (far->peer_address() == own) co_return stream_ends{std::move(*near), std::move(*far)};
  }
}

}  // namespace levity::sim
