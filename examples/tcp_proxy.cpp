// tcp_proxy: passes connections on. Shows a connect with a deadline and a copy in both directions.
//
//   tcp_proxy LISTEN TARGET        tcp_proxy 127.0.0.1:7002 127.0.0.1:7000

#include <levity/levity.hpp>

#include <cstdio>
#include <expected>
#include <string>

namespace lv = levity;
using namespace std::chrono_literals;

lv::task<> pass_on(lv::tcp_stream client, lv::address target) {
  const std::string who = client.peer_address().to_string();  // a connection that has ended on both sides has none
  // A deadline ends whatever the task inside waits for; here connect then fails with io_failure::timed_out.
  auto server = co_await lv::with_deadline(5s, lv::tcp_stream::connect(target));
  if (!server) {
    std::fprintf(stderr, "tcp_proxy: %s\n", server.error().message().c_str());
    client.abort();  // a reset says that nobody listens behind us; a plain close would look like an empty answer
    co_return;
  }
  // Until both sides have ended. The end of one side is passed on and the other goes on: `printf ... | nc -N` gets its answer.
  // Bulk goes from socket to socket inside the kernel.
  const auto carried = co_await lv::copy_bidirectional(client, *server);
  std::printf("%s: %llu bytes there, %llu back%s\n", who.c_str(), static_cast<unsigned long long>(carried.there.bytes),
              static_cast<unsigned long long>(carried.back.bytes), carried ? "" : ", broken off");
  std::fflush(stdout);
  if (!carried) {  // neither side may take what came for all there was
    client.abort();
    server->abort();
  }
}

lv::task<> serve(lv::tcp_listener listener, lv::address target) {
  lv::scope connections{lv::on_failure::report};
  while (auto client = co_await listener.accept()) connections.spawn("pass on", pass_on, std::move(*client), target);
  co_await connections.join();
}

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: tcp_proxy LISTEN TARGET\n", stderr);
    return 2;
  }
  const auto target = lv::address::parse(arguments[2]);
  if (!target) {
    std::fprintf(stderr, "tcp_proxy: %s\n", target.error().c_str());
    return 2;
  }
  auto listener = lv::tcp_listener::bind(arguments[1]);
  if (!listener) {
    std::fprintf(stderr, "tcp_proxy: %s\n", listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);
  return lv::run(serve, std::move(*listener), *target);
}
