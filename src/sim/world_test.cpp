// Worlds of several hosts: what a program on one of them sees of the others, of the network between them, and of its own end.

#include "levity/sim/world.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/host_files.hpp"
#include "levity/levity.hpp"
#include "levity/resolve/connect.hpp"
#include "levity/resolve/resolver.hpp"
#include "levity/sim/timeline.hpp"
#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr std::string_view server_address = "10.0.0.1";
constexpr const char* service = "10.0.0.1:7000";

task<> echo(tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

task<> echo_for_all(tcp_listener* listener) {
  scope connections{on_failure::report};
  while (auto peer = co_await listener->accept()) connections.spawn("echo", echo, std::move(*peer));
  co_await connections.join();
}

// Two ways to write a main().
int bind_then_run() {
  auto listener = tcp_listener::bind(service);
  if (!listener) return 70;
  return run(echo_for_all, &*listener);
}

task<int> bind_and_serve() {
  auto listener = tcp_listener::bind(":7000");
  if (!listener) co_return 71;
  co_await echo_for_all(&*listener);
  co_return 0;
}

int run_then_bind() { return run(bind_and_serve); }

task<bool> says_back(tcp_stream* stream, std::string_view text) {
  if (!co_await stream->write_all(text)) co_return false;
  std::string got;
  while (got.size() < text.size()) {
    const auto part = co_await stream->read_some();
    if (!part) co_return false;
    got.append(reinterpret_cast<const char*>(part->data()), part->size());
  }
  co_return got == text;
}

task<> take_all(tcp_stream peer) {
  while (auto part = co_await peer.read_some()) {
  }
  (void)co_await peer.write_all("thanks");
}

int run_sink() {
  return run([]() -> task<> {
    auto listener = tcp_listener::bind(service);
    scope connections{on_failure::report};
    while (auto peer = co_await listener->accept()) connections.spawn("sink", take_all, std::move(*peer));
    co_await connections.join();
  });
}

// A connection that is answered; waits until there is one.
task<tcp_stream> reach(const char* at) {
  for (;;) {
    auto stream = co_await tcp_stream::connect(at);
    const bool answers = stream && co_await says_back(&*stream, "hello");
    if (answers) co_return std::move(*stream);
    co_await sleep(10ms);
  }
}

/// A world with one server.
struct small_world {
  explicit small_world(std::uint64_t seed, int (*program)() = bind_then_run)
      : in(seed), server(in.add_host("server", server_address)) {
    server.start(program);
  }

  world in;
  host& server;
};

}  // namespace

TEST(world, an_unmodified_main_serves_whether_it_binds_before_it_runs_or_after) {
  for (const auto program : {bind_then_run, run_then_bind}) {
    small_world w(1, program);
    EXPECT_EQ(w.in.play([&]() -> task<int> {
      auto stream = co_await reach(service);
      co_return co_await says_back(&stream, std::string(4000, 'x')) ? 5 : 6;
    }), 5);
    EXPECT_TRUE(w.server.is_running());
  }
}

TEST(world, nobody_listens_at_the_address_of_another_host) {
  small_world w(1, [] { return run([]() -> task<int> { co_return tcp_listener::bind("10.0.0.2:7000") ? 1 : 0; }); });
  w.in.play([&]() -> task<> { EXPECT_EQ(co_await w.server.ended(), 0); });
}

TEST(world, a_program_that_returns_has_its_exit_code_and_the_next_one_can_start) {
  world in(3);
  host& server = in.add_host("server", server_address);
  EXPECT_FALSE(server.is_running());
  EXPECT_FALSE(server.exit_code());
  server.start([] { return 7; });  // never comes to lv::run
  in.play([&]() -> task<> {
    EXPECT_EQ(co_await server.ended(), 7);
    EXPECT_FALSE(server.is_running());
    server.start([] { return run([]() -> task<int> { co_await sleep(1s); co_return 8; }); });
    EXPECT_TRUE(server.is_running());
    EXPECT_FALSE(server.exit_code());
    EXPECT_EQ(co_await server.ended(), 8);
    server.restart();
    EXPECT_EQ(co_await server.ended(), 8);
  });
  EXPECT_EQ(in.age() / 1s, 2);
}

TEST(world, a_signal_ends_a_program_as_it_would_a_process) {
  for (const bool is_orderly : {true, false}) {
    small_world w(4, is_orderly ? bind_then_run : +[] { return run([]() -> task<> { co_await sleep(1h); }); });
    w.in.play([&]() -> task<> {
      co_await sleep(1s);
      w.server.signal(SIGTERM);
      EXPECT_EQ(co_await w.server.ended(), is_orderly ? 0 : 128 + SIGTERM);
      EXPECT_FALSE(co_await tcp_stream::connect(service));
    });
    EXPECT_LT(w.in.age(), 2s);
  }
}

