// Two sites, driven by hand: what becomes of a connection when packets, answers and whole sites are lost.

#include "reactor/sim/sim_tcp.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t s = 1'000 * ms;
constexpr int patience = 12;  // attempts; the network says "not now" one time in eight, or less, for nothing

address at(std::string_view text) { return *address::parse(text); }

struct outcome {
  std::string bytes;
  io_failure end = io_failure::would_block;  // what ended it
};

struct two_sites {
  explicit two_sites(std::uint64_t seed = 1)
      : net(seed), a(net.add_site({at("10.0.0.1:0")})), b(net.add_site({at("10.0.0.2:0")})), of_a(net, a), of_b(net, b) {}
  two_sites(const two_sites&) = delete;
  two_sites& operator=(const two_sites&) = delete;
  ~two_sites() {
    while (!open.empty()) close(open.back());
  }

  void deliver() {
    net.deliver_pending(a, *batch);
    net.deliver_pending(b, *batch);
    net.check_invariants();
  }

  // Everything that is due within so much time, step by step.
  void pass(std::int64_t ns) {
    const std::int64_t end_ns = net.now_ns() + ns;
    for (;;) {
      const std::int64_t next_ns = net.next_arrival_ns();
      if (next_ns > end_ns) break;
      net.advance(next_ns);
      deliver();
    }
    net.advance(end_ns);
    deliver();
  }

  void cut_to(sim_network::site_number site, bool cut = true) { net.link(site == b ? a : b, site).cut = cut; }
  void cut(bool all = true) {
    cut_to(a, all);
    cut_to(b, all);
  }
  void heal() { cut(false); }

  endpoint* keep(io_result<endpoint*> made) {
    if (!made) return nullptr;
    open.push_back(*made);
    return *made;
  }
  endpoint* listen(std::string_view where = "0.0.0.0:7000", bool ipv6_only = false) {
    return keep(tcp.listen(b, of_b, {.at = at(where), .backlog = 16, .ipv6_only = ipv6_only}));
  }
  endpoint* start(std::string_view where = "10.0.0.2:7000") { return keep(tcp.start_connect(a, of_a, at(where))); }
  endpoint* accept(endpoint& listener) {
    for (int i = 0; i < patience; i++) {
      if (endpoint* got = keep(tcp.try_accept(listener, of_b)); got != nullptr) return got;
    }
    return nullptr;
  }
  // Nothing: it is connected.
  std::optional<io_failure> connected(endpoint& client) {
    for (int i = 0; i < patience; i++) {
      const auto done = tcp.finish_connect(client);
      if (done) return {};
      if (done.error().failure() != io_failure::would_block) return done.error().failure();
    }
    return io_failure::would_block;
  }
  // Until no more goes.
  outcome read(endpoint& from) {
    outcome got;
    std::array<std::byte, 3000> chunk{};
    for (int i = 0; i < patience; i++) {
      const auto moved = tcp.try_read(from, chunk);
      if (moved) {
        net.check_invariants();
        got.bytes.append(reinterpret_cast<const char*>(chunk.data()), *moved);
        i = 0;
      } else if (moved.error().failure() != io_failure::would_block) {
        got.end = moved.error().failure();
        break;
      }
    }
    return got;
  }
  std::size_t write(endpoint& to, std::string text) {
    std::size_t done = 0;
    for (int i = 0; i < patience && done < text.size(); i++) {
      const iovec piece{text.data() + done, text.size() - done};
      const auto moved = tcp.try_write(to, {&piece, 1});
      net.check_invariants();
      if (moved) {
        done += *moved;
        i = 0;
      } else if (moved.error().failure() != io_failure::would_block) {
        break;
      }
    }
    return done;
  }
  void close(endpoint* which, bool abort = false) {
    std::erase(open, which);
    tcp.close(*which, abort);
    net.check_invariants();
  }
  void set(endpoint& of, int level, int option, int value) { EXPECT_TRUE(tcp.set_option(of, level, option, value)); }
  // After `idle` seconds, every `idle` seconds, three times.
  void keep_alive(endpoint& of, int idle) {
    set(of, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    set(of, IPPROTO_TCP, TCP_KEEPINTVL, idle);
    set(of, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(of, SOL_SOCKET, SO_KEEPALIVE, 1);
  }
  void lose_power() {
    net.sever(b, true);
    net.check_invariants();
  }
  void restart() {
    net.restore(b);
    net.check_invariants();
  }

  sim_network net;
  sim_tcp& tcp = net.tcp();
  sim_network::site_number a;
  sim_network::site_number b;
  sim_reactor of_a;
  sim_reactor of_b;
  std::unique_ptr<ready_batch> batch = std::make_unique<ready_batch>();
  std::vector<endpoint*> open;
};

struct connection : two_sites {
  explicit connection(std::uint64_t seed = 1) : two_sites(seed), listener(listen()), client(start()) {
    pass(10 * ms);
    server = accept(*listener);
    EXPECT_NE(server, nullptr);
    EXPECT_EQ(connected(*client), std::nullopt);
  }
  // The client's window is full, what it has sent lies unread at the server, and it wants to write more.
  void fill() {
    set(*client, SOL_SOCKET, SO_SNDBUF, 1000);
    EXPECT_EQ(write(*client, std::string(1500, 'x')), 1000U);
    pass(10 * ms);
    EXPECT_EQ(write(*client, "x"), 0U);
  }

  endpoint* listener;
  endpoint* client;
  endpoint* server = nullptr;
};

}  // namespace

// ---- what is sent last -----------------------------------------------------------------------------------------------

TEST(sim_tcp, bytes_and_end_that_were_lost_come_although_their_sender_has_closed) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    connection c(seed);
    ASSERT_TRUE(c.tcp.shutdown_write(*c.server));
    c.pass(10 * ms);
    ASSERT_EQ(c.read(*c.client).end, io_failure::eof);
    c.cut_to(c.b);
    ASSERT_EQ(c.write(*c.client, "hello"), 5U);
    c.close(c.client);  // both sides have ended
    c.pass(1 * s);
    c.heal();
    c.pass(10 * s);
    const outcome got = c.read(*c.server);
    EXPECT_EQ(got.bytes, "hello") << "seed " << seed;
    EXPECT_EQ(got.end, io_failure::eof) << "seed " << seed;
    c.close(c.server);
    c.pass(10 * s);
    EXPECT_EQ(c.tcp.sockets(), 1U) << "all but the listener are gone";
  }
}

