// The echo program of the README, and a client that hears itself.

#include <levity/levity.hpp>

#include <cstdio>
#include <functional>
namespace lv = levity;

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some())
    if (!co_await peer.write_all(*chunk)) co_return;
}

lv::task<> serve(lv::tcp_listener& listener) {
  if (auto peer = co_await listener.accept()) co_await echo(std::move(*peer));
}

lv::task<int> talk(lv::tcp_listener listener) {
  const lv::address where = listener.local_address();
  lv::scope server;
  server.spawn(serve, std::ref(listener));
  bool heard = false;
  {
    auto peer = co_await lv::tcp_stream::connect(where);
    if (peer) {
      const auto sent = co_await peer->write_all(std::as_bytes(std::span("hello", 5)));
      const auto chunk = co_await peer->read_some();
      heard = sent && chunk && chunk->size() == 5;
    }
  }
  co_await server.join();
  std::puts(heard ? "heard hello" : "heard nothing");
  co_return heard ? 0 : 1;
}

int main() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  if (!listener) return std::puts(listener.error().message().c_str()), 1;
  return lv::run(talk, std::move(*listener));
}
