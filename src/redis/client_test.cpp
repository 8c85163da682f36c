// The client against a server that hangs up in the middle of a reply, is slow, silent, out of its mind or gone: each caller gets
// the reply to its own command or is told why not, and no command is carried out twice unless its caller said that it may. In
// simulated networks, in virtual time; what a real server says is for server_test.cpp.

#include "levity/redis/client.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "redis/test_support.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
namespace redis = levity::redis;
using namespace std::chrono_literals;
using lv::io_failure;
using redis::failure;
using redis::test::fake_server;

using talk = lv::task<> (*)(redis::client*, fake_server*);

lv::task<> serve(fake_server* server) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:6379");
  EXPECT_TRUE(listener);
  if (!listener) co_return;
  co_await server->serve(std::move(*listener));
}

lv::task<> serve_from(fake_server* server, lv::tcp_listener listener) { co_await server->serve(std::move(listener)); }

lv::task<> with_server(talk talks, redis::options how, fake_server* server) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:6379");
  EXPECT_TRUE(listener);
  if (!listener) co_return;
  lv::scope parts{lv::on_failure::report};
  parts.spawn("server", serve_from, server, std::move(*listener));
  {
    redis::client client(std::move(how));
    co_await talks(&client, server);
  }
  parts.cancel();
  co_await parts.join();
}

void simulate(std::uint64_t seed, talk talks, redis::options how = {}, fake_server server = {}) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  server.random = lv::rng(seed);
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = seed}, with_server, talks, std::move(how), &server),
            0);
  EXPECT_EQ(server.open, 0U);
}

// Without a server to begin with.
lv::task<> alone(talk talks, redis::options how, fake_server* server) {
  redis::client client(std::move(how));
  co_await talks(&client, server);
}
void simulate_alone(talk talks, redis::options how = {}) {
  fake_server server;
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 5}, alone, talks, std::move(how), &server), 0);
}

std::string echoed(const redis::result<redis::value>& got) { return got ? std::string(got->text()) : got.error().message(); }

redis::options quick() {
  redis::options how;
  how.backoff_first = 10ms;
  how.backoff_max = 100ms;
  return how;
}

}  // namespace

TEST(redis_client, gives_each_of_many_tasks_the_reply_to_its_own_commands_and_sends_them_together) {
  for (std::uint64_t seed = 1; seed <= 5; seed++) {
    simulate(seed, [](redis::client* client, fake_server* server) -> lv::task<> {
      struct asks {
        static lv::task<> twenty(redis::client* of, int who) {
          for (int i = 0; i < 20; i++) {
            const std::string text = std::to_string(who) + "." + std::to_string(i);
            const auto got = co_await of->command("ECHO", text);
            EXPECT_EQ(echoed(got), text);
          }
        }
      };
      lv::scope callers;
      for (int i = 0; i < 100; i++) callers.spawn(asks::twenty, client, i);
      co_await callers.join();
      const redis::figures seen = client->look();
      EXPECT_EQ(seen.commands, 2000U);
      EXPECT_EQ(seen.connects, 1U);
      EXPECT_EQ(seen.up, 1U);
      EXPECT_EQ(seen.unanswered, 0U);
      EXPECT_LT(seen.writes, 1000U) << "commands of tasks that are ready together go together";
      EXPECT_EQ(server->connections, 1U);
    });
  }
}

TEST(redis_client, a_connection_keeps_nothing_that_was_bound_in_the_command_that_was_first) {
  simulate(1, [](redis::client* client, fake_server*) -> lv::task<> {
    static const lv::task_local<std::shared_ptr<int>> of_the_request{"request"};
    const auto value = std::make_shared<int>(7);
    {
      const auto bound = of_the_request.bind(value);
      EXPECT_EQ(echoed(co_await client->command("ECHO", "a")), "a");
    }
    EXPECT_EQ(value.use_count(), 1);
  });
}

