// Unix sockets of one site, driven by hand: what a kill leaves, and that all of it follows from the seed. What programs see is
// asked in io's unix_stream_contract_test.cpp.

#include "reactor/sim/sim_unix.hpp"

#include <gtest/gtest.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/rng.hpp"
#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr int patience = 40;  // attempts; of 16 one is refused for nothing, of accepts one of 8

unix_address named(std::string_view name) { return unix_address::parse(name).value(); }

struct one_host {
  explicit one_host(std::uint64_t seed = 1) : net(seed), site(net.add_site({*address::parse("10.0.0.1:0")})), home(net, site) {}
  one_host(const one_host&) = delete;
  one_host& operator=(const one_host&) = delete;
  ~one_host() {
    while (!open.empty()) close(open.back());
    net.check_invariants();
  }

  simulated_unix& sockets() { return *home.unix_sockets; }
  endpoint* keep(io_result<endpoint*> made) {
    last = made ? io_failure::other : made.error().failure();
    if (!made) return nullptr;
    open.push_back(*made);
    net.check_invariants();
    return *made;
  }
  endpoint* listen(std::string_view name, bool replace_stale = false) {
    return keep(sockets().listen(home, {named(name), 16, -1, replace_stale}));
  }
  endpoint* connect(std::string_view name) { return keep(sockets().connect_stream(home, named(name))); }
  endpoint* accept(endpoint& listener) {
    for (int i = 0; i < patience; i++) {
      if (endpoint* got = keep(sockets().try_accept(listener, home)); got != nullptr) return got;
    }
    return nullptr;
  }
  std::size_t write(endpoint& to, std::string text) {
    std::size_t done = 0;
    for (int i = 0; i < patience && done < text.size(); i++) {
      const iovec piece{text.data() + done, text.size() - done};
      const auto moved = sockets().write(to, {&piece, 1});
      net.check_invariants();
      last = moved ? io_failure::other : moved.error().failure();
      if (moved) {
        done += *moved;
        i = 0;
      } else if (last != io_failure::would_block) {
        break;
      }
    }
    return done;
  }
  // Until no more is there; `last` says why.
  std::string read(endpoint& from) {
    std::string got;
    std::vector<std::byte> room(1'000);
    for (int i = 0; i < patience; i++) {
      const auto part = sockets().read(from, room);
      net.check_invariants();
      last = !part ? part.error().failure() : part->size == 0 ? io_failure::eof : io_failure::other;
      if (part && part->size > 0) {
        got.append(reinterpret_cast<const char*>(room.data()), part->size);
        i = 0;
      } else if (last != io_failure::would_block) {
        break;
      }
    }
    return got;
  }
  void deliver() {
    net.deliver_pending(site, *batch);
    net.check_invariants();
  }
  void close(endpoint* which) {
    std::erase(open, which);
    sockets().close(*which);
    net.check_invariants();
  }

  sim_network net;
  sim_network::site_number site;
  sim_reactor home;
  std::unique_ptr<ready_batch> batch = std::make_unique<ready_batch>();
  std::vector<endpoint*> open;
  io_failure last = io_failure::other;
};

}  // namespace