TEST(world, a_program_that_does_not_end_by_the_first_signal_ends_by_the_second) {
  small_world w(4, [] {
    return run([]() -> task<> {
      co_await shield([]() -> task<> { co_await sleep(1h); }());
    });
  });
  w.in.play([&]() -> task<> {
    co_await sleep(1s);
    w.server.signal(SIGTERM);
    co_await sleep(1s);
    EXPECT_TRUE(w.server.is_running());
    w.server.signal(SIGTERM);
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGTERM);
  });
  EXPECT_LT(w.in.age(), 3s);
}

TEST(world, a_killed_program_leaves_ends_and_resets_behind_and_a_new_one_serves) {
  std::set<io_failure> seen;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    small_world w(seed);
    w.in.play([&]() -> task<> {
      auto stream = co_await reach(service);
      if (w.in.draw(2) == 0) (void)co_await stream.write_all("on its way");
      const time_point killed = clock::now();
      w.server.kill();
      EXPECT_EQ(w.server.exit_code(), 128 + SIGKILL);
      for (;;) {
        const auto part = co_await stream.read_some();
        if (part) continue;
        seen.insert(part.error().failure());
        break;
      }
      EXPECT_LT(clock::now() - killed, 50ms);
      auto refused = co_await tcp_stream::connect(service);
      EXPECT_FALSE(refused);
      if (!refused) { EXPECT_EQ(refused.error().failure(), io_failure::refused); }
      w.server.restart();
      co_await reach(service);
    });
  }
  EXPECT_EQ(seen, (std::set<io_failure>{io_failure::eof, io_failure::reset}));
}

TEST(world, nobody_is_told_of_a_loss_of_power_until_the_host_is_back) {
  small_world w(5);
  w.in.play([&]() -> task<> {
    auto stream = co_await reach(service);
    w.server.cut_power();
    EXPECT_TRUE(co_await stream.write_all("anybody?"));
    const auto said = co_await with_timeout(5s, [](tcp_stream* of) -> task<io_failure> {
      const auto part = co_await of->read_some();
      co_return part ? io_failure::eof : part.error().failure();
    }(&stream));
    EXPECT_EQ(said.value_or(io_failure::timed_out), io_failure::timed_out) << "the peer is silent";
    w.server.restart();
    const time_point back = clock::now();
    const auto told = co_await stream.read_some();
    EXPECT_FALSE(told);
    if (!told) { EXPECT_EQ(told.error().failure(), io_failure::reset); }
    EXPECT_LT(clock::now() - back, 30s) << "by the next retransmission";
  });
}

TEST(world, a_peer_that_never_comes_back_is_given_up_after_a_quarter_of_an_hour) {
  small_world w(6);
  w.in.play([&]() -> task<> {
    auto stream = co_await reach(service);
    w.server.cut_power();
    const time_point off = clock::now();
    EXPECT_TRUE(co_await stream.write_all("anybody?"));
    const auto told = co_await stream.read_some();
    EXPECT_FALSE(told);
    if (!told) { EXPECT_EQ(told.error().failure(), io_failure::timed_out); }
    EXPECT_GT(clock::now() - off, 13min);
    EXPECT_LT(clock::now() - off, 20min);
  });
}

TEST(world, a_connection_to_a_host_without_power_times_out_as_linux_has_it) {
  world in(7);
  in.add_host("server", server_address).cut_power();
  in.play([&]() -> task<> {
    const time_point asked = clock::now();
    const auto got = co_await tcp_stream::connect(service);
    EXPECT_FALSE(got);
    if (!got) { EXPECT_EQ(got.error().failure(), io_failure::timed_out); }
    EXPECT_EQ((clock::now() - asked) / 1s, 127);
  });
}

TEST(world, a_lost_attempt_to_connect_costs_a_second) {
  small_world w(8);
  w.in.play([&]() -> task<> {
    co_await reach(service);
    w.in.cut(w.in.here(), w.server);
    const time_point asked = clock::now();
    scope heals;
    heals.spawn([](world* in) -> task<> {
      co_await sleep(900ms);
      in->heal();
    }, &w.in);
    const auto got = co_await tcp_stream::connect(service);
    EXPECT_TRUE(got);
    EXPECT_EQ((clock::now() - asked) / 100ms, 10);
    co_await heals.join();
  });
}

TEST(world, a_cut_delays_bytes_and_loses_none) {
  for (const bool answers_are_lost : {false, true}) {
    small_world w(9);
    w.in.play([&]() -> task<> {
      auto stream = co_await reach(service);
      const time_point begun = clock::now();
      if (answers_are_lost) w.in.cut(w.server, w.in.here());
      else w.in.cut(w.in.here(), w.server);
      scope heals;
      heals.spawn([](world* in) -> task<> {
        co_await sleep(1s);
        in->heal();
      }, &w.in);
      EXPECT_TRUE(co_await says_back(&stream, "through it all"));
      // Sent again after 0.2, 0.6 and 1.4 s.
      EXPECT_GT(clock::now() - begun, 1300ms);
      EXPECT_LT(clock::now() - begun, 3500ms);
      co_await heals.join();
    });
  }
}

