// chat: rooms in which everybody hears everybody. Shows broadcast channels, lines, races, and what to do with a slow reader.
//
//   chat [ADDRESS]        127.0.0.1:7001 if none is given; port 0 takes any free one
//
// The first line of a connection is "ROOM NAME", every further one is said in that room: `nc 127.0.0.1 7001`.
//
// A reader that is slow holds nobody up: a room keeps its newest 64 messages, and who falls behind more is told how many were
// missed. What the kernel keeps for one is bounded as well, and one that takes nothing at all for half a minute is dropped.

#include <levity/levity.hpp>

#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace lv = levity;
using namespace std::chrono_literals;

using room = lv::broadcast<std::string>;

// The rooms by name; one goes when the last connection in it has.
class house {
public:
  std::shared_ptr<room> enter(const std::string& name) {
    const std::lock_guard held(lock_);  // a few instructions and no co_await: an ordinary mutex will do
    std::erase_if(rooms_, [](const auto& each) { return each.second.expired(); });
    std::shared_ptr<room> found = rooms_[name].lock();
    if (found == nullptr) rooms_[name] = found = std::make_shared<room>(64);
    return found;
  }

private:
  std::mutex lock_;
  std::map<std::string, std::weak_ptr<room>> rooms_;
};

lv::task<lv::io_result<void>> write(lv::tcp_stream* to, const std::string* text) { co_return co_await to->write_all(*text); }

// Writes what is said. Every message is shared by all who hear it, not copied.
lv::task<> hear(lv::tcp_stream* peer, room::receiver feed) {
  for (;;) {
    const auto next = co_await feed.receive();
    std::string notice;
    if (!next) {
      if (next.error() != lv::broadcast_failure::lagged) co_return;  // the room has closed, or we are cancelled
      notice = "*** you were too slow and missed " + std::to_string(next.error().missed) + " messages\n";
    }
    const std::string& text = next ? **next : notice;
    const auto written = co_await lv::with_deadline(30s, write(peer, &text));
    if (!written) co_return;  // gone, or it took nothing for 30 s: io_failure::timed_out
  }
}

// Says what is read.
lv::task<> speak(lv::buffered_reader<lv::tcp_stream>* in, room* to, std::string name) {
  while (auto line = co_await in->read_line(4096))  // longer lines end the connection
    to->send(name + ": " + std::string(*line) + "\n");
}

lv::task<> talk(lv::tcp_stream peer, house* rooms) {
  (void)peer.set_send_buffer(64 * 1024);  // what the kernel keeps for a slow reader
  lv::buffered_reader in{peer};
  const auto first = co_await in.read_line(256);
  if (!first) co_return;
  const std::string hello(*first);  // a view ends with the next read
  const std::size_t space = hello.find(' ');
  if (space == std::string::npos) {
    (void)co_await peer.write_all("*** say ROOM NAME first\n");
    co_return;
  }
  const std::shared_ptr<room> here = rooms->enter(hello.substr(0, space));
  const std::string name = hello.substr(space + 1);
  auto feed = here->subscribe();  // before we say that we are here, so that we hear it, too
  here->send("*** " + name + " is here\n");
  // One task reads while another writes. Whichever ends first ends the other, and both have ended when the race has: so both
  // may use what lives in this frame.
  co_await lv::race(speak(&in, here.get(), name), hear(&peer, std::move(feed)));
  here->send("*** " + name + " has left\n");
}

lv::task<> serve(lv::tcp_listener listener) {
  house rooms;
  lv::scope connections{lv::on_failure::report};  // one that fails does not end the others
  while (auto peer = co_await listener.accept()) connections.spawn("chat", talk, std::move(*peer), &rooms);
  co_await connections.join();
}

int main(int count, char** arguments) {
  auto listener = lv::tcp_listener::bind(count > 1 ? arguments[1] : "127.0.0.1:7001");
  if (!listener) {
    std::fprintf(stderr, "chat: %s\n", listener.error().message().c_str());
    return 1;
  }
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);
  return lv::run(serve, std::move(*listener));
}
