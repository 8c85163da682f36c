// Datagrams between two sites, driven by hand: how many are lost, come twice or are overtaken, what is told to whom, and that all
// of it follows from the seed.

#include "reactor/sim/sim_datagrams.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t s = 1'000 * ms;
constexpr int patience = 40;  // attempts; a receive is refused one time in 16 for nothing

address at(std::string_view text) { return *address::parse(text); }

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct counts final : sim_recorder {
  void record(const sim_happening& what) noexcept override { of[static_cast<std::size_t>(what.what)]++; }
  std::size_t operator[](sim_happening::kind what) const { return of[static_cast<std::size_t>(what)]; }
  std::array<std::size_t, 16> of{};
};

struct two_hosts {
  explicit two_hosts(std::uint64_t seed = 1)
      : net(seed), a(net.add_site({at("10.0.0.1:0")})), b(net.add_site({at("10.0.0.2:0")})), of_a(net, a), of_b(net, b) {
    net.set_recorder(&told);
    client = bind(of_a, "10.0.0.1:0");
    server = bind(of_b, "0.0.0.0:7000");
  }
  two_hosts(const two_hosts&) = delete;
  two_hosts& operator=(const two_hosts&) = delete;
  ~two_hosts() {
    while (!open.empty()) close(open.back());
    net.check_invariants();
  }

  endpoint* bind(sim_reactor& home, std::string_view where, bool reuse_port = false) {
    const auto made = home.datagrams->bind(home, at(where), reuse_port);
    if (!made) return nullptr;
    open.push_back(*made);
    return *made;
  }
  void close(endpoint* which) {
    std::erase(open, which);
    which->home->datagrams->close(*which);
  }
  void deliver() {
    net.deliver_pending(a, *batch);
    net.deliver_pending(b, *batch);
    net.check_invariants();
  }
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
  // What it failed with; other: it went.
  io_failure send(endpoint& from, std::string_view text, std::string_view to = "10.0.0.2:7000") {
    const address there = at(to);
    const auto sent = from.home->datagrams->send(from, bytes_of(text), &there);
    return sent ? io_failure::other : sent.error().failure();
  }
  io_failure send_to_peer(endpoint& from, std::string_view text) {
    const auto sent = from.home->datagrams->send(from, bytes_of(text), nullptr);
    return sent ? io_failure::other : sent.error().failure();
  }
  // All that has come.
  std::vector<std::string> receive(endpoint& at_socket) {
    std::vector<std::string> got;
    std::vector<std::byte> room(65'536);
    for (int i = 0; i < patience; i++) {
      const auto one = at_socket.home->datagrams->receive(at_socket, room);
      if (!one) {
        last = one.error().failure();
        if (last != io_failure::would_block) break;
        continue;
      }
      got.emplace_back(reinterpret_cast<const char*>(room.data()), one->size);
      sender = one->from;
      i = 0;
    }
    return got;
  }
  // So many numbers, a millisecond apart; what came of them, in the order of its coming.
  std::vector<int> send_numbers(int count) {
    std::vector<int> came;
    for (int i = 0; i < count; i++) {
      EXPECT_EQ(send(*client, std::to_string(i)), io_failure::other);
      pass(1 * ms);
      for (const std::string& each : receive(*server)) came.push_back(std::stoi(each));
    }
    pass(1 * s);
    for (const std::string& each : receive(*server)) came.push_back(std::stoi(each));
    return came;
  }
  sim_link& there() { return net.link(a, b); }
  sim_link& back() { return net.link(b, a); }

  sim_network net;
  sim_network::site_number a;
  sim_network::site_number b;
  sim_reactor of_a;
  sim_reactor of_b;
  counts told;
  std::unique_ptr<ready_batch> batch = std::make_unique<ready_batch>();
  std::vector<endpoint*> open;
  endpoint* client = nullptr;
  endpoint* server = nullptr;
  io_failure last = io_failure::other;
  address sender;
};

using kind = sim_happening::kind;

}  // namespace

