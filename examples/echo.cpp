// echo: sends back what it hears. The smallest server there is.
//
//   echo [ADDRESS]        127.0.0.1:7000 if none is given; port 0 takes any free one
//
// Try it: `nc 127.0.0.1 7000`. End it with ^C; `kill -QUIT` prints every connection and what it waits for.

#include <levity/levity.hpp>

#include <chrono>
#include <cstdio>

namespace lv = levity;
using namespace std::chrono_literals;

// A task for each connection: straight-line code that waits where it says co_await, and costs a few hundred bytes while it does.
// Its loop ends with the first error: end of stream, a reset, or `timed_out` when the peer has been silent for a minute.
lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await lv::with_deadline(60s, peer.read_some()))  // a view of what has come
    if (!co_await peer.write_all(*chunk)) co_return;    // the view stays valid until the next read
}                                                       // the connection closes with its stream

lv::task<> serve(lv::tcp_listener listener) {
  lv::scope connections{lv::on_failure::report};        // one that throws is reported, and does not end the others
  while (auto peer = co_await listener.accept())        // SIGINT and SIGTERM cancel the main task: then accept fails
    connections.spawn("echo", echo, std::move(*peer));  // the stream moves into the new task
  co_await connections.join();                          // cancelled too, by now: so are the children, and it waits for them
}

int main(int count, char** arguments) {
  auto listener = lv::tcp_listener::bind(count > 1 ? arguments[1] : "127.0.0.1:7000");
  if (!listener) {
    std::fprintf(stderr, "echo: %s\n", listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);
  return lv::run(serve, std::move(*listener));
}