TEST(world, loss_costs_time_and_no_byte) {
  duration slow{};
  duration quick{};
  for (const double loss : {0.0, 0.2}) {
    small_world w(10);
    w.in.set_link(w.in.here(), w.server, {.loss = loss});
    w.in.set_link(w.server, w.in.here(), {.loss = loss});
    w.in.play([&]() -> task<> {
      auto stream = co_await reach(service);
      const time_point begun = clock::now();
      for (int i = 0; i < 20; i++) EXPECT_TRUE(co_await says_back(&stream, std::string(4000, static_cast<char>('a' + i))));
      (loss > 0 ? slow : quick) = clock::now() - begun;
    });
  }
  EXPECT_LT(quick, 200ms);
  EXPECT_GT(slow, 1s);
}

TEST(world, latency_is_paid_each_way) {
  small_world w(11);
  w.in.set_link(w.in.here(), w.server, {.latency = 30ms, .jitter = 0ms});
  w.in.set_link(w.server, w.in.here(), {.latency = 10ms, .jitter = 5ms});
  w.in.play([&]() -> task<> {
    auto stream = co_await reach(service);
    for (int i = 0; i < 10; i++) {
      const time_point begun = clock::now();
      EXPECT_TRUE(co_await says_back(&stream, "x"));
      EXPECT_GE(clock::now() - begun, 40ms);
      EXPECT_LT(clock::now() - begun, 46ms);
    }
  });
}

