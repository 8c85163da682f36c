// echo_server PORT - the echo service of the README, no option set.
#include <levity/levity.hpp>

#include <cstdio>
#include <string>

namespace lv = levity;

namespace {

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

lv::task<> serve(lv::tcp_listener listener) {
  lv::scope connections;
  while (auto peer = co_await listener.accept()) connections.spawn(echo, std::move(*peer));
  co_await connections.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: echo_server PORT\n", stderr);
    return 2;
  }
  return lv::run(serve, lv::tcp_listener::bind(std::string("127.0.0.1:") + argv[1]).value());
}