TEST(sim_tcp, a_stream_that_is_never_empty_holds_no_more_than_its_window) {
  connection c;
  c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 50'000);
  ASSERT_EQ(c.write(*c.client, std::string(50'000, 'x')), 50'000U);
  c.pass(1 * s);
  std::vector<std::byte> room(10'000);
  std::size_t passed = 0;
  while (passed < 4'000'000) {
    const auto part = c.tcp.try_read(*c.server, room);
    c.pass(10 * ms);  // asks for the invariants
    if (part) passed += c.write(*c.client, std::string(*part, 'x'));
    c.pass(10 * ms);
  }
}

// ---- handshakes ------------------------------------------------------------------------------------------------------

TEST(sim_tcp, who_hears_no_answer_to_its_request_gives_up_after_127_seconds) {
  two_sites w;
  endpoint* listener = w.listen();
  w.cut_to(w.a);
  endpoint* client = w.start();
  w.pass(120 * s);
  EXPECT_EQ(w.connected(*client), io_failure::would_block);
  EXPECT_EQ(w.accept(*listener), nullptr);
  w.pass(10 * s);
  EXPECT_EQ(w.connected(*client), io_failure::timed_out);
  w.heal();
  w.pass(70 * s);
  EXPECT_EQ(w.accept(*listener), nullptr);
  w.close(client);
  w.pass(70 * s);
  EXPECT_EQ(w.tcp.sockets(), 1U);
}

TEST(sim_tcp, an_answer_that_was_lost_comes_with_the_next_request) {
  two_sites w;
  endpoint* listener = w.listen();
  w.cut_to(w.a);
  endpoint* client = w.start();
  w.pass(2 * s);
  w.heal();
  w.pass(2 * s);
  EXPECT_EQ(w.connected(*client), std::nullopt);
  EXPECT_NE(w.accept(*listener), nullptr);
  EXPECT_EQ(w.accept(*listener), nullptr) << "one connection, however often it was asked for";
}

TEST(sim_tcp, an_answer_that_was_lost_is_sent_again_by_who_has_answered) {
  two_sites w;
  endpoint* listener = w.listen();
  w.cut();
  endpoint* client = w.start();
  w.pass(500 * ms);
  w.cut_to(w.b, false);
  w.pass(1 * s);  // the request came after 1 s, and would be made again after 3 s
  w.heal();
  w.pass(480 * ms);
  EXPECT_EQ(w.connected(*client), io_failure::would_block);
  w.pass(40 * ms);
  EXPECT_EQ(w.connected(*client), std::nullopt);
  w.pass(1 * ms);
  EXPECT_NE(w.accept(*listener), nullptr);
}

TEST(sim_tcp, a_connection_whose_handshake_has_not_ended_is_not_accepted) {
  two_sites w;
  endpoint* listener = w.listen();
  endpoint* client = w.start();
  w.cut_to(w.b);  // the request is on the wire
  w.pass(1 * s);
  EXPECT_EQ(w.connected(*client), std::nullopt);
  EXPECT_EQ(w.accept(*listener), nullptr);
  w.pass(70 * s);
  w.heal();
  w.pass(70 * s);
  EXPECT_EQ(w.accept(*listener), nullptr) << "the server has forgotten it";
  EXPECT_EQ(w.read(*client).end, io_failure::would_block) << "and has told nobody";
  EXPECT_EQ(w.write(*client, "x"), 1U);
  w.pass(1 * s);
  EXPECT_EQ(w.read(*client).end, io_failure::reset);
}

TEST(sim_tcp, the_first_bytes_of_a_client_end_a_handshake_too) {
  two_sites w;
  endpoint* listener = w.listen();
  endpoint* client = w.start();
  w.cut_to(w.b);
  w.pass(500 * ms);
  EXPECT_EQ(w.accept(*listener), nullptr);
  w.heal();
  EXPECT_EQ(w.write(*client, "hi"), 2U);
  w.pass(10 * ms);
  endpoint* server = w.accept(*listener);
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(w.read(*server).bytes, "hi");
}

TEST(sim_tcp, who_is_half_connected_to_a_listener_that_closes_is_reset) {
  two_sites w;
  endpoint* listener = w.listen();
  endpoint* client = w.start();
  w.cut_to(w.b);
  w.pass(100 * ms);
  EXPECT_EQ(w.connected(*client), std::nullopt);
  w.close(listener);
  w.heal();
  w.pass(2 * s);
  EXPECT_EQ(w.read(*client).end, io_failure::reset);
  w.close(client);
  w.pass(70 * s);
  EXPECT_EQ(w.tcp.sockets(), 0U);
}

TEST(sim_tcp, who_still_connects_to_a_listener_that_closes_is_refused) {
  two_sites w;
  endpoint* listener = w.listen();
  w.cut_to(w.a);
  endpoint* client = w.start();
  w.pass(100 * ms);
  w.close(listener);
  w.heal();
  w.pass(2 * s);
  EXPECT_EQ(w.connected(*client), io_failure::refused);
}

TEST(sim_tcp, who_closes_while_it_connects_leaves_nothing) {
  for (const std::int64_t later_ns : {std::int64_t{0}, std::int64_t{120'000}, 1 * ms}) {
    two_sites w;
    endpoint* listener = w.listen();
    endpoint* client = w.start();
    w.pass(later_ns);
    w.close(client);
    w.pass(70 * s);
    if (endpoint* server = w.accept(*listener)) w.close(server);
    w.pass(70 * s);
    EXPECT_EQ(w.tcp.sockets(), 1U) << "after " << later_ns << " ns";
  }
}

// ---- what arrives late -----------------------------------------------------------------------------------------------

TEST(sim_tcp, who_writes_to_a_peer_whose_reset_was_lost_is_reset) {
  connection c;
  c.cut_to(c.b);
  c.close(c.client, true);
  c.heal();
  c.pass(100 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
  EXPECT_EQ(c.write(*c.server, "x"), 1U);
  c.pass(1 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::reset);
  c.close(c.server);
  EXPECT_EQ(c.tcp.sockets(), 1U);
}

TEST(sim_tcp, an_answer_by_reset_that_is_lost_is_asked_for) {
  connection c;
  c.cut();
  c.close(c.client, true);
  c.cut_to(c.a, false);
  c.cut_to(c.b);
  EXPECT_EQ(c.write(*c.server, "x"), 1U);  // arrives at who has closed; the answer does not come
  c.pass(1 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
  c.heal();
  c.pass(5 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::reset);
}

TEST(sim_tcp, who_has_given_up_reads_nothing_more_and_answers_by_reset) {
  connection c;
  c.cut();
  EXPECT_EQ(c.write(*c.client, "lost"), 4U);
  c.pass(900 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  c.pass(300 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::timed_out);
  c.heal();
  EXPECT_EQ(c.write(*c.server, "late"), 4U);
  c.pass(1 * s);
  const outcome got = c.read(*c.client);
  EXPECT_EQ(got.bytes, "");
  EXPECT_EQ(got.end, io_failure::timed_out);
  const outcome other = c.read(*c.server);
  EXPECT_EQ(other.bytes, "");
  EXPECT_EQ(other.end, io_failure::reset);
}

// ---- acknowledgements ------------------------------------------------------------------------------------------------

TEST(sim_tcp, room_whose_news_were_lost_comes_with_the_next_answer) {
  connection c;
  c.fill();
  c.cut_to(c.a);
  EXPECT_EQ(c.read(*c.server).bytes.size(), 1000U);
  c.pass(1 * s);
  EXPECT_EQ(c.write(*c.client, "x"), 0U);
  c.heal();
  c.pass(5 * s);
  EXPECT_EQ(c.write(*c.client, "x"), 1U);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
}

TEST(sim_tcp, room_whose_news_were_lost_comes_with_bytes_of_the_other_direction) {
  connection c;
  c.fill();
  c.cut_to(c.a);
  EXPECT_EQ(c.read(*c.server).bytes.size(), 1000U);
  c.heal();
  EXPECT_EQ(c.write(*c.server, "y"), 1U);
  c.pass(10 * ms);  // far less than a timeout
  EXPECT_EQ(c.write(*c.client, std::string(1000, 'x')), 1000U);
}

TEST(sim_tcp, room_does_not_wait_for_bytes_that_were_lost) {
  connection c;
  c.fill();
  c.cut_to(c.a);
  EXPECT_EQ(c.write(*c.server, "y"), 1U);  // sent again in 200 ms
  c.heal();
  EXPECT_EQ(c.read(*c.server).bytes.size(), 1000U);
  c.pass(10 * ms);
  EXPECT_EQ(c.read(*c.client).bytes, "");
  EXPECT_EQ(c.write(*c.client, "x"), 1U);
}

TEST(sim_tcp, whose_bytes_are_never_acknowledged_gives_up_and_not_who_has_read_them) {
  connection c;
  c.cut_to(c.a);
  EXPECT_EQ(c.write(*c.client, "x"), 1U);
  c.pass(10 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "x");
  c.pass(900 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  c.pass(300 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::timed_out);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
  c.heal();
  EXPECT_EQ(c.write(*c.server, "y"), 1U);
  c.pass(1 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::reset);
}

// ---- when what was lost is sent again --------------------------------------------------------------------------------

namespace {

// 20 ms each way, always.
struct far_connection : connection {
  explicit far_connection(std::uint64_t seed = 1) : connection(seed) {
    for (sim_link* each : {&net.link(a, b), &net.link(b, a)}) {
      each->latency_ns = 20 * ms;
      each->jitter_ns = 0;
    }
  }
};

}  // namespace

TEST(sim_tcp, a_single_packet_is_sent_again_after_its_timeout_the_same_again_and_twice_as_long_each_time) {
  // Timeouts of 240 ms. Who heals the link before the last of these, and after the one before it, has it 20 ms after that.
  const std::array<std::int64_t, 5> again_ns{240 * ms, 480 * ms, 960 * ms, 1920 * ms, 3840 * ms};
  for (std::size_t i = 0; i < again_ns.size(); i++) {
    far_connection c;
    c.cut_to(c.b);
    EXPECT_EQ(c.write(*c.client, "x"), 1U);
    c.pass(again_ns[i] - 10 * ms);
    c.heal();
    c.pass(29 * ms);
    EXPECT_EQ(c.read(*c.server).bytes, "") << again_ns[i];
    c.pass(2 * ms);
    EXPECT_EQ(c.read(*c.server).bytes, "x") << again_ns[i];
  }
}

TEST(sim_tcp, what_comes_behind_a_lost_packet_has_it_sent_again_a_round_trip_later) {
  far_connection c;
  c.cut_to(c.b);
  EXPECT_EQ(c.write(*c.client, "a"), 1U);
  c.heal();
  c.pass(1 * ms);
  EXPECT_EQ(c.write(*c.client, "b"), 1U);
  c.pass(69 * ms);  // a round trip and a quarter, and the way
  EXPECT_EQ(c.read(*c.server).bytes, "");
  c.pass(2 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "ab");
}

TEST(sim_tcp, all_that_was_lost_before_a_packet_that_comes_is_sent_again_at_once) {
  far_connection c;
  c.cut_to(c.b);
  for (const char* each : {"a", "b"}) {
    EXPECT_EQ(c.write(*c.client, each), 1U);
    c.pass(1 * ms);
  }
  c.heal();
  EXPECT_EQ(c.write(*c.client, "c"), 1U);
  c.pass(69 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "");
  c.pass(2 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "abc");
}

TEST(sim_tcp, who_has_waited_for_a_timeout_sends_the_next_packet_when_the_first_has_been_heard_of) {
  far_connection c;
  c.cut_to(c.b);
  EXPECT_EQ(c.write(*c.client, "a"), 1U);
  c.pass(50 * ms);
  EXPECT_EQ(c.write(*c.client, "b"), 1U);
  c.pass(950 * ms);
  c.heal();
  c.pass(930 * ms);  // "a" is sent again after 1.92 s
  EXPECT_EQ(c.read(*c.server).bytes, "");
  c.pass(20 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "a");
  c.pass(25 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "");
  c.pass(10 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "b");
}

TEST(sim_tcp, the_last_of_several_packets_is_probed_for) {
  far_connection c;
  EXPECT_EQ(c.write(*c.client, "a"), 1U);
  c.pass(1 * ms);
  c.cut_to(c.b);
  EXPECT_EQ(c.write(*c.client, "b"), 1U);
  c.heal();
  c.pass(107 * ms);  // two round trips, two ticks, and the way
  EXPECT_EQ(c.read(*c.server).bytes, "a");
  c.pass(2 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "b");
}

TEST(sim_tcp, what_is_written_at_one_time_is_one_packet) {
  unsigned lost = 0;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    far_connection c(seed);
    c.net.link(c.a, c.b).lost_per_million = 300'000;
    EXPECT_EQ(c.write(*c.client, "a"), 1U);
    EXPECT_EQ(c.write(*c.client, "b"), 1U);
    c.pass(21 * ms);
    const std::string got = c.read(*c.server).bytes;
    EXPECT_TRUE(got.empty() || got == "ab") << got;
    lost += got.empty() ? 1 : 0;
  }
  EXPECT_GT(lost, 15U);
  EXPECT_LT(lost, 45U);
}

TEST(sim_tcp, of_many_packets_it_is_likelier_that_one_is_lost) {
  unsigned lost = 0;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    far_connection c(seed);
    c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 1 << 20);
    c.net.link(c.a, c.b).lost_per_million = 100'000;
    const std::string sent(10 * 1448, 'x');
    EXPECT_EQ(c.write(*c.client, sent), sent.size());
    c.pass(21 * ms);
    lost += c.read(*c.server).bytes.size() < sent.size() ? 1 : 0;
  }
  EXPECT_GT(lost, 50U);  // 65 of 100, and some more where a write was cut short
  EXPECT_LT(lost, 90U);
}

TEST(sim_tcp, a_large_answer_takes_three_round_trips) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    far_connection c(seed);
    c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 1 << 20);
    EXPECT_EQ(c.write(*c.client, std::string(65'536, 'x')), 65'536U);
    c.pass(21 * ms);
    std::size_t got = c.read(*c.server).bytes.size();
    EXPECT_GT(got, 5U * 1448) << "seed " << seed;
    EXPECT_LE(got, 10U * 1448);
    c.pass(40 * ms);
    got += c.read(*c.server).bytes.size();
    EXPECT_GT(got, 20U * 1448) << "seed " << seed;
    EXPECT_LE(got, 30U * 1448);
    c.pass(40 * ms);
    got += c.read(*c.server).bytes.size();
    EXPECT_EQ(got, 65'536U) << "seed " << seed;
  }
}

TEST(sim_tcp, who_hears_nothing_sends_no_more_than_a_window) {
  far_connection c;
  c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 1 << 20);
  c.cut_to(c.a);
  EXPECT_EQ(c.write(*c.client, std::string(65'536, 'x')), 65'536U);
  c.pass(10 * s);
  std::size_t got = c.read(*c.server).bytes.size();
  EXPECT_GT(got, 0U);
  EXPECT_LE(got, 10U * 1448);
  c.heal();
  c.pass(30 * s);
  got += c.read(*c.server).bytes.size();
  EXPECT_EQ(got, 65'536U);
}

TEST(sim_tcp, who_has_closed_and_hears_nothing_gives_up_what_it_has_not_sent) {
  far_connection c;
  c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 1 << 20);
  c.cut_to(c.a);
  EXPECT_EQ(c.write(*c.client, std::string(65'536, 'x')), 65'536U);
  c.close(c.client);
  c.pass(1200 * s);
  EXPECT_LE(c.read(*c.server).bytes.size(), 10U * 1448);
  c.close(c.server);
  c.pass(10 * s);
  EXPECT_EQ(c.tcp.sockets(), 1U);
}

TEST(sim_tcp, a_narrow_link_is_never_idle_while_there_is_something_to_send) {
  far_connection c;
  c.set(*c.client, SOL_SOCKET, SO_SNDBUF, 1 << 20);
  c.net.link(c.a, c.b).bytes_per_second = 200'000;  // ten packets take longer than a round trip
  EXPECT_EQ(c.write(*c.client, std::string(200'000, 'x')), 200'000U);
  c.pass(1000 * ms);
  std::size_t got = c.read(*c.server).bytes.size();
  EXPECT_LT(got, 200'000U);
  c.pass(150 * ms);  // headers, and the way
  got += c.read(*c.server).bytes.size();
  EXPECT_EQ(got, 200'000U);
}

// ---- a window that is full -------------------------------------------------------------------------------------------

TEST(sim_tcp, who_waits_for_room_learns_that_its_peer_has_lost_power) {
  connection c;
  c.fill();
  c.lose_power();
  c.pass(10 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  EXPECT_EQ(c.write(*c.client, "x"), 0U);
  c.restart();
  c.pass(130 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::reset);
}

TEST(sim_tcp, who_waits_for_room_without_a_path_gives_up) {
  connection c;
  c.fill();
  c.cut();
  c.pass(900 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  c.pass(300 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::timed_out);
}

TEST(sim_tcp, who_waits_for_room_at_a_peer_that_answers_waits_on) {
  connection c;
  c.fill();
  c.pass(3600 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  EXPECT_EQ(c.read(*c.server).bytes.size(), 1000U);
  c.pass(1 * s);
  EXPECT_EQ(c.write(*c.client, "x"), 1U);
}

// ---- options ---------------------------------------------------------------------------------------------------------

TEST(sim_tcp, who_keeps_alive_gives_up_on_a_peer_that_is_cut_off) {
  connection c;
  c.keep_alive(*c.server, 10);
  c.cut();
  c.pass(35 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
  c.pass(10 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::timed_out);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block) << "it does not keep alive";
}

TEST(sim_tcp, who_keeps_alive_bears_a_peer_that_is_only_silent) {
  connection c;
  c.keep_alive(*c.server, 10);
  c.pass(3600 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
}

TEST(sim_tcp, who_keeps_alive_is_reset_by_a_peer_that_has_started_anew) {
  connection c;
  c.keep_alive(*c.client, 10);
  c.lose_power();
  c.restart();
  c.pass(5 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  c.pass(10 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::reset);
}

TEST(sim_tcp, a_silence_ends_with_its_limit) {
  connection c;
  c.set(*c.server, IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
  c.keep_alive(*c.server, 10);
  c.cut();
  c.pass(29 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::would_block);
  c.pass(2 * s);
  EXPECT_EQ(c.read(*c.server).end, io_failure::timed_out);
}

TEST(sim_tcp, bytes_that_are_not_acknowledged_in_the_time_of_their_user_end_a_connection) {
  for (const bool arrives : {false, true}) {
    connection c;
    c.set(*c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 5'000);
    c.cut_to(arrives ? c.a : c.b);
    EXPECT_EQ(c.write(*c.client, "x"), 1U);
    c.pass(4 * s);
    EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
    c.pass(2 * s);
    EXPECT_EQ(c.read(*c.client).end, io_failure::timed_out);
  }
}

TEST(sim_tcp, a_full_window_ends_a_connection_in_the_time_of_its_user) {
  connection c;
  c.set(*c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 5'000);
  c.fill();
  c.pass(4 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::would_block);
  c.pass(2 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::timed_out);
}

TEST(sim_tcp, options_of_a_severed_socket_reach_nobody) {
  connection c;
  c.net.sever(c.b, false);
  c.set(*c.server, SOL_SOCKET, SO_RCVBUF, 1);
  EXPECT_EQ(c.write(*c.client, std::string(100, 'x')), 100U);
}

TEST(sim_tcp, who_is_killed_while_it_connects_leaves_nothing) {
  two_sites w;
  endpoint* listener = w.listen();
  w.cut_to(w.a);
  endpoint* client = w.start();
  for (const std::int64_t later_ns : {std::int64_t{0}, 1 * ms}) {  // before the request has come, and after it
    w.pass(later_ns);
    w.net.sever(w.a, false);
    w.net.check_invariants();
    w.close(client);
    w.net.restore(w.a);
    client = w.start();
  }
  w.net.sever(w.a, true);
  w.net.check_invariants();
  w.close(client);
  w.pass(70 * s);
  EXPECT_EQ(w.accept(*listener), nullptr);
  EXPECT_EQ(w.tcp.sockets(), 1U);
}

// ---- loss of power ---------------------------------------------------------------------------------------------------

TEST(sim_tcp, nothing_of_the_life_before_a_loss_of_power_is_sent_but_resets) {
  two_sites w;
  endpoint* listener = w.listen();
  std::vector<endpoint*> clients;
  for (int i = 0; i < 4; i++) {
    clients.push_back(w.start());
    w.pass(10 * ms);
  }
  endpoint* closed = w.accept(*listener);
  endpoint* killed = w.accept(*listener);
  ASSERT_NE(closed, nullptr);
  ASSERT_NE(killed, nullptr);  // the other two wait in the queue
  w.cut_to(w.a);
  w.close(closed);
  w.net.sever(w.b, false);
  w.close(killed);
  w.close(listener);
  w.lose_power();
  w.heal();
  w.restart();
  w.pass(1000 * s);
  for (endpoint* each : clients) EXPECT_EQ(w.read(*each).end, io_failure::would_block);
  for (endpoint* each : clients) EXPECT_EQ(w.write(*each, "x"), 1U);
  w.pass(10 * s);
  for (endpoint* each : clients) {
    const outcome got = w.read(*each);
    EXPECT_EQ(got.bytes, "");
    EXPECT_EQ(got.end, io_failure::reset);
    w.close(each);
  }
  EXPECT_EQ(w.tcp.sockets(), 0U);
}

TEST(sim_tcp, room_that_comes_to_a_socket_without_power_is_answered_by_a_reset) {
  connection c;
  EXPECT_EQ(c.write(*c.server, "hello"), 5U);
  c.pass(10 * ms);
  c.lose_power();
  c.restart();
  EXPECT_EQ(c.read(*c.client).bytes, "hello");
  c.pass(1 * s);
  EXPECT_EQ(c.read(*c.client).end, io_failure::reset);
}

TEST(sim_tcp, what_a_killed_process_does_changes_neither_the_trace_nor_the_draws) {
  const auto run = [](bool does) {
    connection c(5);
    c.write(*c.client, "hello");
    c.pass(10 * ms);
    c.net.sever(c.b, false);
    if (does) {
      c.net.deliver_pending(c.b, *c.batch);
      c.read(*c.server);
      c.write(*c.server, "from the dead");
      c.set(*c.server, SOL_SOCKET, SO_SNDBUF, 1);
      c.net.draw_for_program(c.b);
      c.close(c.server);
      c.close(c.listener);
    }
    c.pass(1 * s);
    c.net.draw(1 << 20);
    return c.net.trace_hash();
  };
  // Closed at the end of either run: nothing of the site is left to be told of.
  EXPECT_EQ(run(true), run(false));
}

TEST(sim_tcp, what_one_site_draws_is_nothing_to_another) {
  const auto run = [](bool draws) {
    two_sites w(3);
    if (draws) w.net.draw_for_program(w.a);
    return w.net.draw_for_program(w.b);
  };
  EXPECT_EQ(run(true), run(false));
  two_sites w(3);
  const std::uint64_t first = w.net.draw_for_program(w.b);
  w.lose_power();
  w.restart();
  EXPECT_NE(w.net.draw_for_program(w.b), first) << "another life";
  EXPECT_NE(w.net.draw_for_program(w.a), first);
}

// ---- what is left ----------------------------------------------------------------------------------------------------

TEST(sim_tcp, the_end_of_a_peer_leaves_nothing_of_a_killed_socket) {
  connection c;
  c.net.sever(c.b, false);
  c.close(c.server);
  c.close(c.listener);
  c.pass(10 * ms);
  EXPECT_EQ(c.read(*c.client).end, io_failure::eof);
  c.close(c.client);
  c.pass(1 * s);
  EXPECT_EQ(c.tcp.sockets(), 0U);
}

TEST(sim_tcp, an_orphan_whose_peer_is_gone_goes_too_although_the_reset_was_lost) {
  connection c;
  c.close(c.client);
  c.pass(10 * ms);
  c.cut_to(c.a);
  c.close(c.server, true);
  c.pass(1 * s);
  EXPECT_EQ(c.tcp.sockets(), 1U);
}

TEST(sim_tcp, two_who_have_closed_leave_nothing_although_one_was_not_told_of_a_reset) {
  connection c;
  c.cut_to(c.b);
  c.close(c.client, true);  // the reset is lost
  c.heal();
  EXPECT_EQ(c.tcp.sockets(), 3U) << "somebody has to answer the server";
  c.close(c.server);
  EXPECT_EQ(c.tcp.sockets(), 1U);
}

// ---- addresses and links ---------------------------------------------------------------------------------------------

TEST(sim_tcp, an_event_of_a_closed_socket_may_reach_the_next_one_as_a_harmless_ready) {
  int woken = 0;
  constexpr int runs = 200;
  for (int seed = 1; seed <= runs; seed++) {
    connection w(static_cast<std::uint64_t>(seed));
    w.close(w.server);
    w.pass(1 * s);
    ASSERT_TRUE(w.client->hung_up.load(std::memory_order_relaxed));
    w.close(w.client);
    endpoint* next = w.start();
    next->reading.clear();
    w.deliver();
    if (!next->reading.is_drained()) woken++;
    EXPECT_FALSE(next->hung_up.load(std::memory_order_relaxed)) << "seed " << seed;
    w.pass(1 * s);
    EXPECT_EQ(w.connected(*next), std::nullopt) << "seed " << seed;
  }
  EXPECT_GT(woken, 0);
  EXPECT_LT(woken, runs / 2);
}

TEST(sim_tcp, a_listener_on_every_ipv6_address_takes_ipv4_unless_it_says_no) {
  two_sites w;
  endpoint* both = w.listen("[::]:7000");
  ASSERT_NE(both, nullptr);
  EXPECT_EQ(w.listen("0.0.0.0:7000"), nullptr);
  EXPECT_NE(w.listen("[::]:7001", true), nullptr);
  endpoint* client = w.start("10.0.0.2:7000");
  endpoint* refused = w.start("10.0.0.2:7001");
  w.pass(10 * ms);
  EXPECT_EQ(w.connected(*client), std::nullopt);
  EXPECT_NE(w.accept(*both), nullptr);
  EXPECT_EQ(w.connected(*refused), io_failure::refused);
  EXPECT_NE(w.listen("0.0.0.0:7001"), nullptr);
  EXPECT_EQ(w.listen("[::]:7001"), nullptr);
}

TEST(sim_tcp, a_link_that_is_made_wide_forgets_how_narrow_it_was) {
  connection c;
  endpoint* other = c.start();
  c.pass(10 * ms);
  endpoint* other_server = c.accept(*c.listener);
  ASSERT_NE(other_server, nullptr);
  sim_link& by = c.net.link(c.a, c.b);
  by.bytes_per_second = 100;
  EXPECT_GT(c.write(*c.client, std::string(1000, 'x')), 0U);  // ten seconds
  c.pass(100 * ms);
  EXPECT_EQ(c.read(*c.server).bytes, "");
  by.bytes_per_second = 1'000'000'000;
  EXPECT_EQ(c.write(*other, "x"), 1U);
  c.pass(10 * ms);
  EXPECT_EQ(c.read(*other_server).bytes, "x");
}

// ---- all of it -------------------------------------------------------------------------------------------------------

namespace {

// One end of a connection, which knows what it has written, and checks what it reads against what the other has.
struct stream_end {
  endpoint* at = nullptr;
  std::string written;
  std::size_t read = 0;
  bool ended = false;  // its own side
  bool saw_end = false;
  std::optional<io_failure> failed;
};

struct pair_of_ends {
  stream_end of[2];
};

void read_into(two_sites& w, stream_end& to, const stream_end& from) {
  if (to.at == nullptr || to.saw_end || to.failed) return;
  const outcome got = w.read(*to.at);
  ASSERT_LE(to.read + got.bytes.size(), from.written.size()) << "more than was written";
  ASSERT_EQ(got.bytes, from.written.substr(to.read, got.bytes.size())) << "after " << to.read << " bytes";
  to.read += got.bytes.size();
  if (got.end == io_failure::eof) {
    ASSERT_EQ(to.read, from.written.size()) << "the end stands for all bytes";
    to.saw_end = true;
  } else if (got.end != io_failure::would_block) {
    to.failed = got.end;
  }
}

void write_from(two_sites& w, stream_end& from, std::size_t size, rng& random) {
  if (from.at == nullptr || from.ended || from.failed) return;
  std::string text(size, '\0');
  for (char& each : text) each = static_cast<char>(random());
  from.written += text.substr(0, w.write(*from.at, text));
}

void random_action(two_sites& w, pair_of_ends& chosen, rng& random, std::size_t most) {
  const std::size_t which = random.below(2);
  stream_end& one = chosen.of[which];
  stream_end& other = chosen.of[1 - which];
  switch (random.below(24)) {
    case 0: w.cut_to(random.below(2) == 0 ? w.a : w.b); break;
    case 1:
    case 2: w.heal(); break;
    case 3: w.net.link(w.a, w.b).lost_per_million = random.below(2) == 0 ? 0 : 300'000; break;
    case 4: w.net.link(w.b, w.a).lost_per_million = random.below(2) == 0 ? 0 : 300'000; break;
    case 5:
      if (random.below(8) == 0) w.pass(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(100 * s))));
      break;
    case 6:
      if (one.at == nullptr || one.failed || random.below(4) != 0) break;
      if (w.tcp.shutdown_write(*one.at)) one.ended = true;
      break;
    case 7:
      if (one.at == nullptr || random.below(8) != 0) break;
      one.ended = true;
      w.close(std::exchange(one.at, nullptr), random.below(2) == 0);
      break;
    default:
      if (random.below(2) == 0) {
        write_from(w, one, 1 + random.below(most), random);
      } else {
        read_into(w, one, other);
      }
  }
  w.pass(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(random.below(4) == 0 ? s : ms))));
}

void wild_run(std::uint64_t seed) {
  two_sites w(seed);
  rng random(seed * 2 + 1);
  endpoint* listener = w.listen();
  std::vector<pair_of_ends> pairs(3);
  for (pair_of_ends& each : pairs) {
    each.of[0].at = w.start();
    w.pass(10 * ms);
    each.of[1].at = w.accept(*listener);
    ASSERT_NE(each.of[1].at, nullptr);
    ASSERT_EQ(w.connected(*each.of[0].at), std::nullopt);
  }
  const auto keep_all_alive = [&] {
    for (pair_of_ends& each : pairs) {
      for (stream_end& one : each.of) {
        if (one.at != nullptr) w.keep_alive(*one.at, 10);
      }
    }
  };
  if (seed % 2 == 0) keep_all_alive();
  // Over a long way more is sent than may be on it.
  const bool is_far = seed % 3 == 0;
  const std::size_t most = is_far ? 60'000 : 3000;
  if (is_far) w.net.link(w.a, w.b).latency_ns = w.net.link(w.b, w.a).latency_ns = 20 * ms;
  if (seed % 9 == 0) w.net.link(w.a, w.b).bytes_per_second = 300'000;
  std::vector<endpoint*> late;
  for (int i = 0; i < 200; i++) {
    random_action(w, pairs[random.below(pairs.size())], random, most);
    if (testing::Test::HasFatalFailure()) return;
    if (i % 50 == 25) late.push_back(w.start());
  }

  w.heal();
  w.net.link(w.a, w.b).lost_per_million = 0;
  w.net.link(w.b, w.a).lost_per_million = 0;
  keep_all_alive();
  for (pair_of_ends& each : pairs) {
    for (stream_end& one : each.of) write_from(w, one, 10, random);
  }
  for (int i = 0; i < 80; i++) {
    for (pair_of_ends& each : pairs) {
      read_into(w, each.of[0], each.of[1]);
      read_into(w, each.of[1], each.of[0]);
      if (testing::Test::HasFatalFailure()) return;
      if (i % 2 == 0 && i < 20) {
        for (stream_end& one : each.of) write_from(w, one, 10, random);
      }
    }
    w.pass(5 * s);
  }
  for (endpoint* each : late) EXPECT_NE(w.connected(*each), io_failure::would_block) << "it waits for ever to connect";
  for (const pair_of_ends& each : pairs) {
    for (std::size_t i = 0; i < 2; i++) {
      const stream_end& one = each.of[i];
      const stream_end& other = each.of[1 - i];
      if (one.at == nullptr || one.saw_end || one.failed) continue;
      EXPECT_NE(other.at, nullptr) << "it waits for ever for who has closed";
      EXPECT_FALSE(other.failed) << "it waits for ever for who has failed";
      EXPECT_FALSE(other.ended) << "it waits for ever for an end";
      EXPECT_EQ(one.read, other.written.size()) << "it waits for ever for bytes";
    }
  }
  while (!w.open.empty()) w.close(w.open.back());
  w.pass(1000 * s);
  EXPECT_EQ(w.tcp.sockets(), 0U);
}

}  // namespace

TEST(sim_tcp, no_byte_is_lost_and_nobody_waits_for_ever_whatever_happens) {
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    wild_run(seed);
    if (HasFailure()) return;
  }
}

}  // namespace levity::detail
