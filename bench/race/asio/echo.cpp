// echo PORT - the echo service, one thread.
#include <asio.hpp>

#include "../stopwatch.hpp"

namespace {

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket peer) {
  try {
    char data[4096];
    for (;;) {
      const std::size_t size = co_await peer.async_read_some(asio::buffer(data), asio::use_awaitable);
      co_await asio::async_write(peer, asio::buffer(data, size), asio::use_awaitable);
    }
  } catch (const std::system_error&) {  // the end of the connection
  }
}

asio::awaitable<void> serve(std::uint16_t port) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::acceptor acceptor(executor, {asio::ip::address_v4::loopback(), port});
  for (;;) {
    tcp::socket peer = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(executor, echo(std::move(peer)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  asio::io_context io(1);
  asio::co_spawn(io, serve(static_cast<std::uint16_t>(race::argument(argc, argv, 1))), asio::detached);
  io.run();
}
