// Listeners with one socket for each reactor, and with one for all. What they have in common is in tcp_test.cpp.

#include "levity/io/tcp_listener.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "platform/fault_plan.hpp"
#include "reactor/host_network.hpp"
#include "reactor/reactor.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using levity::accept_sharding;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

constexpr unsigned workers = 4;

lv::tcp_listener listen_with(const lv::listen_options& options, const char* at = "127.0.0.1:0") {
  auto listener = lv::tcp_listener::bind(at, options);
  EXPECT_TRUE(listener) << listener.error().message();
  return listener ? std::move(*listener) : lv::tcp_listener{};
}

lv::detail::reactor* home_of(const lv::tcp_stream& stream) { return stream.native_endpoint()->home; }

int option_of(const lv::tcp_stream& stream, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(stream.native_endpoint()->fd, level, option, &value, &size);
  return value;
}

lv::task<> keep_clients(lv::address to, int count, std::vector<lv::tcp_stream>* clients) {
  for (int i = 0; i < count; i++) {
    auto client = co_await lv::tcp_stream::connect(to);
    EXPECT_TRUE(client);
    if (client) clients->push_back(std::move(*client));
  }
}

// Which reactors watch the connections that one socket takes.
lv::task<std::map<lv::detail::reactor*, int>> homes_of(lv::tcp_listener& listener, int count) {
  std::map<lv::detail::reactor*, int> homes;
  for (int i = 0; i < count; i++) {
    auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
    EXPECT_TRUE(std::get<0>(both) && std::get<1>(both));
    if (std::get<1>(both)) homes[home_of(*std::get<1>(both))]++;
  }
  co_return homes;
}

struct shard_count {
  std::vector<lv::tcp_stream> taken;
  bool all_at_home = true;
};

lv::task<> accept_shard(lv::tcp_listener* listener, std::size_t shard, shard_count* count, lv::wait_group* expected) {
  lv::detail::reactor* home = &lv::detail::current_run().exec->reactor_at(static_cast<unsigned>(shard));
  for (;;) {
    auto peer = co_await listener->accept(shard);
    if (!peer) {
      EXPECT_EQ(peer.error(), io_failure::cancelled);
      co_return;
    }
    count->all_at_home = count->all_at_home && home_of(*peer) == home;
    count->taken.push_back(std::move(*peer));
    if (expected != nullptr) expected->done();
  }
}

}  // namespace

TEST(tcp_listener, an_address_of_another_machine_is_not_called_taken) {
  const auto listener = lv::tcp_listener::bind("192.0.2.1:0");  // of documentation, nobody's
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error(), io_failure::no_address);
  const std::string said = listener.error().message();
  EXPECT_NE(said.find("an address of this machine"), std::string::npos) << said;
  EXPECT_EQ(said.find("stop the process"), std::string::npos) << said;
}

TEST(tcp_listener, round_robin_deals_connections_to_the_reactors_in_turn) {
  run_tasks(workers, []() -> lv::task<> {
    auto listener = listen_with({.sharding = accept_sharding::round_robin});
    EXPECT_EQ(listener.open_shards(), 1u);
    const auto homes = co_await homes_of(listener, 3 * workers);
    EXPECT_EQ(homes.size(), workers);
    for (const auto& [home, count] : homes) EXPECT_EQ(count, 3);
  });
}

TEST(tcp_listener, without_sharding_connections_stay_with_the_reactor_of_the_socket) {
  run_tasks(workers, []() -> lv::task<> {
    auto listener = listen_with({.sharding = accept_sharding::none});
    const auto homes = co_await homes_of(listener, 2 * workers);
    EXPECT_EQ(homes.size(), 1u);
  });
}

TEST(tcp_listener, reuse_port_has_a_socket_a_reactor_and_connections_stay_there) {
  for (const bool early : {false, true}) {
    lv::tcp_listener bound;
    if (early) bound = listen_with({.sharding = accept_sharding::reuse_port});
    run_tasks(workers, [](lv::tcp_listener listener) -> lv::task<> {
      if (listener.local_address().port() == 0) listener = listen_with({.sharding = accept_sharding::reuse_port});
      const auto shards = listener.open_shards();
      EXPECT_EQ(shards, workers);
      constexpr int connections = 200;
      lv::wait_group expected;
      expected.add(connections);
      std::vector<shard_count> counts(*shards);
      lv::scope acceptors;
      for (std::size_t i = 0; i < *shards; i++) acceptors.spawn(accept_shard, &listener, i, &counts[i], &expected);
      std::vector<lv::tcp_stream> clients;
      co_await keep_clients(listener.local_address(), connections, &clients);
      co_await expected.wait();
      acceptors.cancel();
      co_await acceptors.join();
      for (const shard_count& each : counts) {
        EXPECT_TRUE(each.all_at_home);
        EXPECT_FALSE(each.taken.empty());  // by a fair hash, all 200 miss a shard once in 10^24 runs
      }
    }, std::move(bound));
  }
}

