// What only the simulated backend promises: the same seed gives the same run, time is virtual, a deadlock is reported.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

// Two sockets exchange bytes as the seed has it; the same calls for every seed.
std::uint64_t scripted_run(std::uint64_t seed) {
  sim_reactor r(seed);
  ready_batch batch;
  const auto turn = [&] {
    poll_lease lease(r.lease);
    r.poll(lease, r.now_ns() + 100'000, batch);
    r.check_invariants();
  };
  endpoint* listener = *r.listen({address::loopback(7000), 16, false});
  endpoint* client = *r.start_connect(address::loopback(7000));
  endpoint* server = nullptr;
  while (server == nullptr) {
    turn();
    if (const auto got = r.try_accept(*listener, r)) server = *got;
  }
  while (!r.finish_connect(*client)) turn();
  std::string text(50'000, '\0');
  rng bytes(1);
  for (char& each : text) each = static_cast<char>(bytes());
  std::string got;
  std::size_t sent = 0;
  std::byte chunk[3000];
  while (got.size() < text.size()) {
    const iovec piece{text.data() + sent, text.size() - sent};
    if (const auto moved = r.try_write(*client, {&piece, 1}); moved && piece.iov_len > 0) sent += *moved;
    if (const auto moved = r.try_read(*server, chunk)) got.append(reinterpret_cast<const char*>(chunk), *moved);
    turn();
  }
  EXPECT_TRUE(got == text);
  r.close(*client, true);
  turn();
  r.close(*server, false);
  r.close(*listener, false);
  r.check_invariants();
  return r.trace_hash();
}

task<> echo(tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

task<> serve(tcp_listener& listener, scope& connections) {
  while (auto peer = co_await listener.accept()) connections.spawn(echo, std::move(*peer));
}

task<> client(address to, int rounds) {
  auto stream = co_await tcp_stream::connect(to);
  EXPECT_TRUE(stream);
  for (int i = 0; i < rounds; i++) {
    EXPECT_TRUE(co_await stream->write_all("hello"));
    for (std::size_t got = 0; got < 5;) {
      const auto part = co_await stream->read_some();
      EXPECT_TRUE(part);
      if (!part) co_return;
      got += part->size();
    }
    co_await sleep(10us);
  }
}

task<> service(std::uint64_t& hash) {
  auto listener = tcp_listener::bind("127.0.0.1:0");
  scope acceptors;
  scope connections;
  scope clients;
  acceptors.spawn(serve, std::ref(*listener), std::ref(connections));
  for (int i = 0; i < 20; i++) clients.spawn(client, listener->local_address(), 20);
  co_await clients.join();
  acceptors.cancel();
  co_await acceptors.join();
  co_await connections.join();
  auto& home = static_cast<sim_reactor&>(current_run().exec->home_reactor());
  home.check_invariants();
  hash = home.trace_hash();
}

std::uint64_t service_run(std::uint64_t seed) {
  std::uint64_t hash = 0;
  runtime_options options;
  options.backend = runtime_options::sockets::sim;
  options.seed = seed;
  run_with(options, service, std::ref(hash));
  return hash;
}

int simulate(task<> (*f)()) {
  runtime_options options;
  options.backend = runtime_options::sockets::sim;
  options.seed = 42;
  return run_with(options, f);
}

}  // namespace

TEST(sim_reactor, the_same_seed_gives_the_same_run_on_every_compiler) {
  // Only a change of the simulated network itself may change these.
  EXPECT_EQ(scripted_run(1), scripted_run(1));
  EXPECT_EQ(scripted_run(1), 8409137377067090533u);
  EXPECT_EQ(scripted_run(42), 15597709681636480202u);
}

TEST(sim_reactor, the_same_seed_gives_the_same_run_of_a_whole_service) {
  for (const std::uint64_t seed : {1, 2, 42}) {
    const std::uint64_t first = service_run(seed);
    // Other addresses on the heap, the same run.
    const std::vector<std::string> clutter(1000, std::string(100, 'x'));
    EXPECT_EQ(service_run(seed), first) << "seed " << seed;
  }
}

TEST(sim_reactor, other_seeds_give_other_runs) {
  std::set<std::uint64_t> runs;
  for (std::uint64_t seed = 1; seed <= 20; seed++) runs.insert(service_run(seed));
  EXPECT_EQ(runs.size(), 20u);
}

namespace {

struct taken_from_the_world {
  std::int64_t wall_first = 0;
  std::int64_t wall_last = 0;
  std::int64_t took = 0;
  std::vector<std::uint64_t> seeds;
};

task<> take_from_the_world(taken_from_the_world* into) {
  const time_point began = clock::now();
  into->wall_first = wall_clock::now().time_since_epoch().count();
  into->seeds = {random_seed(), random_seed()};
  co_await sleep(1h);
  into->seeds.push_back(random_seed());
  into->wall_last = wall_clock::now().time_since_epoch().count();
  into->took = (clock::now() - began).count();
}

taken_from_the_world world_of(std::uint64_t seed) {
  taken_from_the_world taken;
  runtime_options options;
  options.backend = runtime_options::sockets::sim;
  options.seed = seed;
  EXPECT_EQ(run_with(options, take_from_the_world, &taken), 0);
  return taken;
}

}  // namespace

TEST(sim_reactor, the_calendar_begins_at_a_fixed_moment_and_goes_with_virtual_time) {
  const taken_from_the_world taken = world_of(42);
  EXPECT_GE(taken.wall_first, sim_reactor::wall_start_ns);
  EXPECT_LT(taken.wall_first, sim_reactor::wall_start_ns + 1'000'000'000);
  EXPECT_GE(taken.took, 3600'000'000'000);
  EXPECT_EQ(taken.wall_last - taken.wall_first, taken.took);
  const std::chrono::year_month_day first{std::chrono::year{2026}, std::chrono::January, std::chrono::day{1}};
  EXPECT_EQ(wall_clock::time_point{wall_clock::duration{sim_reactor::wall_start_ns}}, std::chrono::sys_days{first});
}

TEST(sim_reactor, what_a_program_draws_follows_from_the_seed) {
  const std::vector<std::uint64_t> one = world_of(42).seeds;
  EXPECT_EQ(world_of(42).seeds, one);
  EXPECT_EQ(std::set<std::uint64_t>(one.begin(), one.end()).size(), 3U);
  EXPECT_NE(world_of(43).seeds, one);
}

// Its own draws and those of the network are apart.
TEST(sim_reactor, a_program_that_draws_meets_the_same_network) {
  const auto times_of = [](bool draws) {
    sim_reactor r(7);
    std::vector<std::int64_t> times;
    ready_batch batch;
    for (int i = 0; i < 20; i++) {
      if (draws) r.draw_seed();
      const poll_lease lease(r.lease);
      r.poll(lease, 0, batch);
      times.push_back(r.now_ns());
    }
    return times;
  };
  EXPECT_EQ(times_of(true), times_of(false));
}

TEST(sim_reactor, a_virtual_hour_takes_no_time) {
  const std::int64_t before_ns = kernel_now_ns();
  simulate([]() -> task<> {
    const time_point start = clock::now();
    co_await sleep(1h);
    EXPECT_GE(clock::now() - start, 1h);
    EXPECT_LT(clock::now() - start, 1h + 1ms);
  });
  EXPECT_LT(kernel_now_ns() - before_ns, 10'000'000'000);
}

TEST(sim_reactor, a_task_that_is_always_ready_does_not_stop_the_clock) {
  simulate([]() -> task<> {
    const auto spins = []() -> task<> {
      for (;;) co_await yield();
    };
    scope others;
    others.spawn(spins);
    co_await sleep(20ms);
    others.cancel();
    co_await others.join();
  });
}

TEST(sim_reactor, a_deadlock_is_reported) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(simulate([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    (void)co_await listener->accept();  // nobody will ever come
  }), "the simulated program is deadlocked 0\\.[0-9]+ s after its start: every task waits .sockets open: 1.");
}

TEST(sim_reactor, a_deadlock_names_every_task_and_what_it_waits_for) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(simulate([]() -> task<> {
    channel<int> orders(1);
    scope others;
    others.spawn("the taker", [](channel<int>* from) -> task<> { (void)co_await from->receive(); }, &orders);
    co_await others.join();
  }), "\"the taker\" spawned at [^\n]* waits: channel receive(.|\n)*\"main\" waits: join(.|\n)*levity: 2 tasks");
}

TEST(sim_reactor, of_a_host_has_the_clocks_it_is_given_and_leaves_the_worlds_time_with_both) {
  sim_network network(1);
  const sim_network::site_number site = network.add_site({*address::parse("10.0.0.1:0")});
  sim_clock clocks{.base_ns = network.now_ns(), .own_ns = 5'000'000'000, .wall_ns = 77'000'000'000};
  sim_reactor host(network, site, clocks);
  EXPECT_EQ(host.now_ns(), 5'000'000'000);
  EXPECT_EQ(host.wall_ns(), 77'000'000'000);
  network.advance(network.now_ns() + 1'000'000'000);
  clocks.set(network.now_ns(), 9'000'000'000, 0);
  host.set_clocks(clocks);
  EXPECT_EQ(host.now_ns(), 6'000'000'000);
  EXPECT_EQ(host.wall_ns(), 9'000'000'000);
  host.wake_at(8'000'000'000);
  EXPECT_EQ(host.due_ns(), network.now_ns() + 2'000'000'000);
  host.leave_time(16'000'000'000);
  EXPECT_EQ(host.now_ns(), 16'000'000'000);
  EXPECT_EQ(host.wall_ns(), 19'000'000'000);
  network.advance(network.now_ns() + 1'000'000'000);
  EXPECT_EQ(host.now_ns(), 16'000'000'000) << "the world's time is not its own any more";
}

TEST(sim_reactor, a_program_never_sees_its_monotonic_clock_step) {
  EXPECT_DEATH(
      {
        sim_network network(1);
        const sim_network::site_number site = network.add_site({*address::parse("10.0.0.1:0")});
        sim_clock clocks = sim_reactor::right_clocks(network);
        sim_reactor host(network, site);
        clocks.boot(network.now_ns(), 1'000'000'000);
        host.set_clocks(clocks);
      },
      "a monotonic clock is not set while a program runs by it");
}

}  // namespace levity::detail