TEST(world, bandwidth_is_shared_by_all_connections_of_a_link) {
  small_world w(12, run_sink);
  w.in.set_link(w.in.here(), w.server, {.latency = 1ms, .bytes_per_second = 1'000'000});
  w.in.play([&]() -> task<> {
    const time_point begun = clock::now();
    scope all;
    for (int i = 0; i < 4; i++) {
      all.spawn([]() -> task<> {
        auto stream = co_await tcp_stream::connect(service);
        EXPECT_TRUE(stream);
        if (!stream) co_return;
        EXPECT_TRUE(co_await stream->write_all(std::string(250'000, 'x')));
        EXPECT_TRUE(stream->shutdown_write());
        EXPECT_TRUE(co_await stream->read_some());
      });
    }
    co_await all.join();
    EXPECT_GE(clock::now() - begun, 1s);
    EXPECT_LT(clock::now() - begun, 8s);  // windows are narrow, some of them
  });
}

TEST(world, a_paused_program_answers_when_it_goes_on) {
  small_world w(13);
  w.in.play([&]() -> task<> {
    auto stream = co_await reach(service);
    w.server.pause();
    const time_point begun = clock::now();
    scope resumes;
    resumes.spawn([](host* of) -> task<> {
      co_await sleep(3s);
      of->resume();
    }, &w.server);
    EXPECT_TRUE(co_await says_back(&stream, "are you there?"));
    EXPECT_GE(clock::now() - begun, 3s);
    EXPECT_LT(clock::now() - begun, 3s + 50ms);
    co_await resumes.join();
  });
}

TEST(world, a_clock_that_gains_wakes_its_program_early) {
  world in(14);
  host& fast = in.add_host("fast", "10.0.0.2");
  fast.set_clock(1h, 100'000);
  fast.start([] {
    return run([]() -> task<int> {
      const time_point begun = clock::now();
      co_await sleep(11s);
      co_return clock::now() - begun >= 11s ? 0 : 1;
    });
  });
  in.play([&]() -> task<> { EXPECT_EQ(co_await fast.ended(), 0); });
  EXPECT_GE(in.age(), 10s);
  EXPECT_LT(in.age(), 10s + 10ms);
}

namespace {

// What the clocks of a program said, every 100 ms; the wall clock as the time since the world's beginning.
struct looks {
  struct one {
    duration own;
    duration wall;
  };
  std::vector<one> all;
};
looks* looked = nullptr;

int look_at_clocks() {
  return run([]() -> task<> {
    for (;;) {
      looked->all.push_back({clock::now().time_since_epoch(),
                             wall_clock::now().time_since_epoch() - duration(detail::sim_reactor::wall_start_ns)});
      co_await sleep(100ms);
    }
  });
}

}  // namespace

TEST(world, a_wall_clock_steps_both_ways_and_lv_clock_goes_on) {
  looks seen;
  looked = &seen;
  small_world w(15, look_at_clocks);
  w.server.set_clock(-1h);
  EXPECT_EQ(w.server.clock_ahead(), -1h);
  w.in.play([&]() -> task<> {
    co_await sleep(1s);
    w.server.set_clock(2h);
    co_await sleep(1s);
    w.server.set_clock(-10s);
    co_await sleep(1s);
  });
  ASSERT_GE(seen.all.size(), 25u) << "no timer was late for it";
  EXPECT_LE(seen.all.size(), 32u) << "nor early";
  EXPECT_LT(seen.all.front().wall, -1h + 1s) << "behind from the start";
  EXPECT_GT(seen.all[seen.all.size() / 2].wall, 2h);
  EXPECT_LT(seen.all.back().wall, 0s);
  for (std::size_t i = 1; i < seen.all.size(); i++) {
    const duration passed = seen.all[i].own - seen.all[i - 1].own;
    EXPECT_GE(passed, 100ms);
    EXPECT_LT(passed, 110ms);
  }
}

TEST(world, lv_clock_begins_somewhere_at_each_boot_and_goes_on_over_a_kill) {
  std::set<duration> boots;
  for (std::uint64_t seed = 1; seed <= 5; seed++) {
    looks seen;
    looked = &seen;
    small_world w(seed, look_at_clocks);
    w.in.play([&]() -> task<> {
      co_await sleep(1s);
      w.server.set_clock(0s, 50'000);
      co_await sleep(1s);
      w.server.kill();
      const std::size_t count = seen.all.size();
      const duration last = seen.all.back().own;
      co_await sleep(1s);
      w.server.restart();
      co_await sleep(1s);
      EXPECT_GT(seen.all.size(), count);
      EXPECT_GE(seen.all[count].own - last, 1s);
      EXPECT_LT(seen.all[count].own - last, 1200ms);
      w.server.cut_power();
      const std::size_t count_again = seen.all.size();
      w.server.restart();
      co_await sleep(1s);
      EXPECT_GT(seen.all.size(), count_again);
      boots.insert(seen.all.front().own);
      boots.insert(seen.all[count_again].own);
    });
  }
  EXPECT_EQ(boots.size(), 10u);
}

TEST(world, no_clock_gains_more_than_a_tenth) {
  EXPECT_DEATH(
      {
        world in(1);
        in.add_host("fast", "10.0.0.2").set_clock(0s, 100'001);
      },
      "a clock gains or loses a tenth at most");
}

TEST(world, what_a_killed_program_does_at_its_end_reaches_nobody) {
  // Its destructor talks to the server, and takes its time for it.
  static int unwound;
  unwound = 0;
  small_world w(16);
  host& client = w.in.add_host("client", "10.0.0.2");
  client.start([] {
    return run([]() -> task<> {
      auto stream = co_await reach(service);
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        unwound++;
      }
      co_await shield([](tcp_stream* to) -> task<> {
        EXPECT_FALSE(co_await says_back(to, "farewell"));
        co_await sleep(24h);
        EXPECT_FALSE(co_await tcp_stream::connect(service));
        unwound++;
      }(&stream));
    });
  });
  w.in.play([&]() -> task<> {
    co_await sleep(1s);
    client.kill();
    co_await client.ended();
    co_await sleep(1s);
    EXPECT_EQ(unwound, 2);
  });
  EXPECT_LT(w.in.age(), 3s) << "and none of its time passes here";
}

TEST(world, an_hour_in_which_nothing_happens_takes_no_time) {
  small_world w(17);
  const std::int64_t before_ns = detail::kernel_now_ns();
  w.in.play([&]() -> task<> {
    co_await reach(service);
    co_await sleep(1000h);
  });
  // Lenient: the machine may be busy. What an hour takes is a row of the bench.
  EXPECT_LT(detail::kernel_now_ns() - before_ns, 5'000'000'000);
}

namespace {

struct fingerprint {
  std::uint64_t hash;
  bool operator==(const fingerprint&) const = default;
};

// Some of all.
fingerprint life_of_a_world(std::uint64_t seed, duration pause = 10ms, std::string_view text = "some text") {
  world in(seed);
  host& a = in.add_host("a", server_address);
  host& b = in.add_host("b", "10.0.0.2");
  a.start(bind_then_run);
  b.start([] {
    return run([]() -> task<> {
      for (;;) {
        auto stream = co_await reach(service);
        for (bool answers = true; answers; answers = co_await says_back(&stream, "tick")) co_await sleep(5ms);
      }
    });
  });
  in.play([&]() -> task<> {
    co_await sleep(pause);
    in.part(a, b);
    co_await sleep(300ms);
    in.heal();
    a.kill();
    a.restart();
    auto stream = co_await reach(service);
    for (int i = 0; i < 5; i++) (void)co_await says_back(&stream, text);
    b.cut_power();
    co_await sleep(20ms);
    b.restart();
    co_await sleep(100ms);
  });
  return {in.trace_hash()};
}

}  // namespace

TEST(world, the_same_seed_gives_the_same_world) {
  std::set<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= 10; seed++) {
    const fingerprint once = life_of_a_world(seed);
    const std::vector<std::string> clutter(100, std::string(1000, 'x'));  // other addresses on the heap
    EXPECT_EQ(life_of_a_world(seed), once) << "seed " << seed;
    all.insert(once.hash);
  }
  EXPECT_EQ(all.size(), 10u);
}

TEST(world, its_hash_covers_bytes_and_times) {
  const fingerprint as_it_was = life_of_a_world(1);
  EXPECT_FALSE(life_of_a_world(1, 10ms, "some test") == as_it_was) << "a byte";
  EXPECT_FALSE(life_of_a_world(1, 12ms) == as_it_was) << "a moment";
}

TEST(world, a_deadlock_tells_what_every_host_waits_for) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH({
    small_world w(77);
    w.in.play([]() -> task<> {
      channel<int> nothing(1);
      (void)co_await nothing.receive();
    });
  }, "the simulated world is deadlocked [0-9.]+ s after its start(.|\n)*seed 77(.|\n)*host \"scenario\"(.|\n)*channel receive"
     "(.|\n)*host \"server\"(.|\n)*accept");
}

TEST(world, what_a_disk_refuses_and_lets_wait_is_in_the_timeline) {
  timeline events;
  small_world w(20, [] {
    return run([]() -> task<int> {
      auto made = co_await file::open("/log", {.write = true, .create = true});
      if (!made) co_return 4;
      const auto written = co_await made->write_durably_at(0, "a line");
      co_return written ? 0 : 1;
    });
  });
  w.in.record_into(&events);
  w.in.play([&]() -> task<> {
    w.server.set_disk({.capacity_bytes = 0});
    EXPECT_EQ(co_await w.server.ended(), 1);
    w.server.set_disk({.syncs_fail_next = 1});
    w.server.restart();
    EXPECT_EQ(co_await w.server.ended(), 1);
    w.server.set_disk({.sync_latency = 200ms});
    w.server.restart();
    EXPECT_EQ(co_await w.server.ended(), 0);
    w.server.set_disk({.sync_latency = 10ms});
    w.server.restart();
    EXPECT_EQ(co_await w.server.ended(), 0);
  });
  std::string told;
  for (const timeline::event& each : events.events()) {
    if (each.what != happened::disk) continue;
    EXPECT_EQ(each.host, w.server.name());
    told += each.text + " " + each.detail + "\n";
    EXPECT_EQ(each.lasts, each.text.ends_with("is late") ? 200ms : 0ms);
  }
  EXPECT_EQ(told,
            "a write of /log finds no room \n"
            "a sync of /log fails; what it was to make durable never will be \n"
            "a sync of /log is late (it takes 200.0 ms)\n");
}

namespace {

// Writes two files, one of them in a way that survives.
task<> write_two_files() {
  const auto write = [](const char* path, bool durable) -> task<> {
    auto made = co_await file::open(path, {.write = true, .create = true});
    EXPECT_TRUE(made);
    if (!made) co_return;
    EXPECT_TRUE(co_await made->write_at(0, std::string(3000, 'x')));
    if (durable) {
      EXPECT_TRUE(co_await made->sync());
      EXPECT_TRUE(co_await sync_directory("/"));
    }
  };
  co_await write("/safe", true);
  co_await write("/unsafe", false);
  co_await sleep(1h);
}

}  // namespace

TEST(world, a_host_has_a_disk_of_its_own_that_forgets_only_what_was_not_synced) {
  std::set<std::string> kinds;
  for (std::uint64_t seed = 1; seed <= 40; seed++) {
    small_world w(seed, [] { return run(write_two_files); });
    host& other = w.in.add_host("other", "10.0.0.2");
    w.in.play([&]() -> task<> {
      co_await sleep(1s);
      EXPECT_EQ(w.server.read_file("/unsafe"), std::string(3000, 'x'));
      EXPECT_FALSE(other.read_file("/safe"));
      w.server.kill();
      EXPECT_EQ(w.server.read_file("/unsafe"), std::string(3000, 'x')) << "the kernel has it";
      w.server.cut_power();
      EXPECT_EQ(w.server.read_file("/safe"), std::string(3000, 'x'));
      const auto rest = w.server.read_file("/unsafe");
      kinds.insert(!rest ? "no name" : rest->empty() ? "no size" : *rest == std::string(3000, 'x') ? "all" : "a part");
    });
  }
  EXPECT_GE(kinds.size(), 3u);
}

TEST(world, a_disk_fails_as_it_is_told_to) {
  small_world w(20, [] {
    return run([]() -> task<int> {
      auto made = co_await file::open("/log", {.write = true, .create = true});
      if (!made) co_return 4;
      const auto begun = clock::now();
      const auto written = co_await made->write_durably_at(0, "a line");
      co_return written ? (clock::now() - begun >= 10ms ? 0 : 1) : written.error() == io_failure::no_space ? 2 : 3;
    });
  });
  w.in.play([&]() -> task<> {
    w.server.set_disk({.sync_latency = 10ms});
    EXPECT_EQ(co_await w.server.ended(), 0);
    w.server.set_disk({.capacity_bytes = 0});
    w.server.cut_power();
    w.server.restart();
    EXPECT_EQ(co_await w.server.ended(), 2);
    w.server.set_disk({.syncs_fail_next = 1});
    w.server.restart();
    EXPECT_EQ(co_await w.server.ended(), 3);
    w.server.set_disk({});
    w.server.freeze_disk();
    w.server.restart();
    co_await sleep(10s);
    EXPECT_TRUE(w.server.is_running());
    w.server.kill();  // although it waits for what does not end
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGKILL);
  });
}

namespace {

int write_durably_once() {
  return run([]() -> task<int> {
    auto made = co_await file::open("/log", {.write = true, .create = true});
    co_await sleep(500ms);
    co_return made && co_await made->write_durably_at(0, "a line") ? 0 : 1;
  });
}

}  // namespace

TEST(world, a_disk_that_thaws_by_the_scenarios_word_leaves_no_alarm_with_the_scenario) {
  small_world w(21, write_durably_once);
  w.in.play([&]() -> task<> {
    co_await sleep(250ms);
    w.server.freeze_disk();
    co_await sleep(1s);
    EXPECT_TRUE(w.server.is_running());
    w.server.thaw_disk();  // the write is over, and its sync begins
  });  // and the scenario's executor is gone
  w.in.play([&]() -> task<> {
    EXPECT_EQ(co_await w.server.ended(), 0);
    EXPECT_EQ(w.server.read_file("/log").value_or(""), "a line");
    w.server.restart();
    co_await sleep(250ms);
    w.server.freeze_disk();
    co_await sleep(1s);
    w.server.thaw_disk();
    w.server.kill();
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGKILL);
  });
}

TEST(world, a_disk_takes_its_time_unless_it_is_told_not_to) {
  for (const bool is_quick : {false, true}) {
    small_world w(22, [] {
      return run([]() -> task<int> {
        const time_point begun = clock::now();
        auto made = co_await file::open("/log", {.write = true, .create = true});
        if (!made || !co_await made->write_durably_at(0, "a line")) co_return -1;
        co_return static_cast<int>((clock::now() - begun) / 100us);
      });
    });
    if (is_quick) w.server.set_disk({});
    w.in.play([&]() -> task<> {
      const int tenths = co_await w.server.ended();
      EXPECT_GE(tenths, is_quick ? 0 : 5);
      EXPECT_LE(tenths, is_quick ? 4 : 65);
    });
  }
}

TEST(world, files_outside_of_tasks_are_those_of_the_host) {
  small_world w(23, [] {
    const int code = run([]() -> task<int> {
      auto made = co_await file::open("/kept", {.write = true, .create = true});
      if (!made) co_return 1;
      const auto asks = [](file* it) { return it->size().has_value() && it->try_lock().has_value(); };
      const bool is_known = co_await blocking(asks, &*made);
      if (!is_known) co_return 2;
      co_await blocking([](file* it) { const file gone = std::move(*it); }, &*made);
      auto again = co_await file::open("/kept", {.write = true});
      co_return again && again->try_lock() ? 0 : 3;  // the lock has gone with the close
    });
    return code;
  });
  w.in.play([&]() -> task<> { EXPECT_EQ(co_await w.server.ended(), 0); });
}

TEST(world, a_file_that_main_reads_before_it_runs_is_on_the_disk_of_its_host) {
  small_world w(36, [] {
    const auto read = detail::read_file_now("/etc/service.toml", 100);
    return read && *read == "limit = 7" ? 7 : 1;
  });
  w.server.install_file("/etc/service.toml", "limit = 7");
  w.in.play([&]() -> task<> { EXPECT_EQ(co_await w.server.ended(), 7); });
}

TEST(world, who_waits_for_an_end_is_told_that_one_and_not_the_next) {
  small_world w(24);
  w.in.play([&]() -> task<> {
    scope beside;
    int code = 0;
    beside.spawn([](host* of, int* told) -> task<> { *told = co_await of->ended(); }, &w.server, &code);
    co_await sleep(1s);
    w.server.kill();
    w.server.restart();
    EXPECT_TRUE(w.server.is_running());
    EXPECT_FALSE(w.server.exit_code());
    co_await beside.join();
    EXPECT_EQ(code, 128 + SIGKILL);
    co_await reach(service);
    // Over and over, before it has begun.
    for (int i = 0; i < 3; i++) {
      w.server.kill();
      w.server.restart();
    }
    w.server.kill();
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGKILL);
  });
}

TEST(world, who_is_killed_at_last_has_ended_when_play_returns) {
  static bool is_unwound;
  is_unwound = false;
  small_world w(25, [] {
    return run([]() -> task<> {
      struct last {
        ~last() { is_unwound = true; }
      } const one;
      co_await sleep(1h);
    });
  });
  w.in.play([&]() -> task<> {
    co_await sleep(1s);
    w.server.kill();
  });
  EXPECT_TRUE(is_unwound);
}

TEST(world, all_programs_are_ended_where_a_test_says_so) {
  int lives = 0;
  {
    small_world w(26);
    host& other = w.in.add_host("other", "10.0.0.2");
    other.start([&lives] {
      return run([](int* count) -> task<> {
        struct one {
          int* of;
          explicit one(int* counted) : of(counted) { ++*of; }
          ~one() { --*of; }
        } const here(count);
        co_await sleep(1h);
      }, &lives);
    });
    w.in.play([]() -> task<> { co_await sleep(1s); });
    EXPECT_EQ(lives, 1);
    w.in.end_programs();
    EXPECT_EQ(lives, 0);
    EXPECT_FALSE(w.server.is_running());
    w.server.restart();
    EXPECT_EQ(w.in.play([]() -> task<int> {
      co_await reach(service);
      co_return 4;
    }), 4);
  }
}

TEST(world, hosts_may_be_added_in_the_middle_of_a_turn) {
  world in(27);
  static world* of_program;
  of_program = &in;
  in.add_host("maker", "10.0.0.2").start([] {
    for (int i = 3; i < 40; i++) {  // on the way to lv::run, while the world looks through its hosts
      of_program->add_host("host " + std::to_string(i), "10.0.0." + std::to_string(i));
    }
    return 0;
  });
  in.play([&]() -> task<> { EXPECT_EQ(co_await in.at("maker").ended(), 0); });
  EXPECT_EQ(in.hosts().size(), 38u);
}

TEST(world, what_starts_and_ends_programs_is_not_for_the_scenarios_host) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (void (*const wrong)(host&) : {+[](host& of) { of.kill(); }, +[](host& of) { of.cut_power(); }, +[](host& of) { of.pause(); },
                                     +[](host& of) { of.signal(SIGTERM); }, +[](host& of) { of.start([] { return 0; }); },
                                     +[](host& of) { of.restart(); }}) {
    EXPECT_DEATH(
        {
          world in(1);
          wrong(in.here());
        },
        "scenario");
  }
}