TEST(tcp_listener, what_waits_in_a_shard_is_taken_without_waiting_and_then_there_is_nothing) {
  run_tasks(workers, []() -> lv::task<> {
    auto listener = listen_with({.sharding = accept_sharding::reuse_port});
    const auto shards = listener.open_shards();
    EXPECT_EQ(shards, workers);
    constexpr int connections = 50;
    std::vector<lv::tcp_stream> clients;
    co_await keep_clients(listener.local_address(), connections, &clients);
    int taken = 0;
    for (std::size_t i = 0; i < *shards; i++) {
      for (;;) {
        const auto peer = listener.try_accept(i);
        if (!peer) {
          EXPECT_EQ(peer.error(), io_failure::would_block);
          break;
        }
        taken++;
      }
      listener.close_shard(i);
      EXPECT_EQ(listener.try_accept(i).error(), io_failure::closed);
      EXPECT_EQ((co_await listener.accept(i)).error(), io_failure::closed);
    }
    EXPECT_EQ(taken, connections);
  });
}

TEST(tcp_listener, a_second_listener_at_the_address_is_refused_unless_both_share_it) {
  run_tasks(2, []() -> lv::task<> {
    auto alone = listen_with({});
    EXPECT_EQ(lv::tcp_listener::bind(alone.local_address(), {.sharding = accept_sharding::reuse_port}).error(),
              io_failure::address_in_use);
    auto shared = listen_with({.sharding = accept_sharding::reuse_port});
    EXPECT_EQ(lv::tcp_listener::bind(shared.local_address()).error(), io_failure::address_in_use);
    EXPECT_TRUE(lv::tcp_listener::bind(shared.local_address(), {.sharding = accept_sharding::reuse_port}));
    co_return;
  });
}

TEST(tcp_listener, ipv6_only_leaves_the_ipv4_port_to_others) {
  run_tasks(1, []() -> lv::task<> {
    for (const bool only : {true, false}) {
      auto six = listen_with({.ipv6_only = only}, "[::]:0");
      auto four = lv::tcp_stream::connect(lv::address::loopback(six.local_address().port()));
      EXPECT_EQ((co_await std::move(four)).has_value(), !only);
    }
  });
}

TEST(tcp_listener, a_deferred_connection_is_accepted_with_its_first_bytes) {
  run_tasks(1, []() -> lv::task<> {
    auto listener = listen_with({.defer_accept = std::chrono::seconds(30)});
    EXPECT_TRUE(listener.open_shards());
    auto client = co_await lv::tcp_stream::connect(listener.local_address());
    EXPECT_TRUE(client);
    EXPECT_EQ(listener.try_accept(0).error(), io_failure::would_block);
    EXPECT_TRUE(co_await client->write_all("first"));
    auto peer = co_await listener.accept();
    EXPECT_TRUE(peer);
    EXPECT_EQ((co_await peer->read_some())->size(), 5u);
    EXPECT_EQ(option_of(*peer, IPPROTO_TCP, TCP_NODELAY), 1);
  });
}

TEST(tcp_listener, an_accept_of_one_shard_that_is_cancelled_before_while_or_after_loses_no_connection) {
  run_tasks(workers, []() -> lv::task<> {
    auto listener = listen_with({.sharding = accept_sharding::reuse_port});
    const auto shards = listener.open_shards();
    EXPECT_EQ(shards, workers);
    constexpr int rounds = 200;
    int taken = 0;
    std::vector<lv::tcp_stream> clients;
    for (int round = 0; round < rounds; round++) {
      std::vector<shard_count> counts(*shards);
      lv::scope acceptors;
      if (round % 3 == 0) acceptors.cancel();  // before
      lv::wait_group* const nobody_counts = nullptr;
      for (std::size_t i = 0; i < *shards; i++) acceptors.spawn(accept_shard, &listener, i, &counts[i], nobody_counts);
      if (round % 3 == 1) co_await lv::yield();  // some wait by now
      co_await keep_clients(listener.local_address(), 1, &clients);
      acceptors.cancel();  // races the connection
      co_await acceptors.join();
      for (const shard_count& each : counts) taken += static_cast<int>(each.taken.size());
    }
    for (std::size_t i = 0; i < *shards; i++) {
      while (listener.try_accept(i)) taken++;
    }
    EXPECT_EQ(taken, rounds);
  });
}

// The turn that an attempt found nothing for is kept for the next connection: not beyond the runtime whose reactor it names.
TEST(tcp_listener, a_listener_that_served_one_runtime_deals_to_the_reactors_of_the_next) {
  lv::runtime_options two;
  two.workers = 2;
  lv::runtime former(two);
  lv::runtime latter(two);
  lv::tcp_listener listener;
  former.block_on([](lv::tcp_listener* reused) -> lv::task<> {
    *reused = listen_with({.sharding = accept_sharding::round_robin});
    EXPECT_EQ(reused->try_accept(0).error(), io_failure::would_block);
    reused->close();
    co_return;
  }, &listener);
  latter.block_on([](lv::tcp_listener* reused) -> lv::task<> {
    *reused = listen_with({.sharding = accept_sharding::round_robin});
    const auto homes = co_await homes_of(*reused, 2);
    lv::detail::executor& here = *lv::detail::current_run().exec;
    for (const auto& [home, count] : homes) EXPECT_TRUE(home == &here.reactor_at(0) || home == &here.reactor_at(1));
    EXPECT_EQ(homes.size(), 2u);
    reused->close();
  }, &listener);
}

