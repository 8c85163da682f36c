// echo PORT - the echo service on the library's executor over Asio, one thread.
#define TMC_IMPL
#include <tmc/all_headers.hpp>
#include <tmc/asio/aw_asio.hpp>
#include <tmc/asio/ex_asio.hpp>

#include <asio.hpp>

#include "../stopwatch.hpp"

namespace {

using asio::ip::tcp;
using socket_type = asio::basic_stream_socket<tcp, asio::io_context::executor_type>;
using acceptor_type = asio::basic_socket_acceptor<tcp, asio::io_context::executor_type>;

tmc::task<void> echo(socket_type peer) {
  char data[4096];
  for (;;) {
    auto [failure, size] = co_await peer.async_read_some(asio::buffer(data), tmc::aw_asio);
    if (failure) co_return;
    auto [refused, written] = co_await asio::async_write(peer, asio::buffer(data, size), tmc::aw_asio);
    if (refused) co_return;
  }
}

tmc::task<void> serve(tmc::ex_asio& executor, std::uint16_t port) {
  acceptor_type acceptor(executor, {asio::ip::address_v4::loopback(), port});
  for (;;) {
    auto [failure, peer] = co_await acceptor.async_accept(tmc::aw_asio);
    if (failure) co_return;
    tmc::post(executor, echo(std::move(peer)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  tmc::ex_asio executor;
  executor.init();
  tmc::post_waitable(executor, serve(executor, static_cast<std::uint16_t>(race::argument(argc, argv, 1)))).wait();
}