// Deadlines of all lengths beside a server that takes its time: replies of callers that have gone are nobody's.
TEST(redis_client, a_storm_of_callers_that_leave_shifts_no_reply) {
  for (std::uint64_t seed = 1; seed <= 30 / levity::test::slow_build_factor + 3; seed++) {
    fake_server server;
    server.delay_max = 1ms;
    simulate(seed, [](redis::client* client, fake_server* from) -> lv::task<> {
      struct asks {
        static lv::task<> some(redis::client* of, fake_server* from, int who, int* answered, int* left) {
          for (int i = 0; i < 10; i++) {
            const std::string text = std::to_string(who) + "." + std::to_string(i);
            const auto span = std::chrono::microseconds(from->random.below(60'000));
            const auto got = co_await of->command(redis::within(span), "ECHO", text);
            if (got) {
              EXPECT_EQ(got->text(), text);
              ++*answered;
              continue;
            }
            EXPECT_EQ(got.error(), io_failure::timed_out) << got.error().message();
            if (!got.error().was_sent()) {
              EXPECT_EQ(from->seen["ECHO " + text], 0) << "it says that it was not sent";
            }
            ++*left;
          }
        }
      };
      int answered = 0;
      int left = 0;
      lv::scope callers;
      for (int i = 0; i < 50; i++) callers.spawn(asks::some, client, from, i, &answered, &left);
      co_await callers.join();
      EXPECT_EQ(answered + left, 500);
      EXPECT_GT(answered, 0);
      EXPECT_GT(left, 0);
      const auto last = co_await client->command(redis::no_deadline, "ECHO", "last");
      EXPECT_EQ(echoed(last), "last");
      EXPECT_EQ(client->look().unanswered, 0U);
      EXPECT_EQ(client->look().connects, 1U) << "nobody who leaves costs the others their connection";
    }, quick(), std::move(server));
  }
}

// The same beside a server that hangs up in the middle of replies, with callers that are cancelled, too.
TEST(redis_client, over_connections_that_break_no_command_is_carried_out_twice_and_no_reply_is_anothers) {
  for (std::uint64_t seed = 1; seed <= 30 / levity::test::slow_build_factor + 3; seed++) {
    fake_server server;
    server.delay_max = 300us;
    server.dies_at = 40;
    simulate(seed, [](redis::client* client, fake_server* from) -> lv::task<> {
      struct asks {
        static lv::task<> some(redis::client* of, fake_server* from, int who) {
          for (int i = 0; i < 10; i++) {
            const std::string text = std::to_string(who) + "." + std::to_string(i);
            redis::call_options how{.deadline = std::chrono::microseconds(from->random.below(200'000)),
                                    .repeats = who % 2 == 0 ? 0U : 3U};
            const auto got = co_await of->command(how, "ECHO", text);
            const int times = from->seen["ECHO " + text];
            EXPECT_LE(times, 1 + static_cast<int>(how.repeats)) << text;
            if (got) {
              EXPECT_EQ(got->text(), text);
              EXPECT_GE(times, 1);
            } else if (!got.error().was_sent()) {
              EXPECT_EQ(times, 0) << text << ": " << got.error().message();
            }
          }
        }
      };
      lv::scope callers;
      lv::scope cancelled;
      for (int i = 0; i < 40; i++) (i % 5 == 0 ? cancelled : callers).spawn(asks::some, client, from, i);
      co_await lv::sleep(20ms);
      cancelled.cancel();
      co_await cancelled.join();
      co_await callers.join();
      EXPECT_GT(client->look().lost, 0U);
      for (const auto& [line, times] : from->seen) {
        EXPECT_LE(times, line.starts_with("ECHO") ? 4 : 1000) << line;
      }
    }, quick(), std::move(server));
  }
}

TEST(redis_client, a_caller_out_of_time_leaves_and_its_late_reply_is_dropped) {
  simulate(3, [](redis::client* client, fake_server*) -> lv::task<> {
    const lv::time_point began = lv::clock::now();
    const auto late = co_await client->command("SLOW", 2000, "late");
    EXPECT_EQ(late.error(), io_failure::timed_out);
    EXPECT_TRUE(late.error().was_sent());
    EXPECT_GE(lv::clock::now() - began, 500ms) << "the deadline that nobody named";
    EXPECT_LT(lv::clock::now() - began, 510ms);
    const auto next = co_await client->command(redis::no_deadline, "ECHO", "next");
    EXPECT_EQ(echoed(next), "next");
    const auto slow = co_await client->command(redis::no_deadline, "SLOW", 3000, "slow");
    EXPECT_EQ(echoed(slow), "slow");
    EXPECT_EQ(client->look().connects, 1U);
  });
}

TEST(redis_client, a_cancelled_caller_is_told_so) {
  simulate(4, [](redis::client* client, fake_server*) -> lv::task<> {
    struct asks {
      static lv::task<> slowly(redis::client* of, bool* told) {
        const auto got = co_await of->command(redis::no_deadline, "SLOW", 60000, "x");
        EXPECT_EQ(got.error(), io_failure::cancelled);
        const auto more = co_await of->command("ECHO", "x");
        EXPECT_EQ(more.error(), io_failure::cancelled);
        EXPECT_FALSE(more.error().was_sent());
        *told = true;
      }
    };
    bool told = false;
    lv::scope callers;
    callers.spawn(asks::slowly, client, &told);
    co_await lv::sleep(10ms);
    callers.cancel();
    co_await callers.join();
    EXPECT_TRUE(told);
  });
}

TEST(redis_client, a_connection_lost_in_the_middle_of_a_reply_fails_what_was_sent_and_the_next_one_is_there) {
  simulate(6, [](redis::client* client, fake_server* server) -> lv::task<> {
    const auto half = co_await client->command("HALF", "0123456789");
    EXPECT_EQ(half.error(), io_failure::eof) << half.error().message();
    EXPECT_TRUE(half.error().was_sent());
    const auto next = co_await client->command("ECHO", "next");
    EXPECT_EQ(echoed(next), "next");
    EXPECT_EQ(server->seen["HALF 0123456789"], 1) << "not sent again";
    EXPECT_EQ(client->look().lost, 1U);
    EXPECT_EQ(client->look().connects, 2U);
  }, quick());
}

TEST(redis_client, only_what_may_be_repeated_is_sent_again) {
  simulate(7, [](redis::client* client, fake_server* server) -> lv::task<> {
    const auto once = co_await client->command("DIE", "once");
    EXPECT_FALSE(once);
    EXPECT_EQ(server->seen["DIE once"], 1);
    const auto twice = co_await client->command(redis::repeatable, "DIE", "twice");
    EXPECT_FALSE(twice);
    EXPECT_EQ(server->seen["DIE twice"], 2) << "once more, not without end";
  }, quick());
}

// Behind a command that kills the connection: those that were sent fail, or are repeated, those that were not are sent on the next
// one.
TEST(redis_client, what_was_not_sent_waits_for_the_next_connection) {
  redis::options how = quick();
  how.in_flight_max = 1000;
  simulate(8, [](redis::client* client, fake_server* server) -> lv::task<> {
    struct asks {
      static lv::task<> one(redis::client* of, const char* name, std::string text, const redis::call_options* how,
                            std::string* into) {
        const auto got = co_await of->command(*how, name, text);
        *into = got ? std::string(got->text()) : std::string(got.error().was_sent() ? "sent" : "not sent");
      }
    };
    const redis::call_options plain{};
    (void)co_await client->command("PING");
    std::string dies;
    std::string behind;
    std::string repeated;
    lv::scope callers;
    callers.spawn(asks::one, client, "DIE", "x", &plain, &dies);
    callers.spawn(asks::one, client, "ECHO", "behind", &plain, &behind);
    callers.spawn(asks::one, client, "ECHO", "repeated", &redis::repeatable, &repeated);
    co_await callers.join();
    EXPECT_EQ(dies, "sent");
    EXPECT_TRUE(behind == "sent" || behind == "behind") << behind;
    EXPECT_EQ(repeated, "repeated");
    EXPECT_LE(server->seen["ECHO behind"], 1);
  }, how);
}

TEST(redis_client, while_the_server_is_down_commands_fail_at_once_and_when_it_is_back_they_do_not) {
  simulate_alone([](redis::client* client, fake_server* server) -> lv::task<> {
    const auto first = co_await client->command("ECHO", "first");
    EXPECT_EQ(first.error(), io_failure::refused);
    EXPECT_FALSE(first.error().was_sent());
    for (int i = 0; i < 100; i++) {
      const lv::time_point began = lv::clock::now();
      const auto next = co_await client->command("ECHO", "next");
      EXPECT_EQ(next.error(), io_failure::refused);
      EXPECT_LT(lv::clock::now() - began, 20ms) << "at once";
      co_await lv::sleep(10ms);
    }
    EXPECT_LT(client->look().failed_connects, 100U) << "with pauses in between";
    EXPECT_GT(client->look().failed_connects, 5U);
    lv::scope parts{lv::on_failure::report};
    parts.spawn("server", serve, server);
    co_await lv::sleep(200ms);
    const auto back = co_await client->command("ECHO", "back");
    EXPECT_EQ(echoed(back), "back");
    parts.cancel();
    co_await parts.join();
  }, quick());
}

TEST(redis_client, commands_wait_for_a_server_that_is_down_where_that_is_wanted) {
  redis::options how = quick();
  how.waits_while_down = true;
  simulate_alone([](redis::client* client, fake_server* server) -> lv::task<> {
    const auto first = co_await client->command("ECHO", "first");
    EXPECT_EQ(first.error(), io_failure::timed_out);
    EXPECT_FALSE(first.error().was_sent());
    struct asks {
      static lv::task<> later(redis::client* of, std::string* into) {
        const auto got = co_await of->command(redis::within(10s), "ECHO", "later");
        *into = echoed(got);
      }
    };
    std::string later;
    lv::scope callers;
    callers.spawn(asks::later, client, &later);
    co_await lv::sleep(1s);
    lv::scope parts{lv::on_failure::report};
    parts.spawn("server", serve, server);
    co_await callers.join();
    EXPECT_EQ(later, "later");
    parts.cancel();
    co_await parts.join();
  }, how);
}

TEST(redis_client, an_error_of_the_server_has_its_code_and_costs_no_connection) {
  simulate(9, [](redis::client* client, fake_server*) -> lv::task<> {
    const auto wrong = co_await client->command("FAIL", "WRONGTYPE", "Operation", "against", "a", "key");
    EXPECT_EQ(wrong.error(), failure::server);
    EXPECT_EQ(wrong.error().code(), "WRONGTYPE");
    EXPECT_EQ(wrong.error().text(), "WRONGTYPE Operation against a key");
    const auto moved = co_await client->command("FAIL", "MOVED", "3999", "127.0.0.1:6381");
    EXPECT_EQ(moved.error().code(), "MOVED");
    const auto number = co_await client->incr("n", 5);
    EXPECT_EQ(number.value_or(0), 5);
    const auto mismatch = co_await client->exists("n");
    EXPECT_EQ(mismatch.error(), failure::mismatch) << "the fake says OK";
    EXPECT_EQ(client->look().connects, 1U);
  });
}

TEST(redis_client, a_server_out_of_its_mind_loses_the_connection) {
  simulate(10, [](redis::client* client, fake_server*) -> lv::task<> {
    const auto garbage = co_await client->command("GARBAGE");
    EXPECT_EQ(garbage.error(), failure::protocol);
    const auto twice = co_await client->command("TWICE", "x");
    EXPECT_EQ(echoed(twice), "x");
    co_await lv::sleep(50ms);
    EXPECT_EQ(client->look().lost, 2U) << "a reply that nobody asked for";
    const auto next = co_await client->command("ECHO", "next");
    EXPECT_EQ(echoed(next), "next");
  }, quick());
}

TEST(redis_client, a_push_is_no_reply) {
  simulate(11, [](redis::client* client, fake_server*) -> lv::task<> {
    const auto got = co_await client->command("PUSHED", "x");
    EXPECT_EQ(echoed(got), "x");
    EXPECT_EQ(client->look().pushes, 1U);
  });
}

TEST(redis_client, introduces_itself_as_it_was_told) {
  redis::options how;
  how.user = "me";
  how.password = "secret";
  how.name = "tests";
  how.database = 3;
  fake_server server;
  server.password = "secret";
  simulate(12, [](redis::client* client, fake_server* to) -> lv::task<> {
    const auto got = co_await client->ping();
    EXPECT_TRUE(got);
    const std::vector<std::string> wanted{"HELLO 3 AUTH me secret SETNAME tests", "SELECT 3", "PING"};
    EXPECT_EQ(to->log, wanted);
  }, how, std::move(server));
}

TEST(redis_client, takes_resp2_where_the_server_has_no_hello) {
  redis::options how;
  how.password = "secret";
  how.name = "tests";
  how.database = 3;
  fake_server server;
  server.password = "secret";
  server.knows_hello = false;
  simulate(13, [](redis::client* client, fake_server* to) -> lv::task<> {
    const auto got = co_await client->get("nothing");
    EXPECT_TRUE(got && !got->has_value());
    const std::vector<std::string> wanted{"HELLO 3 AUTH default secret SETNAME tests", "AUTH secret", "CLIENT SETNAME tests",
                                          "SELECT 3", "GET nothing"};
    EXPECT_EQ(to->log, wanted);
  }, how, std::move(server));
}

TEST(redis_client, a_wrong_password_is_the_error_of_every_command) {
  redis::options how;
  how.password = "wrong";
  fake_server server;
  server.password = "secret";
  simulate(14, [](redis::client* client, fake_server* to) -> lv::task<> {
    for (int i = 0; i < 3; i++) {
      const auto got = co_await client->command("ECHO", "x");
      EXPECT_EQ(got.error(), failure::server);
      EXPECT_EQ(got.error().code(), "WRONGPASS");
      EXPECT_FALSE(got.error().was_sent());
    }
    EXPECT_EQ(to->seen["ECHO x"], 0);
  }, how, std::move(server));
}

TEST(redis_client, no_more_commands_are_in_flight_than_may_be_whoever_leaves) {
  redis::options how = quick();
  how.in_flight_max = 4;
  simulate(15, [](redis::client* client, fake_server* server) -> lv::task<> {
    struct asks {
      static lv::task<> one(redis::client* of, int who, int* late) {
        const auto got = co_await of->command("ECHO", who);
        EXPECT_EQ(got.error(), io_failure::timed_out);
        ++*late;
      }
    };
    const auto first = co_await client->ping();
    EXPECT_TRUE(first);
    const auto muted = co_await client->command(redis::within(100ms), "MUTE");
    EXPECT_FALSE(muted);
    int late = 0;
    lv::scope callers;
    for (int i = 0; i < 50; i++) callers.spawn(asks::one, client, i, &late);
    co_await callers.join();
    EXPECT_EQ(late, 50);
    EXPECT_LE(server->log.size(), 2U + 4U) << "HELLO, PING, and what was in flight";
    EXPECT_EQ(client->look().unanswered, 4U);
  }, how);
}

TEST(redis_client, a_large_command_goes_as_it_is) {
  redis::options how;
  how.in_flight_max = 64;
  simulate(16, [](redis::client* client, fake_server*) -> lv::task<> {
    struct asks {
      static lv::task<> one(redis::client* of, std::size_t size) {
        const std::string text(size, static_cast<char>('a' + size % 26));
        const auto got = co_await of->command(redis::no_deadline, "ECHO", text);
        EXPECT_TRUE(got && got->text() == text) << size;
      }
    };
    lv::scope callers;
    for (const std::size_t size : {1, 16'384, 100'000, 5, 16'300, 300'000, 7, 40'000, 16'385})
      callers.spawn(asks::one, client, size);
    co_await callers.join();
  }, how);
}

TEST(redis_client, a_connection_that_says_nothing_is_given_up_and_one_that_is_idle_is_asked) {
  simulate(17, [](redis::client* client, fake_server* server) -> lv::task<> {
    const auto first = co_await client->command("ECHO", "first");
    EXPECT_EQ(echoed(first), "first");
    co_await lv::sleep(60s);
    EXPECT_GT(server->seen["PING"], 3);
    EXPECT_LT(server->seen["PING"], 15);
    EXPECT_EQ(client->look().connects, 1U) << "it answers";
    const auto muted = co_await client->command("MUTE");
    EXPECT_EQ(muted.error(), io_failure::timed_out);
    co_await lv::sleep(11s);
    const auto next = co_await client->command("ECHO", "next");
    EXPECT_EQ(echoed(next), "next") << "on another connection";
    EXPECT_EQ(client->look().connects, 2U);
    const auto slow = co_await client->command(redis::no_deadline, "SLOW", 60000, "slow");
    EXPECT_EQ(echoed(slow), "slow") << "whose caller waits for as long as it takes";
    EXPECT_EQ(client->look().connects, 2U);
  });
}

// Over real sockets: what notices it is the kernel.
lv::task<> lose_the_machine(bool others_ask, fake_server* server) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  EXPECT_TRUE(listener);
  if (!listener) co_return;
  redis::options how = quick();
  how.address = listener->local_address().to_string();
  how.deadline = 20s;
  how.health_interval = 200ms;
  lv::scope parts{lv::on_failure::report};
  parts.spawn("server", serve_from, server, std::move(*listener));
  {
    struct asks {
      static lv::task<> without_end(redis::client* of) {
        // Late by far: a kernel that is left alone probes such a connection for a quarter of an hour, or never.
        const auto got = co_await lv::with_deadline(60s, of->command(redis::no_deadline, "SLOW", 3'600'000, "x"));
        EXPECT_EQ(got.error(), io_failure::timed_out) << got.error().message();
        EXPECT_TRUE(got.error().was_sent());
        EXPECT_EQ(of->look().lost, 1U) << "not the caller's time was over, but the connection's";
      }
    };
    redis::client client(std::move(how));
    lv::scope callers;
    callers.spawn(asks::without_end, &client);
    while (!server->seen.contains("SLOW 3600000 x")) co_await lv::sleep(1ms);
    server->vanish_all();
    if (others_ask) {
      const auto other = co_await client.command(redis::within(50ms), "ECHO", "lost");
      EXPECT_EQ(other.error(), io_failure::timed_out);
    }
    co_await callers.join();
    const auto next = co_await client.command("ECHO", "next");
    EXPECT_EQ(echoed(next), "next") << "on another connection";
  }
  parts.cancel();
  co_await parts.join();
}

TEST(redis_client, a_server_whose_machine_is_gone_is_given_up_even_by_who_waits_for_as_long_as_it_takes) {
  for (const bool others_ask : {true, false}) {
    SCOPED_TRACE(others_ask ? "something is sent" : "nothing is sent");
    fake_server server;
    EXPECT_EQ(lv::test::run_tasks(1, lose_the_machine, others_ask, &server), 0);
  }
}

TEST(redis_client, what_others_would_notice_is_refused_before_it_is_sent) {
  simulate(18, [](redis::client* client, fake_server* server) -> lv::task<> {
    for (const char* name : {"MULTI", "BLPOP", "SELECT", "SUBSCRIBE", "MONITOR"}) {
      const auto got = co_await client->command(name, "x");
      EXPECT_EQ(got.error(), failure::refused);
      EXPECT_FALSE(got.error().was_sent());
    }
    EXPECT_EQ(server->connections, 0U);
  });
}

TEST(redis_client, closed_fails_who_waits_and_who_comes_and_leaves_no_connection) {
  simulate(19, [](redis::client* client, fake_server* server) -> lv::task<> {
    struct asks {
      static lv::task<> slowly(redis::client* of, bool* told) {
        const auto got = co_await of->command(redis::no_deadline, "SLOW", 5000, "x");
        EXPECT_EQ(got.error(), io_failure::closed) << got.error().message();
        EXPECT_TRUE(got.error().was_sent());
        *told = true;
      }
    };
    bool told = false;
    lv::scope callers;
    callers.spawn(asks::slowly, client, &told);
    co_await lv::sleep(100ms);
    EXPECT_EQ(server->open, 1U);
    client->close();
    client->close();
    co_await callers.join();
    EXPECT_TRUE(told);
    const auto next = co_await client->command("ECHO", "x");
    EXPECT_EQ(next.error(), io_failure::closed);
    EXPECT_FALSE(next.error().was_sent());
    const auto session = co_await client->open_session();
    EXPECT_EQ(session.error(), io_failure::closed);
    co_await lv::sleep(10s);
    EXPECT_EQ(server->open, 0U);
  });
}

TEST(redis_client, may_have_several_trunks) {
  redis::options how;
  how.trunks = 3;
  simulate(20, [](redis::client* client, fake_server* server) -> lv::task<> {
    for (int i = 0; i < 9; i++) {
      const auto got = co_await client->command("ECHO", i);
      EXPECT_EQ(echoed(got), std::to_string(i));
    }
    EXPECT_EQ(server->connections, 3U);
    EXPECT_EQ(client->look().up, 3U);
  }, how);
}

TEST(redis_session, is_for_one_caller_and_goes_back_as_it_was) {
  redis::options how;
  how.sessions_max = 1;
  simulate(21, [](redis::client* client, fake_server* server) -> lv::task<> {
    {
      auto first = co_await client->open_session();
      EXPECT_TRUE(first);
      const auto got = co_await first->command("ECHO", "x");
      EXPECT_EQ(echoed(got), "x");
      const auto second = co_await client->open_session();
      EXPECT_EQ(second.error(), io_failure::timed_out) << "there is one only";
    }
    {
      auto again = co_await client->open_session();
      EXPECT_TRUE(again);
      EXPECT_EQ(server->connections, 1U) << "the same connection";
      const auto watched = co_await again->command("WATCH", "k");
      EXPECT_TRUE(watched);
    }
    {
      auto fresh = co_await client->open_session();
      EXPECT_TRUE(fresh);
      EXPECT_EQ(server->connections, 2U) << "what watches a key is not given on";
      const auto late = co_await fresh->command("SLOW", 2000, "late");
      EXPECT_EQ(late.error(), io_failure::timed_out);
      EXPECT_FALSE(fresh->is_open()) << "its reply would be taken for another's";
      const auto closed = co_await fresh->command("ECHO", "x");
      EXPECT_EQ(closed.error(), io_failure::closed);
    }
    co_await lv::sleep(5s);
    auto last = co_await client->open_session();
    EXPECT_TRUE(last);
    EXPECT_EQ(server->connections, 3U);
    const auto refused = co_await last->command("SUBSCRIBE", "x");
    EXPECT_EQ(refused.error(), failure::refused);
  }, how);
}

TEST(redis_session, one_that_lay_is_asked_and_one_that_died_is_replaced) {
  simulate(22, [](redis::client* client, fake_server* server) -> lv::task<> {
    { const auto first = co_await client->open_session(); }
    co_await lv::sleep(10s);
    {
      auto again = co_await client->open_session();
      EXPECT_EQ(server->seen["PING"], 1);
      EXPECT_EQ(server->connections, 1U);
      const auto lost = co_await again->command("HALF", "0123456789");
      EXPECT_EQ(lost.error(), io_failure::eof);
    }
    auto next = co_await client->open_session();
    EXPECT_TRUE(next);
    EXPECT_EQ(server->connections, 2U);
  });
}

lv::task<> hold_some(redis::client* client, std::size_t count) {
  std::vector<redis::session> held;
  for (std::size_t i = 0; i < count; i++) {
    auto one = co_await client->open_session();
    EXPECT_TRUE(one);
    if (one) held.push_back(std::move(*one));
  }
}

TEST(redis_session, silent_ones_that_lay_leave_the_caller_time_for_another) {
  simulate(24, [](redis::client* client, fake_server* server) -> lv::task<> {
    co_await hold_some(client, 2);
    co_await lv::sleep(10s);
    server->mute_all();
    const auto fresh = co_await client->open_session();
    EXPECT_TRUE(fresh) << "within the same half second";
    EXPECT_EQ(server->connections, 3U);
  });
}

TEST(redis_session, who_is_cancelled_while_one_is_asked_leaves_the_others_alone) {
  simulate(25, [](redis::client* client, fake_server* server) -> lv::task<> {
    struct asks {
      static lv::task<> once(redis::client* of) {
        const auto got = co_await of->open_session();
        EXPECT_EQ(got.error(), io_failure::cancelled);
        EXPECT_FALSE(got.error().was_sent());
      }
    };
    co_await hold_some(client, 4);
    co_await lv::sleep(10s);
    EXPECT_EQ(server->open, 4U);
    server->mute_all();
    lv::scope caller;
    caller.spawn(asks::once, client);
    co_await lv::sleep(10ms);
    caller.cancel();
    co_await caller.join();
    const auto late = co_await lv::with_deadline(0us, client->open_session());
    EXPECT_EQ(late.error(), io_failure::timed_out) << late.error().message();
    co_await lv::sleep(1s);
    EXPECT_GE(server->open, 2U) << "at most one for each of them is closed, whose PING is under way";
    EXPECT_EQ(server->connections, 4U);
  });
}

TEST(redis_session, a_transaction_that_may_not_begin_carries_nothing_out) {
  fake_server server;
  server.forbidden = {"MULTI"};
  simulate(26, [](redis::client* client, fake_server* of) -> lv::task<> {
    auto held = co_await client->open_session();
    EXPECT_TRUE(held);
    std::vector<redis::request> commands;
    commands.emplace_back("INCRBY", "n", 2);
    auto all = co_await held->transaction(commands);
    EXPECT_EQ(all.error(), failure::server);
    EXPECT_EQ(all.error().code(), "NOPERM") << all.error().message();
    EXPECT_FALSE(all.error().was_sent());
    EXPECT_EQ(of->seen["INCRBY n 2"], 0);
    of->forbidden.clear();
    all = co_await held->transaction(commands);
    EXPECT_TRUE(all && *all) << "the session is as it was";
    EXPECT_EQ(of->table["n"], "2");
  }, {}, std::move(server));
}

TEST(redis_session, a_transaction_that_may_not_end_is_no_one_elses) {
  fake_server server;
  server.forbidden = {"EXEC"};
  simulate(27, [](redis::client* client, fake_server* of) -> lv::task<> {
    {
      auto held = co_await client->open_session();
      EXPECT_TRUE(held);
      std::vector<redis::request> commands;
      commands.emplace_back("INCRBY", "n", 2);
      const auto all = co_await held->transaction(std::move(commands));
      EXPECT_EQ(all.error().code(), "NOPERM") << all.error().message();
      EXPECT_FALSE(held->is_open());
    }
    of->forbidden.clear();
    auto next = co_await client->open_session();
    EXPECT_TRUE(next);
    const auto got = co_await next->command("ECHO", "x");
    EXPECT_EQ(echoed(got), "x") << "not queued behind another's";
  }, {}, std::move(server));
}

TEST(redis_session, a_transaction_gives_all_replies) {
  simulate(23, [](redis::client* client, fake_server*) -> lv::task<> {
    auto held = co_await client->open_session();
    EXPECT_TRUE(held);
    std::vector<redis::request> commands;
    commands.emplace_back("INCRBY", "n", 2);
    commands.emplace_back("ECHO", "x");
    commands.emplace_back("FAIL", "ERR", "no");
    const auto all = co_await held->transaction(std::move(commands));
    EXPECT_TRUE(all && all->has_value());
    if (!all || !all->has_value()) co_return;
    EXPECT_EQ((*all)->size(), 3U);
    EXPECT_EQ((**all)[0].to_integer(), 2);
    EXPECT_EQ((**all)[1].text(), "x");
    EXPECT_EQ((**all)[2].error_code(), "ERR");
    std::vector<redis::request> wrong;
    wrong.emplace_back("BLPOP", "k", 0);
    const auto refused = co_await held->transaction(std::move(wrong));
    EXPECT_EQ(refused.error(), failure::refused);
  });
}

TEST(redis_subscription, gives_what_is_published_and_tells_of_gaps) {
  for (const bool resp3 : {true, false}) {
    fake_server server;
    server.knows_hello = resp3;
    simulate(24, [](redis::client* client, fake_server* from) -> lv::task<> {
      const redis::topics two{.channels = {"a", "b"}};
      const redis::topics third{.channels = {"c"}};
      const redis::topics second{.channels = {"b"}};
      auto news = co_await client->subscribe(two);
      EXPECT_TRUE(news) << news.error().message();
      if (!news) co_return;
      const auto heard = co_await client->publish("a", "one");
      EXPECT_EQ(heard.value_or(0), 1);
      auto one = co_await news->next();
      EXPECT_TRUE(one && one->what == redis::message::kind::text && one->channel == "a" && one->payload == "one");
      const auto waited = co_await lv::with_deadline(100ms, news->next());
      EXPECT_EQ(waited.error(), io_failure::timed_out) << "took nothing";
      const auto added = co_await news->add(third);
      EXPECT_TRUE(added);
      const auto removed = co_await news->remove(second);
      EXPECT_TRUE(removed);
      co_await lv::sleep(100ms);
      EXPECT_EQ((co_await client->publish("b", "nobody")).value_or(9), 0);
      EXPECT_EQ((co_await client->publish("c", "two")).value_or(9), 1);
      one = co_await news->next();
      EXPECT_TRUE(one && one->payload == "two");
      // The server goes, for all of its connections.
      from->hang_up_all();
      co_await lv::sleep(100ms);
      one = co_await news->next();
      EXPECT_TRUE(one && one->what == redis::message::kind::gap) << (one ? one->payload : one.error().message());
      EXPECT_EQ((co_await client->publish("c", "three")).value_or(9), 1) << "what was added is subscribed to again";
      EXPECT_EQ((co_await client->publish("b", "nobody")).value_or(9), 0) << "what was removed is not";
      one = co_await news->next();
      EXPECT_TRUE(one && one->payload == "three") << (one ? one->payload : one.error().message());
    }, quick(), std::move(server));
  }
}

TEST(redis_subscription, notices_a_connection_that_says_nothing) {
  simulate(25, [](redis::client* client, fake_server* server) -> lv::task<> {
    const redis::topics one{.channels = {"a"}};
    auto news = co_await client->subscribe(one);
    EXPECT_TRUE(news);
    const auto quiet = co_await lv::with_deadline(60s, news->next());
    EXPECT_EQ(quiet.error(), io_failure::timed_out) << "it answers to PING";
    EXPECT_GT(server->seen["PING"], 5);
    server->mute_all();
    const lv::time_point began = lv::clock::now();
    const auto gap = co_await news->next();
    EXPECT_TRUE(gap && gap->what == redis::message::kind::gap);
    EXPECT_LT(lv::clock::now() - began, 16s);
  }, quick());
}