TEST(tcp_listener, one_that_cannot_be_bound_says_where) {
  const auto first = listen_with({});
  const std::string at = first.local_address().to_string();
  const auto second = lv::tcp_listener::bind(at);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), io_failure::address_in_use);
  const std::string said = second.error().message();
  EXPECT_EQ(said.find("listening on " + at + ": address in use"), 0U) << said;
  EXPECT_NE(said.find("stop the process that owns it or choose another port"), std::string::npos) << said;
}

TEST(tcp_listener, a_rule_that_forbids_an_accept_is_told_and_holds_up_nobody) {
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  using lv::detail::fault_plan;
  for (const auto backend : {lv::runtime_options::sockets::epoll, lv::runtime_options::sockets::ring_or_epoll}) {
    lv::runtime_options options;
    options.workers = 1;
    options.handle_signals = false;
    options.backend = backend;
    lv::run_with(options, []() -> lv::task<> {
      auto listener = listen_with({});
      EXPECT_TRUE(listener.open_shards());
      auto client = co_await lv::tcp_stream::connect(listener.local_address());
      EXPECT_TRUE(client);
      fault_plan::install_one(EPERM, 1, lv::detail::kernel::call::accept);
      const auto refused = listener.try_accept(0);
      EXPECT_TRUE(!refused && refused.error() == io_failure::permission);
      fault_plan::install_one(EPERM, 1, lv::detail::kernel::call::accept);
      const auto taken = co_await listener.accept();
      EXPECT_TRUE(taken) << "once it is allowed, who waited is taken";
      EXPECT_EQ(fault_plan::struck_call(), lv::detail::kernel::call::accept);
      fault_plan::remove();
    });
  }
}

TEST(tcp_listener, bound_before_the_runtime_it_says_where_while_another_thread_begins_to_accept) {
  auto listener = listen_with({});
  const lv::address at = listener.local_address();
  EXPECT_NE(at.port(), 0);
  run_tasks(2, [](lv::tcp_listener* from, lv::address expected) -> lv::task<> {
    lv::scope tasks;
    const auto accepts = [](lv::tcp_listener* on) -> lv::task<> {
      const auto taken = co_await on->accept();
      EXPECT_TRUE(taken);
    };
    tasks.spawn(accepts, from);
    for (int i = 0; i < 1000; i++) {
      EXPECT_EQ(from->local_address().port(), expected.port());
      if (i % 100 == 0) co_await lv::yield();
    }
    auto client = co_await lv::tcp_stream::connect(expected);
    EXPECT_TRUE(client);
    co_await tasks.join();
    from->close();
    EXPECT_EQ(from->local_address().port(), 0);
  }, &listener, at);
}

TEST(tcp_listener, on_a_thread_of_a_simulated_host_is_bound_in_its_network_before_any_task_runs) {
  struct of_host {
    explicit of_host(lv::detail::reactor& home) : before(lv::detail::exchange_host_network(&home)) {}
    ~of_host() { lv::detail::exchange_host_network(before); }
    lv::detail::reactor* const before;
  };
  lv::detail::sim_reactor home(1);
  const of_host here(home);
  {
    auto listener = lv::tcp_listener::bind("10.0.0.1:80");  // no address of this machine's, and a port that takes rights
    ASSERT_TRUE(listener) << listener.error().message();
    EXPECT_EQ(listener->local_address(), lv::address::parse("10.0.0.1:80").value());
    EXPECT_EQ(home.endpoints_approx(), 1U);
    EXPECT_EQ(lv::tcp_listener::bind("10.0.0.1:80").error(), io_failure::address_in_use);
    const auto any = lv::tcp_listener::bind("10.0.0.1:0", {.sharding = accept_sharding::reuse_port});
    ASSERT_TRUE(any);
    EXPECT_NE(any->local_address().port(), 0);
    const auto datagrams = lv::udp_socket::bind("10.0.0.1:80");
    ASSERT_TRUE(datagrams);
    EXPECT_EQ(datagrams->local_address(), lv::address::parse("10.0.0.1:80").value());
    const auto within = lv::unix_listener::bind("@within");
    ASSERT_TRUE(within);
    EXPECT_EQ(lv::unix_listener::bind("@within").error(), io_failure::address_in_use);
    EXPECT_EQ(home.endpoints_approx(), 4U);
  }
  EXPECT_EQ(home.endpoints_approx(), 0U);
}