namespace {

int end_by_signals_of_the_kernel() {
  return run_with({.handle_signals = false}, []() -> task<> { co_await sleep(1h); });
}

int take_signals() {
  return run([]() -> task<int> {
    auto signals = signal_set::open({SIGUSR1});
    if (!signals) co_return 1;
    (void)co_await signals->next();
    co_return 5;
  });
}

}  // namespace

TEST(world, a_program_that_leaves_signals_to_the_kernel_is_ended_by_them) {
  small_world w(28, end_by_signals_of_the_kernel);
  w.in.play([&]() -> task<> {
    co_await sleep(1s);
    w.server.signal(SIGTERM);
    EXPECT_EQ(w.server.exit_code(), 128 + SIGTERM) << "at once";
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGTERM);
  });
}

TEST(world, a_signal_waits_until_its_program_runs) {
  small_world w(29, [] { return run([]() -> task<> { co_await sleep(1h); }); });
  w.in.play([&]() -> task<> {
    w.server.kill();
    w.server.restart();
    w.server.signal(SIGTERM);  // it has not begun
    w.server.signal(SIGTERM);  // and has one of each
    EXPECT_TRUE(w.server.is_running());
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGTERM);
    w.server.restart();
    co_await sleep(1s);
    w.server.pause();
    w.server.signal(SIGTERM);
    co_await sleep(1s);
    EXPECT_TRUE(w.server.is_running());
    w.server.resume();
    EXPECT_EQ(co_await w.server.ended(), 128 + SIGTERM);
    w.server.signal(SIGTERM);  // nobody is there
  });
}

