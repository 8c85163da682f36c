// The client on the kernel's sockets and on two workers: what one world from a seed cannot show is two threads at once.

#include <gtest/gtest.h>

#include <string>

#include "levity/base/rng.hpp"
#include "levity/http/client.hpp"
#include "levity/http/server.hpp"
#include "levity/levity.hpp"
#include "tests/support/http_world.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;
using http::method;
using http::outgoing;
using lv::test::run_tasks;
using lv::test::slow_build_factor;

struct counts {
  lv::atomic<int> answered{0};
  lv::atomic<int> given_up{0};
  lv::atomic<int> wrong{0};
};

void add(lv::atomic<int>& to) { to.fetch_add(1, std::memory_order_relaxed); }

lv::task<> nap(const http::request&, const http::route_match& found, http::response& to) {
  co_await lv::sleep(2ms);
  to.set_body(found.parameter("id"));
}

lv::task<> ask(http::client* client, std::string base, int number, std::uint64_t seed, counts* seen) {
  lv::rng dice{seed};
  const std::string id = std::to_string(number) + std::string(dice.below(2000), 'z');
  const bool slow = dice.below(3) == 0;
  outgoing asked{method::get, base + (slow ? "/nap/" : "/id/") + id};
  if (dice.below(4) == 0) asked.set_timeout(std::chrono::microseconds(dice.below(4000)));
  const auto got = co_await client->send(std::move(asked));
  add(!got ? seen->given_up : got->body() == id ? seen->answered : seen->wrong);
}

// One of several who do the same on one client.
lv::task<> rage(http::client* client, std::string base, int who, counts* seen) {
  lv::rng dice{static_cast<std::uint64_t>(who) + 1};
  int number = who * 100'000;
  for (int round = 0; round < 60 / slow_build_factor + 2; round++) {
    lv::scope victims;
    lv::scope survivors;
    for (int i = 0; i < 8; i++) {
      (dice.below(2) == 0 ? victims : survivors).spawn(ask, client, base, number, static_cast<std::uint64_t>(number), seen);
      number++;
    }
    co_await lv::sleep(std::chrono::microseconds(dice.below(3000)));
    victims.cancel();
    co_await victims.join();
    co_await survivors.join();
  }
}

lv::task<> write_three(http::exchange* to, int* sent) {
  for (int i = 0; i < 3; i++) {
    const auto part = co_await to->write("three times ");
    EXPECT_TRUE(part.has_value());
    ++*sent;
  }
  EXPECT_TRUE((co_await to->end_body()).has_value());
}

template <class Talks>
lv::task<> with_server(Talks talks) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  EXPECT_TRUE(listener.has_value());
  if (!listener) co_return;
  const std::string base = "http://" + listener->local_address().to_string();
  http::server_options options;
  options.cancel_on_departure = true;
  http::server server{options};
  server.route(method::get, "/id/{id}", http::test::say_id);
  server.route(method::get, "/nap/{id}", nap);
  server.route(method::post, "/echo", http::test::echo_body);
  lv::scope service;
  service.spawn(http::test::serve_on, &server, std::move(*listener));
  co_await talks(base);
  service.cancel();
  co_await service.join();
}

using talk = lv::task<> (*)(std::string);

}  // namespace

TEST(http_client_threads, answers_never_cross_in_a_storm_on_two_workers) {
  EXPECT_EQ(run_tasks(2, with_server<talk>, static_cast<talk>([](std::string base) -> lv::task<> {
              http::client_options options;
              options.pool.per_host = 20;
              http::client client{options};
              counts seen;
              {
                lv::scope all;
                for (int who = 0; who < 6; who++) all.spawn(rage, &client, base, who, &seen);
                for (int i = 0; i < 20; i++) {
                  (void)client.look();
                  (void)client.durations();
                  co_await lv::sleep(1ms);
                }
                co_await all.join();
              }
              EXPECT_EQ(seen.wrong.load(std::memory_order_relaxed), 0) << "an answer met another request";
              EXPECT_GT(seen.answered.load(std::memory_order_relaxed), 0);
              const http::host_figures host = client.look().hosts.front();
              EXPECT_EQ(host.in_use, 0U);
              EXPECT_EQ(host.waiting, 0U);
              EXPECT_EQ(host.open, host.idle);
              EXPECT_LE(host.open, 20U);
              co_await client.drain();
              EXPECT_EQ(client.look().idle, 0U);
            })),
            0);
}

TEST(http_client_threads, one_task_writes_while_another_reads) {
  EXPECT_EQ(run_tasks(2, with_server<talk>, static_cast<talk>([](std::string base) -> lv::task<> {
              http::client client;
              for (int round = 0; round < 200 / slow_build_factor; round++) {
                outgoing asked{method::post, base + "/echo"};
                asked.stream_body();
                auto both = co_await client.open(std::move(asked));
                EXPECT_TRUE(both.has_value());
                if (!both) co_return;
                int sent = 0;
                lv::scope writer;
                writer.spawn(write_three, &*both, &sent);
                std::string body;
                for (;;) {
                  const auto piece = co_await both->read();
                  EXPECT_TRUE(piece.has_value());
                  if (!piece || piece->empty()) break;
                  body.append(reinterpret_cast<const char*>(piece->data()), piece->size());
                }
                co_await writer.join();
                EXPECT_EQ(body, "three times three times three times ");
              }
              EXPECT_EQ(client.look().hosts.front().connects, 1U);
            })),
            0);
}
