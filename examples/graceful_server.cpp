// graceful_server: on SIGTERM it takes no more work, ends what it has begun, and goes. Shows shields and deadlines.
//
//   graceful_server [ADDRESS]      127.0.0.1:7003 if none is given; port 0 takes any free one
//
// A line is a request: a number of milliseconds to work, answered with "done". Try it: `echo 2000 | nc 127.0.0.1 7003`, and
// meanwhile `kill -TERM`. The answer still comes, new connections are refused, idle ones are closed at once, and the exit code
// is 0.
//
// Nothing here handles a signal. The runtime cancels the main task; what a cancellation means is said where it matters: between
// requests it is the end, inside one it has to wait. A request that was read already counts as begun.

#include <levity/levity.hpp>

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

namespace lv = levity;
using namespace std::chrono_literals;

constexpr auto request_time_max = 5s;  // so long may the end take, too

// What a service does for a request.
lv::task<std::string> work(unsigned ms) {
  co_await lv::sleep(std::chrono::milliseconds(ms));
  co_return "done\n";
}

// One request, from its last byte to the last byte of its answer.
lv::task<lv::io_result<void>> answer(lv::tcp_stream* to, unsigned ms) {
  const auto text = co_await lv::with_timeout(request_time_max, work(ms));
  // First the value, then the await: with a co_await in it g++ 12 may run both sides of a ?: (docs/footguns.md).
  const std::string_view reply = text ? std::string_view(*text) : std::string_view("too late\n");
  co_return co_await to->write_all(reply);
}

lv::task<> serve_one(lv::tcp_stream peer) {
  lv::buffered_reader in{peer};
  while (auto line = co_await in.read_line(64)) {  // cancelled here, between requests: no line, the end
    unsigned ms = 0;
    const auto read = std::from_chars(line->data(), line->data() + line->size(), ms);
    if (read.ec != std::errc{} || read.ptr != line->data() + line->size()) {
      (void)co_await peer.write_all("how many milliseconds?\n");
      co_return;
    }
    // Cancelled inside: the shield keeps it out until the answer is written. The deadline in there still counts, so a
    // request that hangs does not keep the service from ending.
    const auto written = co_await lv::shield(answer(&peer, ms));
    if (!written) co_return;
  }
}

lv::task<int> serve(lv::tcp_listener listener) {
  lv::scope connections{lv::on_failure::report};
  while (auto peer = co_await listener.accept()) connections.spawn("request", serve_one, std::move(*peer));
  listener.close();  // from here on who connects is refused, instead of waiting for somebody who will not come
  std::printf("draining %zu connections\n", connections.size_approx());
  std::fflush(stdout);
  co_await connections.join();  // we are cancelled, so join cancels the children before it waits for them
  std::puts("drained");
  co_return 0;
}

int main(int count, char** arguments) {
  auto listener = lv::tcp_listener::bind(count > 1 ? arguments[1] : "127.0.0.1:7003");
  if (!listener) {
    std::fprintf(stderr, "graceful_server: %s\n", listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);
  return lv::run(serve, std::move(*listener));
}