TEST(world, a_signal_to_a_program_on_its_way_to_lv_run_ends_it) {
  static host* of_program;
  small_world w(30, [] {
    of_program->signal(SIGTERM);
    return run([]() -> task<> { co_await sleep(1h); });
  });
  of_program = &w.server;
  w.in.play([&]() -> task<> { EXPECT_EQ(co_await w.server.ended(), 128 + SIGTERM); });
  EXPECT_LT(w.in.age(), 1s);
  w.in.add_host("other", "10.0.0.2").start(take_signals);
  w.in.play([&]() -> task<> {
    co_await sleep(100ms);
    w.in.at("other").signal(SIGUSR1);
    EXPECT_EQ(co_await w.in.at("other").ended(), 5);
  });
}

TEST(world, a_main_that_throws_ends_as_a_process_would_and_is_named) {
  for (const bool runs_before : {false, true}) {
    world in(31);
    host& server = in.add_host("server", server_address);
    server.start([runs_before]() -> int {
      if (runs_before) (void)run([]() -> task<> { co_return; });
      throw std::runtime_error("no good");
    });
    testing::internal::CaptureStderr();
    in.play([&]() -> task<> { EXPECT_EQ(co_await server.ended(), 128 + SIGABRT); });
    const std::string told = testing::internal::GetCapturedStderr();
    const std::string_view line = "host \"server\" has ended by an exception, and so with exit code 134: no good";
    EXPECT_NE(told.find(line), std::string::npos) << told;
  }
}

