// UDP between the hosts of a world: what programs see of links that lose, double and reorder, and of hosts that are gone.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sim/timeline.hpp"
#include "levity/sim/world.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr std::string_view server_address = "10.0.0.1";
constexpr const char* service = "10.0.0.1:7000";

task<> answer_all(udp_socket* at) {
  std::vector<std::byte> room(2048);
  for (;;) {
    const auto got = co_await at->receive_from(room);
    if (!got && got.error() == io_failure::cancelled) co_return;
    if (got) (void)co_await at->send_to(got->bytes, got->from);
  }
}

// Two ways to write a main().
int bind_then_run() {
  auto socket = udp_socket::bind(service);
  if (!socket) return 70;
  return run(answer_all, &*socket);
}

task<int> bind_and_answer() {
  auto socket = udp_socket::bind(":7000");
  if (!socket) co_return 71;
  co_await answer_all(&*socket);
  co_return 0;
}

int run_then_bind() { return run(bind_and_answer); }

// The text, or in words why there is none.
task<std::string> receive_text(udp_socket* from) {
  std::byte room[2048];
  const auto got = co_await from->receive(room);
  if (!got) co_return std::string(to_string(got.error().failure()));
  co_return std::string(reinterpret_cast<const char*>(got->bytes.data()), got->bytes.size());
}

task<std::string> answer_to(udp_socket* by, std::string_view text) {
  const auto sent = co_await by->send(text);
  if (!sent) co_return std::string(to_string(sent.error().failure()));
  co_return co_await receive_text(by);
}

// Connected to the service, which answers.
task<udp_socket> reach() {
  auto mine = udp_socket::bind(":0");
  EXPECT_TRUE(mine && mine->connect(service));
  for (;;) {
    const std::string answer = co_await with_deadline(100ms, answer_to(&*mine, "hello"));
    if (answer == "hello") co_return std::move(*mine);
    co_await sleep(10ms);
  }
}

// How many of so many are answered; each is waited for, 1 ms at most.
task<std::size_t> count_answers(udp_socket* by, int count) {
  std::size_t answers = 0;
  for (int i = 0; i < count; i++) {
    EXPECT_TRUE(co_await by->send("x"));
    const std::string answer = co_await with_deadline(1ms, receive_text(by));
    answers += answer == "x" ? 1 : 0;
  }
  co_return answers;
}

struct small_world {
  explicit small_world(std::uint64_t seed, int (*program)() = bind_then_run)
      : in(seed), server(in.add_host("server", server_address)) {
    server.start(program);
  }
  void set_link_there(const link_options& how) { in.set_link(in.here(), server, how); }

  world in;
  host& server;
};

}  // namespace

TEST(world_datagrams, an_unmodified_main_answers_whether_it_binds_before_it_runs_or_after) {
  for (const auto program : {bind_then_run, run_then_bind}) {
    small_world w(1, program);
    w.in.play([&]() -> task<> {
      udp_socket mine = co_await reach();
      EXPECT_EQ(mine.peer_address().to_string(), service);
      EXPECT_TRUE(mine.local_address().to_string().starts_with("10.255.255.254:")) << "from where the scenario is";
      const std::string answer = co_await answer_to(&mine, "and again");
      EXPECT_EQ(answer, "and again");
    });
    EXPECT_TRUE(w.server.is_running());
  }
}

TEST(world_datagrams, a_killed_program_is_refused_a_host_without_power_is_silent_and_both_answer_again) {
  small_world w(2);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.server.kill();
    EXPECT_EQ(co_await with_deadline(500ms, answer_to(&mine, "x")), "connection refused");
    w.server.restart();
    udp_socket again = co_await reach();
    w.server.cut_power();
    EXPECT_EQ(co_await with_deadline(500ms, answer_to(&again, "x")), "timed out");
    w.server.restart();
    udp_socket at_last = co_await reach();
    const std::string old_one_too = co_await with_deadline(500ms, answer_to(&mine, "y"));
    EXPECT_EQ(old_one_too, "y") << "a socket has no connection that could be gone";
  });
}

TEST(world_datagrams, over_a_link_that_is_cut_nothing_comes_nor_does_anybody_hear_of_it) {
  small_world w(3);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.in.part(w.in.here(), w.server);
    EXPECT_EQ(co_await with_deadline(500ms, answer_to(&mine, "x")), "timed out");
    w.in.heal();
    EXPECT_EQ(co_await with_deadline(500ms, receive_text(&mine)), "timed out") << "it is not sent again";
    EXPECT_EQ(co_await with_deadline(500ms, answer_to(&mine, "y")), "y");
  });
}

TEST(world_datagrams, a_third_is_lost_where_a_third_shall_be) {
  small_world w(4);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.set_link_there({.latency = 10us, .jitter = 0us, .loss = 1.0 / 3});
    w.in.set_link(w.server, w.in.here(), {.latency = 10us, .jitter = 0us});
    const std::size_t answers = co_await count_answers(&mine, 900);
    EXPECT_GT(answers, 530u);  // 600, and five standard deviations of 14
    EXPECT_LT(answers, 670u);
  });
}