TEST(sim_unix, what_is_written_is_there_without_any_time_and_within_a_bound) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    one_host w(seed);
    const std::int64_t before_ns = w.net.now_ns();
    endpoint* listener = w.listen("/run/a.sock");
    ASSERT_NE(listener, nullptr);
    endpoint* client = w.connect("/run/a.sock");
    ASSERT_NE(client, nullptr);
    EXPECT_EQ(w.write(*client, "before anybody has accepted"), 27u);
    endpoint* server = w.accept(*listener);
    ASSERT_NE(server, nullptr);
    EXPECT_EQ(w.read(*server), "before anybody has accepted");
    w.sockets().set_send_buffer(*server, 4'000);
    EXPECT_EQ(w.write(*server, std::string(20'000, 'x')), 8'000u);
    EXPECT_EQ(w.last, io_failure::would_block);
    EXPECT_EQ(w.read(*client).size(), 8'000u);
    EXPECT_EQ(w.write(*server, "there is room again"), 19u);
    EXPECT_EQ(w.net.now_ns(), before_ns);
  }
}

TEST(sim_unix, a_stream_that_is_never_empty_holds_no_more_than_its_buffer) {
  one_host w;
  const auto pair = w.sockets().stream_pair(w.home);
  ASSERT_TRUE(pair);
  w.open = {pair->first, pair->second};
  w.sockets().set_send_buffer(*pair->first, 10'000);
  ASSERT_EQ(w.write(*pair->first, std::string(20'000, 'x')), 20'000u);
  std::vector<std::byte> room(1'000);
  std::size_t passed = 0;
  while (passed < 2'000'000) {
    const auto part = w.sockets().read(*pair->second, room);
    if (part) passed += w.write(*pair->first, std::string(part->size, 'x'));  // asks for the invariants
  }
  EXPECT_EQ(w.read(*pair->second).size(), 20'000u);
}

TEST(sim_unix, a_backlog_is_bounded_as_a_kernel_bounds_it) {
  one_host w;
  endpoint* listener = w.keep(w.sockets().listen(w.home, {named("@a"), 1'000'000, -1, false}));
  ASSERT_NE(listener, nullptr);
  std::vector<endpoint*> clients;
  for (int i = 0; i < 4'097; i++) {
    const auto client = w.sockets().connect_stream(w.home, named("@a"));
    ASSERT_TRUE(client);
    clients.push_back(*client);
  }
  EXPECT_EQ(w.connect("@a"), nullptr);
  EXPECT_EQ(w.last, io_failure::would_block);
  for (endpoint* each : clients) w.sockets().close(*each);
}

TEST(sim_unix, a_killed_process_leaves_its_path_behind_and_nothing_else) {
  one_host w;
  ASSERT_NE(w.listen("/run/a.sock"), nullptr);
  ASSERT_NE(w.listen("@a"), nullptr);
  ASSERT_NE(w.connect("/run/a.sock"), nullptr);  // nobody accepts it
  w.net.sever(w.site, false);
  EXPECT_EQ(w.listen("/run/b.sock"), nullptr);
  EXPECT_EQ(w.connect("@a"), nullptr);
  EXPECT_EQ(w.last, io_failure::unreachable) << "a dead process is told so";
  while (!w.open.empty()) w.close(w.open.back());
  w.net.restore(w.site);

  EXPECT_EQ(w.connect("/run/b.sock"), nullptr);
  EXPECT_EQ(w.last, io_failure::not_found) << "a dead process has bound nothing";
  EXPECT_EQ(w.connect("/run/a.sock"), nullptr);
  EXPECT_EQ(w.last, io_failure::refused) << "the path is there, and nobody listens";
  EXPECT_EQ(w.listen("/run/a.sock"), nullptr);
  EXPECT_EQ(w.last, io_failure::address_in_use);
  EXPECT_NE(w.listen("@a"), nullptr) << "an abstract name goes with its process";
  endpoint* again = w.listen("/run/a.sock", true);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(w.listen("/run/a.sock", true), nullptr) << "it is not stale any more";
  EXPECT_NE(w.connect("/run/a.sock"), nullptr);
  w.close(again);
  EXPECT_EQ(w.connect("/run/a.sock"), nullptr);
  EXPECT_EQ(w.last, io_failure::not_found) << "who lives takes his path away";
}

TEST(sim_unix, both_ends_in_a_dead_process_are_torn_and_their_closing_touches_nobody) {
  one_host w;
  endpoint* listener = w.listen("/run/a.sock");
  endpoint* client = w.connect("/run/a.sock");
  ASSERT_TRUE(listener != nullptr && client != nullptr);
  endpoint* server = w.accept(*listener);
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(w.write(*client, "never read"), 10u);
  auto pair = w.sockets().datagram_pair(w.home);
  ASSERT_TRUE(pair);
  w.open.push_back(pair->first);
  w.open.push_back(pair->second);
  const std::string text = "never received";
  for (int i = 0; i < patience && !w.sockets().send(*pair->first, std::as_bytes(std::span(text)), nullptr); i++) {
  }
  w.net.sever(w.site, true);
  w.net.check_invariants();
  w.deliver();
  EXPECT_EQ(w.read(*server), "");
  EXPECT_EQ(w.last, io_failure::reset);
  EXPECT_EQ(w.write(*client, "x"), 0u);
  EXPECT_EQ(w.last, io_failure::reset);
  std::byte room[32];
  EXPECT_EQ(w.sockets().receive(*pair->second, room).error(), io_failure::unreachable);
  EXPECT_EQ(w.sockets().try_accept(*listener, w.home).error(), io_failure::unreachable);
}

TEST(sim_unix, whatever_is_done_in_any_order_what_is_read_is_what_was_written) {
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    one_host w(seed);
    rng random(seed);
    const auto pair = w.sockets().stream_pair(w.home);
    ASSERT_TRUE(pair);
    endpoint* const ends[] = {pair->first, pair->second};
    w.open.assign(std::begin(ends), std::end(ends));
    std::string written[2];
    std::string read[2];  // by the other one
    bool has_ended[2] = {};
    for (int step = 0; step < 200; step++) {
      const std::size_t who = random.below(2);
      switch (random.below(16)) {
        case 0:
          if (random.below(8) != 0) break;
          ASSERT_TRUE(w.sockets().shutdown_write(*ends[who]));
          has_ended[who] = true;
          break;
        case 1: w.sockets().set_send_buffer(*ends[who], static_cast<int>(random.below(10'000))); break;
        case 2: w.deliver(); break;
        case 3:
        case 4:
        case 5:
        case 6:
        case 7: {
          std::string text(1 + random.below(5'000), ' ');
          for (char& each : text) each = static_cast<char>('a' + random.below(26));
          const std::size_t went = w.write(*ends[who], text);
          ASSERT_TRUE(!has_ended[who] || went == 0) << "seed " << seed;
          written[who] += text.substr(0, went);
          break;
        }
        default:
          read[who] += w.read(*ends[1 - who]);
          ASSERT_EQ(read[who], written[who]) << "seed " << seed << ": all that was written is there";
          ASSERT_EQ(w.last, has_ended[who] ? io_failure::eof : io_failure::would_block) << "seed " << seed;
      }
    }
  }
}

// ---- datagrams -------------------------------------------------------------------------------------------------------

namespace {

// Sockets that send, receive, connect and close as a seed says. Who got less than it asked for waits for an event, and asks nothing
// before it has come.
struct crowd {
  struct member {
    endpoint* at;
    std::string name;
    endpoint* peer = nullptr;
  };

  explicit crowd(std::uint64_t seed) : host(seed), random(seed) {}

  // What an attempt came to, and whether it waits from now on.
  int send(member& who, std::size_t size) {
    const std::vector<std::byte> bytes(size);
    who.at->writing.clear();
    const auto sent = host.sockets().send(*who.at, bytes, nullptr);
    if (sent || sent.error() != io_failure::would_block) who.at->writing.mark_ready();
    if (!sent && sent.error() == io_failure::refused) who.peer = nullptr;
    return sent ? 0 : sent.error().code();
  }
  int receive(member& who) {
    std::byte room[64];
    who.at->reading.clear();
    const auto got = host.sockets().receive(*who.at, room);
    if (got || got.error() != io_failure::would_block) who.at->reading.mark_ready();
    return got ? 0 : got.error().code();
  }
  void join() {
    if (random.below(3) == 0) {
      const auto pair = host.sockets().datagram_pair(host.home);
      all.push_back({pair->first, "", pair->second});
      all.push_back({pair->second, "", pair->first});
    } else {
      const std::string name = random.below(2) == 0 ? "@" + std::to_string(names++) : "";
      all.push_back({*host.sockets().unnamed_datagram(host.home), name});
      if (!name.empty()) {
        EXPECT_TRUE(host.sockets().bind(*all.back().at, {.at = named(name)}));
      }
    }
    // Some have room for few, some for more than a receiver takes.
    host.sockets().set_send_buffer(*all.back().at, static_cast<int>(random.below(random.below(2) == 0 ? 4'000 : 40'000)));
  }
  void leave(std::size_t which) {
    host.sockets().close(*all[which].at);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(which));
  }
  // Linux does not tell who waits for room at a receiver when that one connects, so nobody does while another one waits for it.
  void connect(member& who) {
    const auto is_waited_for = [&](const member& each) { return each.peer == who.at && each.at->writing.is_drained(); };
    const member& to = all[random.below(all.size())];
    if (to.name.empty() || std::ranges::any_of(all, is_waited_for)) return;
    if (host.sockets().connect(*who.at, named(to.name))) who.peer = to.at;
  }
  void step() {
    if (all.size() < 2 || (all.size() < 7 && random.below(8) == 0)) return join();
    const std::size_t which = random.below(all.size());
    member& who = all[which];
    switch (random.below(12)) {
      case 0: return connect(who);
      case 1:
        if (random.below(4) == 0) leave(which);
        return;
      case 2:
        if (random.below(4) == 0) host.sockets().set_send_buffer(*who.at, static_cast<int>(random.below(6'000)));
        return;
      case 3:
      case 4:
      case 5:
        if (!who.at->reading.is_drained()) (void)receive(who);
        return;
      default:
        if (!who.at->writing.is_drained()) (void)send(who, 1 + random.below(random.below(4) == 0 ? 3'000 : 100));
    }
  }

  one_host host;
  rng random;
  std::vector<member> all;
  int names = 0;
};

}  // namespace

TEST(sim_unix, whoever_waits_with_a_datagram_or_for_one_is_told_when_there_is_no_more_need_to) {
  std::size_t waited = 0;
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    crowd c(seed);
    for (int step = 0; step < 300; step++) {
      c.step();
      while (c.host.net.has_events(c.host.site)) c.host.deliver();
      for (crowd::member& each : c.all) {
        for (int i = 0; i < 4 && each.at->writing.is_drained(); i++) {
          waited++;
          ASSERT_EQ(c.send(each, 1), EAGAIN) << "seed " << seed;
        }
        for (int i = 0; i < 4 && each.at->reading.is_drained(); i++) ASSERT_EQ(c.receive(each), EAGAIN) << "seed " << seed;
      }
      while (c.host.net.has_events(c.host.site)) c.host.deliver();
    }
    while (!c.all.empty()) c.leave(0);
    c.host.net.check_invariants();
  }
  EXPECT_GT(waited, 10'000u);
}

TEST(sim_unix, a_byte_of_a_datagram_and_whom_it_is_for_are_in_the_sum) {
  std::set<std::uint64_t> all;
  for (const char* to : {"@a", "@b"}) {
    for (const char* text : {"text", "texT"}) {
      one_host w;
      endpoint* const sender = w.keep(w.sockets().unnamed_datagram(w.home));
      for (const char* name : {"@a", "@b"}) {
        endpoint* const made = w.keep(w.sockets().unnamed_datagram(w.home));
        ASSERT_TRUE(w.sockets().bind(*made, {.at = named(name)}));
      }
      const unix_address receiver = named(to);
      for (int i = 0; i < patience; i++) {
        if (w.sockets().send(*sender, std::as_bytes(std::span(text, 4)), &receiver)) break;
      }
      all.insert(w.net.trace_hash());
    }
  }
  EXPECT_EQ(all.size(), 4u);
}

// ---- a run -----------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t unix_run(std::uint64_t seed, const std::string& last) {
  one_host w(seed);
  endpoint* listener = w.listen("/run/a.sock");
  endpoint* client = w.connect("/run/a.sock");
  endpoint* server = listener != nullptr ? w.accept(*listener) : nullptr;
  if (client == nullptr || server == nullptr) return 0;
  for (int i = 0; i < 20; i++) {
    (void)w.write(*client, std::string(3'000, static_cast<char>('a' + i)));
    w.deliver();
    (void)w.read(*server);
  }
  (void)w.write(*client, last);
  (void)w.read(*server);
  return w.net.trace_hash();
}

}  // namespace

TEST(sim_unix, the_same_seed_is_the_same_run_and_another_byte_is_another) {
  std::set<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= 10; seed++) {
    const std::uint64_t one = unix_run(seed, "last");
    EXPECT_NE(one, 0u);
    EXPECT_EQ(unix_run(seed, "last"), one) << "seed " << seed;
    EXPECT_NE(unix_run(seed, "lasT"), one) << "seed " << seed;
    all.insert(one);
  }
  EXPECT_EQ(all.size(), 10u);
}

}  // namespace levity::detail