TEST(world, a_socket_that_outlives_its_program_ends_the_test_with_a_line) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        small_world w(32, [] {
          static std::optional<tcp_listener> kept;
          return run([]() -> task<int> {
            auto made = tcp_listener::bind(":7000");
            if (!made) co_return 1;
            kept.emplace(std::move(*made));
            co_return 0;
          });
        });
        w.in.play([&]() -> task<> { (void)co_await w.server.ended(); });
      },
      "the program of host \"server\" has ended and left 1 of its sockets open");
}

TEST(world, a_program_that_runs_again_and_again_ends_the_test_with_a_line) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        small_world w(33, [] {
          while (run([]() -> task<int> { co_return 1; }) != 0) continue;
          return 0;
        });
        w.in.play([&]() -> task<> { (void)co_await w.server.ended(); });
      },
      "the program of host \"server\" calls lv::run again and again");
}

TEST(world, a_scenario_that_waits_for_ever_beside_a_service_with_an_interval_is_deadlocked) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto waits = [](duration limit) {
    small_world w(34, [] {
      return run([]() -> task<> {
        for (;;) co_await sleep(1min);
      });
    });
    if (limit > duration::zero()) w.in.set_limit(limit);
    w.in.play([&]() -> task<> { (void)co_await w.server.ended(); });
  };
  EXPECT_DEATH(waits(0s), "deadlocked 864[0-9]+[.][0-9]+ s after its start: its scenario has waited for more than 86400.*seed 34"
                          "(.|\n)*host \"scenario\"(.|\n)*event");
  EXPECT_DEATH(waits(1h), "deadlocked 36[0-9]+[.][0-9]+ s after its start");
}