TEST(world_datagrams, what_comes_twice_and_out_of_order_does_so_between_hosts_only_where_it_is_asked_for) {
  for (const bool asked : {false, true}) {
    small_world w(5);
    w.in.play([&]() -> task<> {
      udp_socket mine = co_await reach();
      if (asked) w.set_link_there({.duplicated = 0.5, .reordered = 0.5, .reordered_by = 20ms});
      constexpr int count = 100;
      for (int i = 0; i < count; i++) {
        EXPECT_TRUE(co_await mine.send(std::to_string(i)));
        co_await sleep(1ms);
      }
      std::vector<int> came;
      for (;;) {
        const std::string got = co_await with_deadline(100ms, receive_text(&mine));
        if (got == "timed out") break;
        came.push_back(std::stoi(got));
      }
      EXPECT_EQ(std::set<int>(came.begin(), came.end()).size(), static_cast<std::size_t>(count));
      EXPECT_EQ(came.size() > count, asked);
      EXPECT_EQ(!std::is_sorted(came.begin(), came.end()), asked);
    });
  }
}

TEST(world_datagrams, a_paused_host_takes_in_what_it_has_room_for) {
  small_world w(6);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.server.pause();
    constexpr int count = 400;
    const std::string text(1'000, 'x');
    for (int i = 0; i < count; i++) EXPECT_TRUE(co_await mine.send(text));
    co_await sleep(10s);
    w.server.resume();
    int answers = 0;
    while (co_await with_deadline(100ms, receive_text(&mine)) == text) answers++;
    EXPECT_EQ(answers, 212'992 / 2'304 + 1);  // the usual buffer, and the datagram that finds the last of its room
  });
}

TEST(world_datagrams, a_program_has_datagrams_and_streams_at_one_port_and_no_address_of_another_host) {
  small_world w(7, [] {
    return run([]() -> task<int> {
      auto stream = tcp_listener::bind(":7000");
      auto datagrams = udp_socket::bind(":7000");
      auto taken = udp_socket::bind(":7000");
      auto of_another = udp_socket::bind("10.0.0.2:7000");
      if (!stream || !datagrams || taken || of_another) co_return 1;
      const bool told_apart = taken.error() == io_failure::address_in_use && of_another.error() == io_failure::no_address;
      co_return told_apart ? 0 : 2;
    });
  });
  w.in.play([&]() -> task<> { EXPECT_EQ(co_await w.server.ended(), 0); });
}

namespace {

std::uint64_t hash_of(std::uint64_t seed, std::string_view text, timeline* events) {
  small_world w(seed);
  w.in.record_into(events);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.set_link_there({.loss = 0.2, .duplicated = 0.2, .reordered = 0.2});
    for (int i = 0; i < 50; i++) {
      EXPECT_TRUE(co_await mine.send(i == 25 ? text : "as ever"));
      co_await sleep(1ms);
    }
    co_await sleep(100ms);
  });
  return w.in.trace_hash();
}

}  // namespace

TEST(world_datagrams, a_run_follows_from_its_seed_watched_or_not_and_from_every_byte) {
  std::set<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= 5; seed++) {
    timeline events;
    const std::uint64_t one = hash_of(seed, "as ever", nullptr);
    EXPECT_EQ(hash_of(seed, "as ever", &events), one) << "seed " << seed;
    EXPECT_NE(hash_of(seed, "as eveR", nullptr), one) << "seed " << seed;
    all.insert(one);
  }
  EXPECT_EQ(all.size(), 5u);
}

TEST(world_datagrams, a_timeline_tells_what_became_of_them) {
  small_world w(8);
  timeline events;
  w.in.record_into(&events);
  w.in.play([&]() -> task<> {
    udp_socket mine = co_await reach();
    w.set_link_there({.loss = 1});
    EXPECT_TRUE(co_await mine.send("lost"));
    w.set_link_there({.duplicated = 1, .reordered = 1});
    EXPECT_TRUE(co_await mine.send("twice"));
    w.set_link_there({});
    EXPECT_TRUE(mine.connect("10.0.0.1:7001"));
    EXPECT_EQ(co_await with_deadline(500ms, answer_to(&mine, "nobody")), "connection refused");
    co_await sleep(100ms);
  });
  const std::string told = events.text();
  for (const std::string_view each :
       {"has a packet to server lost (10.0.0.1:7000, 4 bytes)", "has a datagram to server come twice (10.0.0.1:7000, 5 bytes)",
        "has a datagram to server held back (10.0.0.1:7000, 5 bytes)", "is told that no socket is at server (10.0.0.1:7001)"}) {
    EXPECT_NE(told.find(each), std::string::npos) << each << "\n" << told;
  }
}

}  // namespace levity::sim
