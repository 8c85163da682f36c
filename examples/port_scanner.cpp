// port_scanner: which TCP ports of this machine's loopback answer. Shows fan-out with a limit, and deadlines by the thousand.
//
//   port_scanner [FIRST LAST]      1 to 65535 if none are given

#include <levity/levity.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

namespace lv = levity;
using namespace std::chrono_literals;

// Gives a permit back when it goes, however its task ends.
struct permit {
  explicit permit(lv::semaphore& from) : from_(from) {}
  permit(const permit&) = delete;
  permit& operator=(const permit&) = delete;
  ~permit() { from_.release(); }

private:
  lv::semaphore& from_;
};

// Tells the collector of the port if it is open.
lv::task<> probe(std::uint16_t port, lv::semaphore* descriptors, lv::unbounded_channel<std::uint16_t>* open) {
  co_await descriptors->acquire();
  const permit held(*descriptors);
  const auto peer = co_await lv::with_deadline(1s, lv::tcp_stream::connect(lv::address::loopback(port)));
  if (!peer) co_return;  // refused, mostly
  // Who connects gets a free port of the kernel's choice, which may be the one it connects to: then it has met itself.
  if (peer->local_address() == peer->peer_address()) co_return;
  (void)open->send(port);
}

lv::task<> scan(unsigned first, unsigned last) {
  // Tasks are cheap, so there is one for each port; descriptors are not, so only so many go ahead at a time.
  lv::semaphore descriptors{128};
  lv::unbounded_channel<std::uint16_t> open;
  lv::scope probes;
  for (unsigned port = first; port <= last; port++) {
    probes.spawn("probe", probe, static_cast<std::uint16_t>(port), &descriptors, &open);  // spawn moves values: pass pointers
  }
  co_await probes.join();
  open.close();

  std::vector<bool> found(65536);
  while (auto port = co_await open.receive()) found[*port] = true;
  for (unsigned port = first; port <= last; port++) {
    if (found[port]) std::printf("%u\n", port);
  }
}

bool parse_port(std::string_view text, unsigned& port) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() && port >= 1 && port <= 65535;
}

int main(int count, char** arguments) {
  unsigned first = 1, last = 65535;
  const bool given = count == 3 && parse_port(arguments[1], first) && parse_port(arguments[2], last) && first <= last;
  if (count != 1 && !given) {
    std::fputs("usage: port_scanner [FIRST LAST]\n", stderr);
    return 2;
  }
  return lv::run(scan, first, last);
}