// ---- on the way ------------------------------------------------------------------------------------------------------

TEST(sim_datagrams, over_a_link_without_faults_all_come_once_and_in_order) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    two_hosts w(seed);
    w.there().jitter_ns = 20 * ms;  // longer than the gaps: it overtakes nothing by itself
    const std::vector<int> came = w.send_numbers(200);
    ASSERT_EQ(came.size(), 200u) << "seed " << seed;
    EXPECT_TRUE(std::ranges::is_sorted(came)) << "seed " << seed;
    EXPECT_EQ(w.sender, w.of_a.datagrams->local_address(*w.client));
  }
}

TEST(sim_datagrams, one_comes_after_the_latency_and_no_later_than_the_jitter_on_top) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    two_hosts w(seed);
    w.there().latency_ns = 30 * ms;
    w.there().jitter_ns = 10 * ms;
    ASSERT_EQ(w.send(*w.client, "x"), io_failure::other);
    w.pass(30 * ms - 1);
    EXPECT_TRUE(w.receive(*w.server).empty());
    w.pass(10 * ms + 1);
    EXPECT_EQ(w.receive(*w.server).size(), 1u);
  }
}

TEST(sim_datagrams, a_tenth_is_lost_where_a_tenth_shall_be_and_nobody_is_told) {
  two_hosts w(7);
  w.there().lost_per_million = 100'000;
  const std::vector<int> came = w.send_numbers(5'000);
  EXPECT_GT(came.size(), 4'400u);  // five standard deviations of 21 and some
  EXPECT_LT(came.size(), 4'600u);
  EXPECT_EQ(w.told[kind::lost], 5'000u - came.size());
  EXPECT_TRUE(std::ranges::is_sorted(came));
  EXPECT_EQ(std::set<int>(came.begin(), came.end()).size(), came.size()) << "none twice";
  EXPECT_EQ(w.told[kind::nobody], 0u);
}

TEST(sim_datagrams, a_tenth_comes_twice_where_a_tenth_shall) {
  two_hosts w(7);
  w.there().duplicated_per_million = 100'000;
  const std::vector<int> came = w.send_numbers(5'000);
  EXPECT_GT(came.size(), 5'400u);
  EXPECT_LT(came.size(), 5'600u);
  EXPECT_EQ(w.told[kind::duplicated], came.size() - 5'000u);
  EXPECT_EQ(std::set<int>(came.begin(), came.end()).size(), 5'000u) << "and all at least once";
}

TEST(sim_datagrams, one_that_is_held_back_is_overtaken_and_comes_within_the_bound) {
  two_hosts w(7);
  w.there().reordered_per_million = 200'000;
  w.there().reordered_by_ns = 10 * ms;
  const std::vector<int> came = w.send_numbers(5'000);
  ASSERT_EQ(came.size(), 5'000u) << "all come";
  EXPECT_EQ(std::set<int>(came.begin(), came.end()).size(), 5'000u);
  EXPECT_GT(w.told[kind::held_back], 860u);  // a thousand, and five standard deviations of 28
  EXPECT_LT(w.told[kind::held_back], 1'140u);
  std::size_t late = 0;
  int newest = -1;
  for (const int each : came) {
    if (each < newest) {
      late++;
      EXPECT_LE(newest - each, 11) << "a millisecond each, and the jitter";
    }
    newest = std::max(newest, each);
  }
  EXPECT_GT(late, 600u) << "nine tenths of those that are held back are so for longer than the gap";
  EXPECT_LE(late, w.told[kind::held_back]) << "and nothing else is late";
}

TEST(sim_datagrams, within_a_host_nothing_is_lost_whatever_its_links_do) {
  two_hosts w(3);
  endpoint* second = w.bind(w.of_a, "127.0.0.1:9000");
  endpoint* first = w.bind(w.of_a, "127.0.0.1:0");
  w.there().lost_per_million = 1'000'000;
  for (int i = 0; i < 100; i++) EXPECT_EQ(w.send(*first, std::to_string(i), "127.0.0.1:9000"), io_failure::other);
  w.pass(100 * ms);
  const std::vector<std::string> came = w.receive(*second);
  ASSERT_EQ(came.size(), 100u);
  for (std::size_t i = 0; i < came.size(); i++) EXPECT_EQ(came[i], std::to_string(i));
}

TEST(sim_datagrams, what_waits_to_get_out_over_a_narrow_link_fills_the_send_buffer_until_it_is_out) {
  two_hosts w;
  w.there().bytes_per_second = 100'000;
  w.of_a.datagrams->set_option(*w.client, SOL_SOCKET, SO_SNDBUF, 5'000);
  const std::string text(972, 'x');  // a thousand with its headers: 10 ms
  int sent = 0;
  while (w.send(*w.client, text) == io_failure::other && sent < 100) sent++;
  EXPECT_GE(sent, 5);
  EXPECT_LE(sent, 6);  // 10,000 bytes of room, 2,304 for each
  EXPECT_EQ(w.send(*w.client, text), io_failure::would_block);
  w.pass(11 * ms);
  EXPECT_EQ(w.send(*w.client, text), io_failure::other) << "one is out";
  w.pass(1 * s);
  EXPECT_EQ(w.receive(*w.server).size(), static_cast<std::size_t>(sent) + 1);
}

TEST(sim_datagrams, who_waits_for_room_in_the_send_buffer_is_told_when_one_is_out_or_the_buffer_larger) {
  for (const bool grows : {false, true}) {
    two_hosts w;
    w.there().bytes_per_second = 100'000;
    w.of_a.datagrams->set_option(*w.client, SOL_SOCKET, SO_SNDBUF, 5'000);
    const std::string text(972, 'x');
    w.client->writing.clear();
    while (w.send(*w.client, text) == io_failure::other) {
    }
    w.pass(1 * ms);
    EXPECT_TRUE(w.client->writing.is_drained());
    if (grows) w.of_a.datagrams->set_option(*w.client, SOL_SOCKET, SO_SNDBUF, 50'000);
    w.pass(grows ? 1 * ms : 20 * ms);
    EXPECT_FALSE(w.client->writing.is_drained());
    EXPECT_EQ(w.send(*w.client, text), io_failure::other);
  }
}

TEST(sim_datagrams, those_that_are_received_at_once_are_of_one_sender_and_no_more_than_fit_into_one) {
  two_hosts w;
  w.of_b.datagrams->set_coalescing(*w.server, true);
  endpoint* second = w.bind(w.of_a, "10.0.0.1:0");
  for (int i = 0; i < 10; i++) {
    for (const auto& [sender, letter] : {std::pair(w.client, 'a'), std::pair(second, 'b')}) {
      EXPECT_EQ(w.send(*sender, std::string(10, letter)), io_failure::other);
      EXPECT_EQ(w.send(*sender, std::string(10, letter)), io_failure::other);
    }
  }
  w.pass(10 * ms);
  std::size_t longest = 0;
  for (const std::string& each : w.receive(*w.server)) {
    EXPECT_EQ(each.find_first_not_of(each[0]), std::string::npos) << each;
    longest = std::max(longest, each.size());
  }
  EXPECT_EQ(longest, 20u);

  std::vector<std::byte> room(100'000);
  for (int round = 0; round < 200; round++) {
    for (int i = 0; i < 5; i++) EXPECT_EQ(w.send(*w.client, std::string(16'000, 'x')), io_failure::other);
    w.pass(10 * ms);
    for (int i = 0; i < patience; i++) {
      if (const auto got = w.of_b.datagrams->receive(*w.server, room)) {
        EXPECT_LE(got->size, 64'000u);
      }
    }
  }
}

TEST(sim_datagrams, what_finds_a_full_receive_buffer_is_dropped_and_counted) {
  two_hosts w;
  w.of_b.datagrams->set_option(*w.server, SOL_SOCKET, SO_RCVBUF, 5'000);
  EXPECT_EQ(w.of_b.datagrams->option(*w.server, SOL_SOCKET, SO_RCVBUF), 10'000);
  const std::string text(1'000, 'x');
  for (int i = 0; i < 50; i++) EXPECT_EQ(w.send(*w.client, text), io_failure::other);
  w.pass(100 * ms);
  const std::size_t came = w.receive(*w.server).size();
  EXPECT_EQ(came, 5u);  // 2,304 each, the last one while there is any room
  EXPECT_EQ(w.of_b.datagrams->dropped(*w.server), 50u - came);
  EXPECT_EQ(w.told[kind::dropped], 50u - came);
}

// ---- nobody there ----------------------------------------------------------------------------------------------------

TEST(sim_datagrams, a_connected_socket_is_told_that_nobody_is_there_as_far_as_the_link_lets_it) {
  for (const bool is_cut : {false, true}) {
    two_hosts w;
    ASSERT_TRUE(w.of_a.datagrams->connect(*w.client, at("10.0.0.2:7001")));
    w.back().cut = is_cut;
    EXPECT_EQ(w.send_to_peer(*w.client, "anybody?"), io_failure::other);
    w.pass(10 * ms);
    EXPECT_EQ(w.send_to_peer(*w.client, "once more"), is_cut ? io_failure::other : io_failure::refused);
    EXPECT_EQ(w.told[kind::nobody], is_cut ? 0u : 1u);
    EXPECT_EQ(w.send_to_peer(*w.client, "and again"), io_failure::other) << "it is told once";
  }
}

TEST(sim_datagrams, who_is_not_connected_or_to_another_by_now_is_told_nothing) {
  two_hosts w;
  EXPECT_EQ(w.send(*w.client, "anybody?", "10.0.0.2:7001"), io_failure::other);
  w.pass(10 * ms);
  EXPECT_EQ(w.send(*w.client, "x"), io_failure::other);
  ASSERT_TRUE(w.of_a.datagrams->connect(*w.client, at("10.0.0.2:7001")));
  EXPECT_EQ(w.send_to_peer(*w.client, "anybody?"), io_failure::other);
  ASSERT_TRUE(w.of_a.datagrams->connect(*w.client, at("10.0.0.2:7000")));
  w.pass(10 * ms);
  EXPECT_EQ(w.send_to_peer(*w.client, "y"), io_failure::other);
  w.pass(10 * ms);
  EXPECT_EQ(w.receive(*w.server), (std::vector<std::string>{"x", "y"}));
}

TEST(sim_datagrams, a_killed_process_is_refused_and_a_host_without_power_or_of_no_such_address_is_silent) {
  for (const bool silently : {false, true}) {
    two_hosts w;
    ASSERT_TRUE(w.of_a.datagrams->connect(*w.client, at("10.0.0.2:7000")));
    EXPECT_EQ(w.send_to_peer(*w.client, "in flight"), io_failure::other);
    w.net.sever(w.b, silently);
    w.pass(10 * ms);
    EXPECT_EQ(w.send_to_peer(*w.client, "anybody?"), silently ? io_failure::other : io_failure::refused);
    EXPECT_TRUE(w.receive(*w.server).empty());
    EXPECT_EQ(w.last, io_failure::unreachable) << "what a dead process is told";
    w.close(w.server);
    w.net.restore(w.b);
    w.server = w.bind(w.of_b, ":7000");
    ASSERT_NE(w.server, nullptr) << "the port is free again";
    w.pass(10 * ms);
    (void)w.send_to_peer(*w.client, "takes what there is to be told");
    w.pass(10 * ms);
    (void)w.receive(*w.server);
    EXPECT_EQ(w.send_to_peer(*w.client, "hello again"), io_failure::other);
    w.pass(10 * ms);
    EXPECT_EQ(w.receive(*w.server), (std::vector<std::string>{"hello again"}));
  }
  two_hosts w;
  ASSERT_TRUE(w.of_a.datagrams->connect(*w.client, at("10.9.9.9:7000")));
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(w.send_to_peer(*w.client, "anybody?"), io_failure::other);
    w.pass(1 * s);
  }
}

// A kernel hands a datagram within its host over at once: what is on its way in the model is in the memory of the host.
TEST(sim_datagrams, what_a_process_sent_to_its_own_host_reaches_nobody_of_the_life_after) {
  for (const bool silently : {false, true}) {
    two_hosts w;
    endpoint* receiver = w.bind(w.of_a, "127.0.0.1:9000");
    for (int i = 0; i < 10; i++) EXPECT_EQ(w.send(*w.client, "of a life before", "127.0.0.1:9000"), io_failure::other);
    w.net.sever(w.a, silently);
    w.close(receiver);
    w.close(w.client);
    w.net.restore(w.a);
    w.client = w.bind(w.of_a, "10.0.0.1:0");
    receiver = w.bind(w.of_a, "127.0.0.1:9000");
    ASSERT_TRUE(w.client != nullptr && receiver != nullptr);
    EXPECT_EQ(w.send(*w.client, "of this life", "127.0.0.1:9000"), io_failure::other);
    w.pass(1 * s);
    EXPECT_EQ(w.receive(*receiver), (std::vector<std::string>{"of this life"}));
  }
}

TEST(sim_datagrams, what_waits_to_get_out_goes_with_the_power_and_not_with_the_process) {
  for (const bool silently : {false, true}) {
    two_hosts w;
    w.there().bytes_per_second = 100'000;
    for (int i = 0; i < 5; i++) EXPECT_EQ(w.send(*w.client, std::to_string(i) + std::string(971, 'x')), io_failure::other);
    w.pass(25 * ms);  // a thousand with its headers: 10 ms
    w.net.sever(w.a, silently);
    w.pass(1 * s);
    EXPECT_EQ(w.receive(*w.server).size(), silently ? 2u : 5u);
  }
}

TEST(sim_datagrams, over_a_cut_link_nothing_comes_and_what_was_on_its_way_does) {
  two_hosts w;
  EXPECT_EQ(w.send(*w.client, "before"), io_failure::other);
  w.there().cut = true;
  EXPECT_EQ(w.send(*w.client, "while"), io_failure::other);
  w.pass(10 * s);
  w.there().cut = false;
  EXPECT_EQ(w.send(*w.client, "after"), io_failure::other);
  w.pass(10 * ms);
  EXPECT_EQ(w.receive(*w.server), (std::vector<std::string>{"before", "after"}));
}

// ---- addresses -------------------------------------------------------------------------------------------------------

TEST(sim_datagrams, an_address_is_ones_own_free_and_of_the_right_kind) {
  two_hosts w;
  const auto failure = [&](std::string_view where) {
    const auto made = w.of_b.datagrams->bind(w.of_b, at(where), false);
    if (made) w.open.push_back(*made);
    return made ? io_failure::other : made.error().failure();
  };
  EXPECT_EQ(failure("10.0.0.1:7000"), io_failure::no_address);
  EXPECT_EQ(failure("10.0.0.2:7000"), io_failure::address_in_use);
  EXPECT_EQ(failure("[::]:7000"), io_failure::address_in_use);
  EXPECT_EQ(failure("10.0.0.2:7001"), io_failure::other);
  endpoint* local = w.bind(w.of_a, "127.0.0.1:0");
  EXPECT_EQ(w.send(*local, "from nowhere"), io_failure::invalid);
  EXPECT_EQ(w.send(*w.client, "x", "10.0.0.2:0"), io_failure::invalid);
  endpoint* of_both = w.bind(w.of_a, "[::]:0");
  EXPECT_EQ(w.send(*of_both, "x", "[fd00::2]:7000"), io_failure::unreachable) << "the host has no address of IPv6";
  EXPECT_EQ(w.send(*of_both, "x", "[::ffff:10.0.0.2]:7000"), io_failure::other);
  EXPECT_EQ(w.send(*w.client, std::string(65'508, 'x')), io_failure::too_large);
}

TEST(sim_datagrams, a_broadcast_is_allowed_to_who_asks_and_comes_to_every_host) {
  two_hosts w;
  endpoint* everywhere = w.bind(w.of_a, ":7000");
  endpoint* named = w.bind(w.of_b, "10.0.0.2:7001");
  EXPECT_EQ(w.send(*w.client, "to all", "255.255.255.255:7000"), io_failure::permission);
  w.of_a.datagrams->set_option(*w.client, SOL_SOCKET, SO_BROADCAST, 1);
  EXPECT_EQ(w.send(*w.client, "to all", "255.255.255.255:7000"), io_failure::other);
  EXPECT_EQ(w.send(*w.client, "to all", "255.255.255.255:7001"), io_failure::other);
  w.pass(10 * ms);
  EXPECT_EQ(w.receive(*w.server), (std::vector<std::string>{"to all"}));
  EXPECT_EQ(w.receive(*everywhere), (std::vector<std::string>{"to all"}));
  EXPECT_TRUE(w.receive(*named).empty()) << "it is bound to one address";
}

// ---- a run -----------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t hash_of(std::uint64_t seed, std::string_view last, bool faults) {
  two_hosts w(seed);
  if (faults) {
    w.there().lost_per_million = w.there().duplicated_per_million = w.there().reordered_per_million = 100'000;
  }
  (void)w.send_numbers(100);
  (void)w.send(*w.client, last);
  w.pass(10 * ms);
  (void)w.receive(*w.server);
  return w.net.trace_hash();
}

}  // namespace

TEST(sim_datagrams, the_same_seed_is_the_same_run_and_a_byte_more_is_another) {
  for (const bool faults : {false, true}) {
    std::set<std::uint64_t> all;
    for (std::uint64_t seed = 1; seed <= 10; seed++) {
      const std::uint64_t one = hash_of(seed, "last", faults);
      EXPECT_EQ(hash_of(seed, "last", faults), one) << "seed " << seed;
      EXPECT_NE(hash_of(seed, "lasT", faults), one) << "seed " << seed;
      EXPECT_NE(hash_of(seed, "", faults), one) << "seed " << seed;
      all.insert(one);
    }
    EXPECT_EQ(all.size(), 10u);
  }
}

TEST(sim_datagrams, when_one_is_due_and_where_a_socket_is_bound_are_in_the_sum) {
  std::set<std::uint64_t> all;
  for (const std::int64_t latency_ns : {10 * ms, 20 * ms}) {
    two_hosts w;
    w.there().latency_ns = latency_ns;
    EXPECT_EQ(w.send(*w.client, "x"), io_failure::other);
    all.insert(w.net.trace_hash());
  }
  EXPECT_EQ(all.size(), 2u);
  for (const char* where : {"0.0.0.0:7001", "10.0.0.2:7001", "127.0.0.1:7001", "[::]:7001"}) {
    two_hosts w;
    EXPECT_NE(w.bind(w.of_b, where), nullptr);
    all.insert(w.net.trace_hash());
  }
  EXPECT_EQ(all.size(), 6u);
  two_hosts w;
  const std::uint64_t open_hash = w.net.trace_hash();
  w.close(w.server);
  EXPECT_NE(w.net.trace_hash(), open_hash) << "and that it is closed";
}

TEST(sim_datagrams, a_process_that_is_gone_leaves_no_trace_and_draws_nothing) {
  std::set<std::uint64_t> hashes;
  for (const int last_words : {0, 1, 7}) {
    two_hosts w(5);
    w.net.sever(w.a, false);
    for (int i = 0; i < last_words; i++) {
      EXPECT_EQ(w.send(*w.client, "goodbye"), io_failure::unreachable);
      EXPECT_TRUE(w.receive(*w.client).empty());
      EXPECT_EQ(w.bind(w.of_a, ":0"), nullptr);
    }
    w.close(w.client);
    w.pass(1 * s);
    hashes.insert(w.net.trace_hash());
  }
  EXPECT_EQ(hashes.size(), 1u);
}

}  // namespace levity::detail