TEST(world, a_name_is_what_the_world_says) {
  small_world w(18);
  w.in.set_name("lies", {"10.0.0.77", "10.0.0.1"});
  w.in.fail_name("down", io_failure::timed_out, 5s);
  w.in.play([&]() -> task<> {
    EXPECT_TRUE(co_await connect("server", "7000"));
    const auto several = co_await resolve("lies", "7000");
    EXPECT_TRUE(several);
    if (several) { EXPECT_EQ(several->size(), 2u); }
    const auto unknown = co_await resolve("nobody", "7000");
    EXPECT_EQ(unknown.error().failure(), io_failure::not_found);
    const time_point asked = clock::now();
    const auto failed = co_await resolve("down", "7000");
    EXPECT_EQ(failed.error().failure(), io_failure::timed_out);
    EXPECT_GE(clock::now() - asked, 5s);
    w.in.set_name("server", {});
    EXPECT_FALSE(co_await connect("server", "7000"));
  });
}

TEST(world, hosts_have_names_and_addresses_of_their_own) {
  world in(1);
  host& one = in.add_host("one", "10.0.0.1");
  EXPECT_EQ(&in.at("one"), &one);
  EXPECT_THROW(in.add_host("one", "10.0.0.2"), std::invalid_argument);
  EXPECT_THROW(in.add_host("two", "10.0.0.1"), std::invalid_argument);
  EXPECT_THROW(in.add_host("two", "ten"), std::invalid_argument);
  for (const char* const nobodys : {"127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::", "[::1]"}) {
    EXPECT_THROW(in.add_host("two", nobodys), std::invalid_argument) << nobodys;
  }
  in.add_host("two", "128.0.0.1");
  in.add_host("three", "fd00::1");
}

TEST(world, a_loss_is_what_it_was_set_to) {
  world in(1);
  host& a = in.add_host("a", "10.0.0.1");
  host& b = in.add_host("b", "10.0.0.2");
  for (int millionths = 0; millionths <= 1'000'000; millionths += 997) {
    in.set_link(a, b, {.loss = millionths / 1e6});
    ASSERT_EQ(in.link(a, b).loss, millionths / 1e6);
    in.set_link(a, b, {.duplicated = millionths / 1e6, .reordered = 1 - millionths / 1e6, .reordered_by = 1ms});
    ASSERT_EQ(in.link(a, b).duplicated, millionths / 1e6);
    ASSERT_NEAR(in.link(a, b).reordered, 1 - millionths / 1e6, 1e-9);
    ASSERT_EQ(in.link(a, b).reordered_by, 1ms);
  }
  EXPECT_DEATH(in.set_links({.duplicated = -0.1}), "reordered lie between 0 and 1");
  EXPECT_DEATH(in.set_links({.loss = 1.1}), "reordered lie between 0 and 1");
  EXPECT_FALSE(in.is_cut(a, b));
  in.cut(a, b);
  EXPECT_TRUE(in.is_cut(a, b));
  EXPECT_FALSE(in.is_cut(b, a));
  in.heal(a, b);
  EXPECT_FALSE(in.is_cut(a, b));
}

TEST(world, a_program_that_was_killed_draws_nothing_from_the_world) {
  std::set<std::uint64_t> hashes;
  for (const int last_questions : {0, 1, 7}) {
    static int asks;
    asks = last_questions;
    small_world w(35, [] {
      return run([]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
        }
        co_await shield([]() -> task<> {
          for (int i = 0; i < asks; i++) (void)co_await resolve("server", "7000");
        }());
      });
    });
    w.in.play([&]() -> task<> {
      co_await sleep(1s);
      w.server.kill();
      co_await sleep(1s);
    });
    hashes.insert(w.in.trace_hash());
  }
  EXPECT_EQ(hashes.size(), 1u);
}

}  // namespace levity::sim
