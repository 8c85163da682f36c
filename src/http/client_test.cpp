// The client in simulated worlds: what it asks for, what it makes of answers, what becomes of connections.

#include "levity/http/client.hpp"

#include <gtest/gtest.h>

#include <charconv>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/http_world.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;
using http::client_failure;
using http::method;
using http::outgoing;
using http::test::at;
using http::test::in_worlds;
using http::test::line;
using http::test::ok_with;
using http::test::only_host;
using http::test::script;
using http::test::with_script;
using http::test::with_server;

using script_talk = lv::task<> (*)(script*);
using server_talk = lv::task<> (*)();

void with_servers(server_talk talks, http::server_options options = {}, std::uint64_t worlds = 10) {
  in_worlds(worlds, with_server<server_talk>, options, talks);
}

lv::task<> from_fresh_script(script plan, script_talk talks) { co_await with_script(&plan, talks); }

void with_scripts(const script& plan, script_talk talks, std::uint64_t worlds = 10) {
  in_worlds(worlds, from_fresh_script, plan, talks);
}

http::client_options only_one_connection() {
  http::client_options options;
  options.pool.per_host = 1;
  return options;
}

std::string read_of(const std::expected<http::answer, http::client_error>& got) {
  return got ? std::string(got->body()) : "failed: " + got.error().message();
}

lv::task<> ask_and_note(http::client* client, std::string path, std::vector<std::string>* into) {
  const auto got = co_await client->get(at(path));
  into->push_back(read_of(got));
}

}  // namespace

// ---- asking and answering --------------------------------------------------------------------------------------------

TEST(http_client, gets_status_fields_and_body) {
  with_servers([]() -> lv::task<> {
    http::client client;
    const auto got = co_await client.get(at("/hello"));
    EXPECT_TRUE(got.has_value()) << got.error().message();
    if (!got) co_return;
    EXPECT_EQ(got->status(), http::status::ok);
    EXPECT_TRUE(got->ok());
    EXPECT_EQ(got->body(), "hello");
    EXPECT_EQ(got->find("content-type"), "text/plain");
    EXPECT_FALSE(got->over_kept_connection());
    const auto missing = co_await client.get(at("/nowhere"));
    EXPECT_TRUE(missing.has_value());
    if (!missing) co_return;
    EXPECT_EQ(missing->status(), http::status::not_found);
    EXPECT_FALSE(missing->ok());
    EXPECT_TRUE(missing->over_kept_connection());
  });
}

TEST(http_client, sends_method_fields_and_body_as_they_were_set) {
  with_servers([]() -> lv::task<> {
    http::client client;
    outgoing asked{method::post, at("/show?x=1#part")};
    EXPECT_TRUE(asked.set("X-Order", "42"));
    EXPECT_TRUE(asked.add("X-Order", "43"));
    asked.set_body("four");
    const auto got = co_await client.send(std::move(asked));
    EXPECT_EQ(read_of(got), "POST /show?x=1\nHost: 127.0.0.1:7000\nContent-Length: 4\nX-Order: 42\nX-Order: 43\nbody=four");
    const auto posted = co_await client.post(at("/echo"), "text/plain", "a body");
    EXPECT_EQ(read_of(posted), "a body");
    outgoing with_host{method::get, at("/show")};
    EXPECT_TRUE(with_host.set("Host", "orders.internal"));
    const auto named = co_await client.send(std::move(with_host));
    EXPECT_EQ(read_of(named), "GET /show\nHost: orders.internal\nbody=");
    outgoing empty{method::post, at("/show")};
    const auto nothing = co_await client.send(std::move(empty));
    EXPECT_EQ(read_of(nothing), "POST /show\nHost: 127.0.0.1:7000\nContent-Length: 0\nbody=");
  });
}

TEST(http_client, lets_nobody_smuggle_a_field_in) {
  outgoing asked{method::get, at("/")};
  EXPECT_FALSE(asked.set("X", "a\r\nAuthorization: x"));
  EXPECT_FALSE(asked.set("X y", "a"));
  EXPECT_FALSE(asked.set("", "a"));
  EXPECT_FALSE(asked.set("X", std::string_view("a\0b", 3)));
  EXPECT_FALSE(asked.set("Content-Length", "3"));
  EXPECT_FALSE(asked.set("transfer-encoding", "chunked"));
  EXPECT_FALSE(asked.set("Connection", "close"));
  EXPECT_FALSE(asked.set("Expect", "100-continue"));
  EXPECT_FALSE(asked.add("Upgrade", "h2c"));
  EXPECT_FALSE(asked.add("TE", "trailers"));
  EXPECT_EQ(asked.fields().text(), "");
}

TEST(http_client, reads_every_kind_of_answer) {
  script plan;
  plan.connections = {{
      line{.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nETag: e\r\n\r\n"},
      line{.answer = "HTTP/1.1 204 No Content\r\n\r\n"},
      line{.answer = "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n"},
      line{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"},
      line{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
      line{.answer = "HTTP/1.1 200 OK\r\n\r\nuntil the end", .closes = true},
  }};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    const auto chunked = co_await client.get(at("/1"));
    EXPECT_EQ(read_of(chunked), "abcde");
    if (chunked) {
      EXPECT_EQ(chunked->trailers().find("etag"), "e");
    }
    EXPECT_EQ(read_of(co_await client.get(at("/2"))), "");
    EXPECT_EQ(read_of(co_await client.get(at("/3"))), "");
    const auto head = co_await client.send(outgoing{method::head, at("/4")});
    EXPECT_EQ(read_of(head), "");
    if (head) {
      EXPECT_EQ(head->content_length(), 50U);
    }
    EXPECT_EQ(read_of(co_await client.get(at("/5"))), "");
    EXPECT_EQ(only_host(client).idle, 1U);
    EXPECT_EQ(read_of(co_await client.get(at("/6"))), "until the end");
    EXPECT_EQ(only_host(client).open, 0U) << "a body that ends with the connection leaves none";
    EXPECT_EQ(of->accepted, 1);
  });
}

TEST(http_client, says_what_is_wrong_with_a_url_and_sends_nothing) {
  in_worlds(1, []() -> lv::task<> {
    http::client client;
    static const char* const texts[] = {"",
                                        "127.0.0.1:7000/",
                                        "https://127.0.0.1/",
                                        "ftp://a/",
                                        "http://",
                                        "http://a b/",
                                        "http://u:p@a/",
                                        "http://a:0/",
                                        "http://a:99999/",
                                        "http://a/ b",
                                        "http://a/%zz",
                                        "http://[::1/"};
    for (const char* const text : texts) {
      const auto got = co_await client.get(text);
      EXPECT_FALSE(got.has_value()) << text;
      if (got) continue;
      EXPECT_EQ(got.error(), client_failure::invalid_request) << text;
      EXPECT_NE(got.error().message().find("URL"), std::string::npos) << got.error().message();
    }
    EXPECT_EQ(read_of(co_await client.send(outgoing{method::connect, at("/")})),
              "failed: CONNECT is for proxies, which this client does not use");
    EXPECT_TRUE(client.look().hosts.empty());
  });
}

TEST(http_client, says_when_nobody_listens_and_repeats_nothing) {
  in_worlds(5, []() -> lv::task<> {
    http::client client;
    const auto got = co_await client.get(at("/"));
    EXPECT_FALSE(got.has_value());
    if (got) co_return;
    EXPECT_EQ(got.error(), client_failure::unreachable);
    EXPECT_EQ(got.error().cause(), lv::io_failure::refused);
    EXPECT_NE(got.error().message().find("cannot connect to 127.0.0.1:7000"), std::string::npos) << got.error().message();
    const auto named = co_await client.get("http://orders.internal/");
    EXPECT_FALSE(named.has_value());
    if (!named) {
      EXPECT_EQ(named.error(), client_failure::unresolved) << "a simulated world has no names";
    }
    EXPECT_EQ(client.look().hosts.front().connects, 0U);
    EXPECT_EQ(client.look().hosts.front().failures, 1U);
    EXPECT_EQ(client.look().hosts.front().in_use, 0U);
  });
}

TEST(http_client, refuses_bad_answers_and_drops_their_connections) {
  for (const char* const bad : {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
                                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "garbage",
                                "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 101 x\r\n\r\n"}) {
    script plan;
    plan.connections = {{line{.answer = bad}}, {line{.answer = ok_with("fine")}}};
    with_scripts(plan, [](script* of) -> lv::task<> {
      http::client client;
      const auto got = co_await client.get(at("/1"));
      EXPECT_FALSE(got.has_value());
      if (!got) {
        EXPECT_EQ(got.error(), client_failure::bad_answer) << got.error().message();
        EXPECT_NE(got.error().refused(), http::refusal::none);
      }
      EXPECT_EQ(read_of(co_await client.get(at("/2"))), "fine");
      EXPECT_EQ(of->accepted, 2);
      EXPECT_EQ(of->ended_by_peer, 1);
    }, 3);
  }
}

TEST(http_client, bounds_what_it_reads_whole) {
  script plan;
  plan.connections = {
      {line{.answer = ok_with(std::string(100, 'a'))}},
      {line{.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + std::string(100, 'a') + "\r\n0\r\n\r\n"}},
      {line{.answer = "HTTP/1.1 200 OK\r\n\r\n" + std::string(100, 'a'), .closes = true}},
      {line{.answer = ok_with(std::string(99, 'a'))}}};
  with_scripts(plan, [](script*) -> lv::task<> {
    http::client client;
    for (int i = 0; i < 4; i++) {
      outgoing asked{method::get, at("/")};
      asked.set_answer_max(99);
      const auto got = co_await client.send(std::move(asked));
      EXPECT_EQ(got.has_value(), i == 3);
      if (!got) {
        EXPECT_EQ(got.error(), client_failure::answer_too_large) << got.error().message();
      }
    }
  });
}

// ---- time ------------------------------------------------------------------------------------------------------------

TEST(http_client, gives_up_after_three_seconds_unless_told_otherwise) {
  with_servers([]() -> lv::task<> {
    http::client client;
    lv::time_point began = lv::clock::now();
    const auto got = co_await client.get(at("/never"));
    lv::duration took = lv::clock::now() - began;
    EXPECT_FALSE(got.has_value());
    if (got) co_return;
    EXPECT_EQ(got.error(), client_failure::timed_out);
    EXPECT_NE(got.error().message().find("127.0.0.1:7000 has not answered to the end within 3000 ms; no byte of its answer came"),
              std::string::npos)
        << got.error().message();
    EXPECT_GE(took, 3s);
    EXPECT_LT(took, 3s + 50ms);
    EXPECT_EQ(only_host(client).open, 0U) << "a connection whose answer never came is closed";

    outgoing shorter{method::get, at("/never")};
    shorter.set_timeout(200ms);
    began = lv::clock::now();
    EXPECT_EQ((co_await client.send(std::move(shorter))).error(), client_failure::timed_out);
    took = lv::clock::now() - began;
    EXPECT_GE(took, 200ms);
    EXPECT_LT(took, 250ms);

    began = lv::clock::now();
    const auto nearer = co_await lv::with_deadline(50ms, client.get(at("/never")));
    EXPECT_FALSE(nearer.has_value());
    if (!nearer) {
      EXPECT_EQ(nearer.error(), client_failure::timed_out);
    }
    EXPECT_LT(lv::clock::now() - began, 100ms);
  });
}

TEST(http_client, waits_for_ever_where_no_deadline_is_spelled_out) {
  http::server_options patient;
  patient.request_timeout = 48h;
  with_servers([]() -> lv::task<> {
    http::client client;
    outgoing asked{method::get, at("/never")};
    asked.no_deadline();
    const lv::time_point began = lv::clock::now();
    EXPECT_EQ(read_of(co_await client.send(std::move(asked))), "");
    EXPECT_GE(lv::clock::now() - began, 24h);
  }, patient, 2);
}

TEST(http_client, tells_the_server_how_long_it_waits) {
  with_servers([]() -> lv::task<> {
    http::client_options options;
    options.send_deadline = true;
    http::client client{options};
    const auto left = [](const std::string& shown) {
      const std::size_t found = shown.find("X-Request-Deadline-Ms: ");
      return found == std::string::npos ? -1L : std::stol(shown.substr(found + 23));
    };
    const long whole = left(read_of(co_await client.get(at("/show"))));
    EXPECT_GT(whole, 2900);
    EXPECT_LE(whole, 3000);
    const long nearer = left(read_of(co_await lv::with_deadline(500ms, client.get(at("/show")))));
    EXPECT_GT(nearer, 400) << "the caller's own deadline is nearer";
    EXPECT_LE(nearer, 500);
    const long further = left(read_of(co_await lv::with_deadline(1h, client.get(at("/show")))));
    EXPECT_GT(further, 2900);
    outgoing endless{method::get, at("/show")};
    endless.no_deadline();
    EXPECT_EQ(left(read_of(co_await client.send(std::move(endless)))), -1);
    outgoing own{method::get, at("/show")};
    own.set("X-Request-Deadline-Ms", "7");
    EXPECT_EQ(left(read_of(co_await client.send(std::move(own)))), 7);
    http::client silent;
    EXPECT_EQ(left(read_of(co_await silent.get(at("/show")))), -1);
  });
}

TEST(http_client, tells_where_the_time_went) {
  with_servers([]() -> lv::task<> {
    http::client client{only_one_connection()};
    const auto first = co_await client.get(at("/slow/1"));
    EXPECT_TRUE(first.has_value());
    if (!first) co_return;
    const http::phase_timings& cold = first->timings();
    EXPECT_EQ(cold.queue, 0ns);
    EXPECT_GT(cold.connect, 0ns);
    EXPECT_GE(cold.first_byte, 100ms);
    EXPECT_GE(cold.total, cold.connect + cold.first_byte);
    lv::scope others;
    std::vector<std::string> got;
    others.spawn(ask_and_note, &client, std::string("/slow/2"), &got);
    co_await lv::sleep(20ms);
    const auto second = co_await client.get(at("/slow/3"));
    co_await others.join();
    EXPECT_TRUE(second.has_value());
    if (!second) co_return;
    EXPECT_GE(second->timings().queue, 50ms) << "it waited for the only connection";
    EXPECT_EQ(second->timings().connect, 0ns);
  });
}

// ---- the pool --------------------------------------------------------------------------------------------------------

TEST(http_client, keeps_its_connection) {
  with_servers([]() -> lv::task<> {
    http::client client;
    for (int i = 0; i < 20; i++) EXPECT_EQ(read_of(co_await client.get(at("/id/" + std::to_string(i)))), std::to_string(i));
    const http::host_figures seen = only_host(client);
    EXPECT_EQ(seen.authority, "127.0.0.1:7000");
    EXPECT_EQ(seen.connects, 1U);
    EXPECT_EQ(seen.reused, 19U);
    EXPECT_EQ(seen.idle, 1U);
    EXPECT_EQ(seen.open, 1U);
    EXPECT_EQ(seen.in_use, 0U);
  });
}

namespace {

lv::task<> ask_many(http::client* client, int worker, int count, int* right) {
  http::answer got;
  outgoing asked;
  for (int i = 0; i < count; i++) {
    const std::string id = std::to_string(worker) + "-" + std::to_string(i) + std::string(static_cast<std::size_t>(i % 97), 'x');
    asked.set_url(at("/id/" + id));
    const auto ended = co_await client->send(asked, got);
    EXPECT_TRUE(ended.has_value()) << ended.error().message();
    if (ended && got.body() == id) ++*right;
  }
}

}  // namespace

TEST(http_client, answers_ten_thousand_requests_over_a_hundred_connections) {
  with_servers([]() -> lv::task<> {
    constexpr int tasks = 200;
    constexpr int each = 50 / lv::test::slow_build_factor;
    http::client client;
    int right = 0;
    lv::scope asking;
    for (int i = 0; i < tasks; i++) asking.spawn(ask_many, &client, i, each, &right);
    co_await asking.join();
    EXPECT_EQ(right, tasks * each);
    const http::host_figures seen = only_host(client);
    EXPECT_EQ(seen.connects, 100U) << "200 tasks share 100 connections";
    EXPECT_EQ(seen.idle, 100U);
    EXPECT_EQ(seen.failures, 0U);
  }, {}, 1);
}

TEST(http_client, serves_who_waits_in_order) {
  with_servers([]() -> lv::task<> {
    http::client client{only_one_connection()};
    std::vector<std::string> got;
    lv::scope asking;
    for (int i = 0; i < 6; i++) {
      asking.spawn(ask_and_note, &client, "/slow/" + std::to_string(i), &got);
      co_await lv::sleep(1ms);
    }
    EXPECT_EQ(only_host(client).waiting, 5U);
    EXPECT_GT(only_host(client).oldest_wait, 0ns);
    co_await asking.join();
    EXPECT_EQ(got, (std::vector<std::string>{"0", "1", "2", "3", "4", "5"}));
    EXPECT_EQ(only_host(client).connects, 1U);
    EXPECT_EQ(only_host(client).waiting, 0U);
  });
}

TEST(http_client, says_that_the_pool_is_exhausted_and_by_how_much) {
  with_servers([]() -> lv::task<> {
    http::client_options options = only_one_connection();
    options.pool.waiters_max = 2;
    http::client client{options};
    std::vector<std::string> got;
    lv::scope asking;
    asking.spawn(ask_and_note, &client, std::string("/never"), &got);
    co_await lv::sleep(1ms);
    const auto late = co_await lv::with_deadline(812ms, client.get(at("/hello")));
    EXPECT_FALSE(late.has_value());
    if (!late) {
      EXPECT_EQ(late.error(), client_failure::pool_exhausted);
      EXPECT_EQ(
          late.error().message(),
          "pool exhausted: 1 of 1 connections to 127.0.0.1:7000 are in use, the oldest waiter waits 812 ms; raise per_host or "
          "call less");
    }
    asking.spawn(ask_and_note, &client, std::string("/hello"), &got);
    asking.spawn(ask_and_note, &client, std::string("/hello"), &got);
    co_await lv::sleep(1ms);
    const lv::time_point began = lv::clock::now();
    const auto refused = co_await client.get(at("/hello"));
    EXPECT_FALSE(refused.has_value());
    if (!refused) {
      EXPECT_EQ(refused.error(), client_failure::pool_exhausted) << "a third one need not wait to learn it";
    }
    EXPECT_EQ(lv::clock::now(), began);
    EXPECT_EQ(only_host(client).exhausted, 2U);
    co_await asking.join();
    EXPECT_EQ(only_host(client).waiting, 0U);
  });
}

TEST(http_client, a_waiter_that_is_cancelled_leaves_the_queue) {
  with_servers([]() -> lv::task<> {
    http::client client{only_one_connection()};
    std::vector<std::string> got;
    lv::scope asking;
    asking.spawn(ask_and_note, &client, std::string("/slow/0"), &got);
    co_await lv::sleep(1ms);
    lv::scope leaving;
    leaving.spawn(ask_and_note, &client, std::string("/id/1"), &got);
    co_await lv::sleep(1ms);
    asking.spawn(ask_and_note, &client, std::string("/id/2"), &got);
    co_await lv::sleep(1ms);
    leaving.cancel();
    co_await leaving.join();
    EXPECT_EQ(only_host(client).waiting, 1U);
    co_await asking.join();
    EXPECT_EQ(got, (std::vector<std::string>{"failed: the request to 127.0.0.1:7000 was cancelled", "0", "2"}));
    EXPECT_EQ(only_host(client).in_use, 0U);
  });
}

TEST(http_client, closes_idle_connections_when_their_time_is_over) {
  script plan;
  plan.connections = {{line{.answer = ok_with("a")}}, {line{.answer = ok_with("b")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "a");
    const lv::time_point rests = lv::clock::now();
    co_await lv::sleep(29s);
    EXPECT_EQ(only_host(client).idle, 1U);
    co_await lv::sleep(2s);
    EXPECT_EQ(only_host(client).open, 0U);
    EXPECT_EQ(of->ended_by_peer, 1);
    EXPECT_GE(of->last_end - rests, 30s);
    EXPECT_LT(of->last_end - rests, 30s + 100ms);
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "b") << "the janitor's end is not the pool's";
    co_await lv::sleep(31s);
    EXPECT_EQ(of->ended_by_peer, 2);
  });
}

TEST(http_client, keeps_nothing_that_was_bound_in_a_request_when_that_is_over) {
  script plan;
  plan.connections = {{line{.answer = ok_with("a")}}};
  with_scripts(plan, [](script*) -> lv::task<> {
    static const lv::task_local<std::shared_ptr<int>> of_the_request{"request"};
    const auto value = std::make_shared<int>(7);
    http::client client;
    {
      const auto bound = of_the_request.bind(value);
      EXPECT_EQ(read_of(co_await client.get(at("/"))), "a");
      EXPECT_EQ(only_host(client).idle, 1U);
    }
    EXPECT_EQ(value.use_count(), 1) << "who watches idle connections was started by this request, and is none of its";
  });
}

TEST(http_client, uses_no_connection_for_more_than_five_minutes) {
  with_servers([]() -> lv::task<> {
    http::client client;
    const lv::time_point began = lv::clock::now();
    std::uint64_t connects = 1;
    while (connects == 1) {
      EXPECT_EQ(read_of(co_await client.get(at("/hello"))), "hello");
      connects = only_host(client).connects;
      co_await lv::sleep(1s);
      if (lv::clock::now() - began > 6min) break;
    }
    EXPECT_EQ(connects, 2U);
    EXPECT_GT(lv::clock::now() - began, 4min + 20s);
    EXPECT_LT(lv::clock::now() - began, 5min + 5s);
  }, {}, 2);
}

TEST(http_client, closes_the_longest_idle_one_when_there_are_too_many) {
  with_servers([]() -> lv::task<> {
    http::client_options options;
    options.pool.idle_max = 3;
    http::client client{options};
    std::vector<std::string> got;
    {
      lv::scope asking;
      for (int i = 0; i < 8; i++) asking.spawn(ask_and_note, &client, "/slow/" + std::to_string(i), &got);
      co_await asking.join();
    }
    EXPECT_EQ(got.size(), 8U);
    EXPECT_EQ(only_host(client).connects, 8U);
    EXPECT_EQ(only_host(client).idle, 3U);
    EXPECT_EQ(client.look().idle, 3U);
  });
}

TEST(http_client, warms_up) {
  with_servers([]() -> lv::task<> {
    http::client_options options;
    options.pool.per_host = 50;
    http::client client{options};
    const auto open = co_await client.warm_up(at("/"), 40);
    EXPECT_TRUE(open.has_value());
    if (open) {
      EXPECT_EQ(*open, 40U);
    }
    EXPECT_EQ(only_host(client).idle, 40U);
    const auto more = co_await client.warm_up(at("/elsewhere"), 1000);
    EXPECT_TRUE(more.has_value());
    if (more) {
      EXPECT_EQ(*more, 50U) << "per_host bounds it";
    }
    EXPECT_EQ(read_of(co_await client.get(at("/hello"))), "hello");
    EXPECT_EQ(only_host(client).connects, 50U);
    EXPECT_EQ(only_host(client).reused, 1U);
    const auto nobody = co_await client.warm_up("http://127.0.0.1:7001/", 3);
    EXPECT_FALSE(nobody.has_value());
    if (!nobody) {
      EXPECT_EQ(nobody.error(), client_failure::unreachable);
    }
  });
}

TEST(http_client, forgets_hosts_that_it_has_no_connection_to) {
  in_worlds(1, []() -> lv::task<> {
    http::client_options options;
    options.pool.hosts_max = 10;
    http::client client{options};
    for (int i = 0; i < 100; i++) {
      const auto got = co_await client.get("http://127.0.0.1:" + std::to_string(8000 + i) + "/");
      EXPECT_FALSE(got.has_value());
      EXPECT_LE(client.look().hosts.size(), 10U);
    }
  });
}

TEST(http_client, ends_in_order) {
  with_servers([]() -> lv::task<> {
    http::client client{only_one_connection()};
    std::vector<std::string> got;
    lv::scope asking;
    asking.spawn(ask_and_note, &client, std::string("/slow/1"), &got);
    co_await lv::sleep(10ms);
    asking.spawn(ask_and_note, &client, std::string("/slow/2"), &got);
    co_await lv::sleep(10ms);
    co_await client.drain();
    EXPECT_EQ(client.look().idle, 0U);
    EXPECT_EQ(only_host(client).open, 0U);
    co_await asking.join();
    EXPECT_EQ(got, (std::vector<std::string>{"failed: the client is closed; nothing was sent to 127.0.0.1:7000", "1"}))
        << "who waited is told, who was under way ends";
    EXPECT_EQ((co_await client.get(at("/hello"))).error(), client_failure::closed);
    EXPECT_EQ((co_await client.warm_up(at("/hello"), 1)).error(), client_failure::closed);
    client.close();
  });
}

TEST(http_client, outlives_nothing_that_it_needs) {
  // The client is older and younger than the runtimes in which it is used; also where no time ends what is idle.
  http::client_options for_ever;
  for_ever.pool.idle_timeout = lv::duration::max();
  http::client of_default;
  http::client of_ever{for_ever};
  for (int run = 0; run < 6; run++) {
    http::client& client = run % 2 == 0 ? of_default : of_ever;
    in_worlds(1, with_server<lv::task<> (*)(http::client*), http::client*>, http::server_options{},
              static_cast<lv::task<> (*)(http::client*)>([](http::client* from_outside) -> lv::task<> {
                EXPECT_EQ(read_of(co_await from_outside->get(at("/hello"))), "hello");
                EXPECT_EQ(from_outside->look().idle, 1U);
              }),
              &client);
    EXPECT_EQ(client.look().idle, 0U) << "no connection outlives the runtime that carries it";
  }
}

// ---- connections that are no good ------------------------------------------------------------------------------------

TEST(http_client, notices_before_use_that_a_kept_connection_was_closed) {
  script plan;
  plan.connections = {{line{.answer = ok_with("one"), .closes = true}}, {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    co_await lv::sleep(100ms);
    EXPECT_EQ(read_of(co_await client.post(at("/"), "text/plain", "x")), "two") << "nothing had been sent, so even a POST goes";
    EXPECT_EQ(of->accepted, 2);
    EXPECT_EQ(only_host(client).stale, 1U);
    EXPECT_EQ(only_host(client).repeated, 0U);
  });
}

TEST(http_client, repeats_once_what_may_be_repeated) {
  // The peer closes just when the second request comes.
  script plan;
  plan.connections = {{line{.answer = ok_with("one")}, line{.closes = true}}, {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    EXPECT_EQ(read_of(co_await client.get(at("/again"))), "two");
    EXPECT_EQ(of->accepted, 2);
    EXPECT_EQ(of->requests.size(), 3U);
    EXPECT_EQ(only_host(client).repeated, 1U);
    EXPECT_EQ(only_host(client).failures, 0U);
  });
}

TEST(http_client, repeats_a_reset_one_too) {
  script plan;
  plan.connections = {{line{.answer = ok_with("one")}, line{.resets = true}}, {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script*) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    EXPECT_EQ(read_of(co_await client.get(at("/again"))), "two");
  });
}

TEST(http_client, does_not_repeat_a_post_and_says_why) {
  script plan;
  plan.connections = {{line{.answer = ok_with("one")}, line{.closes = true}}, {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    const auto got = co_await client.post(at("/"), "text/plain", "pay");
    EXPECT_FALSE(got.has_value());
    if (got) co_return;
    EXPECT_EQ(got.error(), client_failure::connection_lost);
    EXPECT_EQ(
        got.error().message(),
        "the kept connection to 127.0.0.1:7000 ended before an answer came (end of stream); it is unknown whether the request was "
        "carried out, and a POST is not sent twice without an Idempotency-Key");
    EXPECT_EQ(of->accepted, 1);
    EXPECT_EQ(only_host(client).repeated, 0U);
  });
}

TEST(http_client, repeats_a_post_with_a_key) {
  script plan;
  plan.connections = {{line{.answer = ok_with("one")}, line{.closes = true}}, {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    outgoing asked{method::post, at("/pay")};
    asked.set("Idempotency-Key", "7");
    asked.set_body("pay");
    EXPECT_EQ(read_of(co_await client.send(std::move(asked))), "two");
    EXPECT_EQ(of->requests[1], of->requests[2]) << "the same, to the byte";
  });
}

TEST(http_client, repeats_no_more_than_once) {
  script plan;
  plan.connections = {
      {line{.answer = ok_with("one")}, line{.closes = true}}, {line{.closes = true}}, {line{.answer = ok_with("three")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    const auto got = co_await client.get(at("/again"));
    EXPECT_FALSE(got.has_value());
    if (!got) {
      EXPECT_EQ(got.error(), client_failure::connection_lost);
    }
    EXPECT_EQ(of->accepted, 2);
  });
}

TEST(http_client, repeats_nothing_of_which_an_answer_began) {
  script plan;
  plan.connections = {{line{.answer = ok_with("one")}, line{.answer = "HTTP/1.1 200 OK\r\nContent-Le", .closes = true}},
                      {line{.answer = ok_with("two")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "one");
    const auto got = co_await client.get(at("/again"));
    EXPECT_FALSE(got.has_value());
    if (!got) {
      EXPECT_EQ(got.error(), client_failure::bad_answer);
      EXPECT_EQ(got.error().refused(), http::refusal::cut_short);
    }
    EXPECT_EQ(of->accepted, 1);
  });
}

TEST(http_client, never_takes_bytes_behind_an_answer_for_the_next_one) {
  const std::string evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
  for (const lv::duration after : {0ms, 1ms, 50ms}) {
    script plan;
    if (after == 0ms) {
      plan.connections = {{line{.answer = ok_with("good") + evil}}};
    } else {
      plan.connections = {{line{.answer = ok_with("good"), .late = evil, .late_after = after}}};
    }
    plan.connections.push_back({line{.answer = ok_with("mine")}});
    with_scripts(plan, [](script* of) -> lv::task<> {
      http::client client;
      EXPECT_EQ(read_of(co_await client.get(at("/first"))), "good");
      co_await lv::sleep(100ms);
      EXPECT_EQ(read_of(co_await client.get(at("/second"))), "mine");
      EXPECT_EQ(of->accepted, 2);
    });
  }
}

TEST(http_client, closes_what_is_cut_short_or_says_so) {
  for (const char* const answer : {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
                                   "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"}) {
    script plan;
    plan.connections = {{line{.answer = answer}}, {line{.answer = ok_with("two")}}};
    with_scripts(plan, [](script* of) -> lv::task<> {
      http::client client;
      EXPECT_EQ(read_of(co_await client.get(at("/"))), "abc");
      EXPECT_EQ(only_host(client).open, 0U);
      EXPECT_EQ(read_of(co_await client.get(at("/"))), "two");
      EXPECT_EQ(of->ended_by_peer, 1);
    }, 3);
  }
}

TEST(http_client, closes_the_connection_of_a_cancelled_request) {
  script plan;
  plan.connections = {{line{.answer = ok_with("late"), .delay = 1s}}, {line{.answer = ok_with("mine")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    std::vector<std::string> got;
    lv::scope asking;
    asking.spawn(ask_and_note, &client, std::string("/first"), &got);
    co_await lv::sleep(50ms);
    asking.cancel();
    co_await asking.join();
    EXPECT_EQ(got, (std::vector<std::string>{"failed: the request to 127.0.0.1:7000 was cancelled"}));
    EXPECT_EQ(only_host(client).open, 0U);
    EXPECT_EQ(read_of(co_await client.get(at("/second"))), "mine");
    EXPECT_EQ(of->accepted, 2);
  });
}

// ---- a storm ---------------------------------------------------------------------------------------------------------

namespace {

struct storm {
  explicit storm(std::uint64_t seed) : dice(seed) {}

  lv::rng dice;
  http::client client;
  int answered = 0;
  int wrong = 0;
  int given_up = 0;
};

lv::task<> ask_in_storm(storm* of, int number) {
  const std::string id = std::to_string(number) + std::string(of->dice.below(3000), 'y');
  const bool slow = of->dice.below(3) == 0;
  outgoing asked{method::get, at((slow ? "/slow/" : "/id/") + id)};
  if (of->dice.below(2) == 0) asked.set_timeout(std::chrono::microseconds(of->dice.below(120'000)));
  const auto got = co_await of->client.send(std::move(asked));
  if (!got) {
    of->given_up++;
  } else if (got->body() == id) {
    of->answered++;
  } else {
    of->wrong++;
  }
}

lv::task<> rage(std::uint64_t seed) {
  storm own{seed};
  int asked = 0;
  for (int round = 0; round < 60 / lv::test::slow_build_factor + 1; round++) {
    lv::scope victims;
    lv::scope survivors;
    for (int i = 0; i < 12; i++) (own.dice.below(2) == 0 ? victims : survivors).spawn(ask_in_storm, &own, asked++);
    co_await lv::sleep(std::chrono::microseconds(own.dice.below(20'000)));
    victims.cancel();
    co_await victims.join();
    co_await survivors.join();
  }
  EXPECT_EQ(own.wrong, 0) << "an answer met another request";
  EXPECT_LE(own.answered + own.given_up, asked) << "some were cancelled before they began";
  EXPECT_GT(own.answered, 0);
  EXPECT_GT(own.given_up, 0);
  const http::host_figures seen = only_host(own.client);
  EXPECT_EQ(seen.in_use, 0U);
  EXPECT_EQ(seen.waiting, 0U);
  EXPECT_EQ(seen.open, seen.idle);
  EXPECT_GT(seen.reused, 0U);
}

}  // namespace

TEST(http_client, answers_never_cross_in_a_storm_of_cancellations) {
  for (std::uint64_t seed = 1; seed <= 15; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = seed},
                           with_server<lv::task<> (*)(std::uint64_t), std::uint64_t>, http::server_options{}, &rage, seed),
              0);
  }
}

// ---- redirects -------------------------------------------------------------------------------------------------------

namespace {

std::string redirect_to(std::string_view where, std::string_view code = "302 Found") {
  return "HTTP/1.1 " + std::string(code) + "\r\nLocation: " + std::string(where) + "\r\nContent-Length: 2\r\n\r\ngo";
}

}  // namespace

TEST(http_client, takes_a_redirect_for_an_answer_unless_told_otherwise) {
  script plan;
  plan.connections = {
      {line{.answer = redirect_to("/there")}, line{.answer = redirect_to("there/too?x=1")}, line{.answer = ok_with("found")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    const auto got = co_await client.get(at("/"));
    EXPECT_EQ(read_of(got), "go");
    if (got) {
      EXPECT_EQ(got->status(), http::status::found);
    }
    outgoing asked{method::get, at("/a/b")};
    asked.set_redirects(1);
    const auto followed = co_await client.send(std::move(asked));
    EXPECT_EQ(read_of(followed), "found");
    if (followed) {
      EXPECT_EQ(followed->redirects(), 1U);
    }
    EXPECT_EQ(of->requests.back().substr(0, of->requests.back().find("\r\n")), "GET /a/there/too?x=1 HTTP/1.1");
    EXPECT_EQ(of->accepted, 1) << "the redirect's body was read, and the connection kept";
  });
}

TEST(http_client, follows_no_more_redirects_than_it_may) {
  script plan;
  plan.connections = {std::vector<line>(5, line{.answer = redirect_to("/again")})};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client_options options;
    options.redirects = 3;
    http::client client{options};
    const auto got = co_await client.get(at("/"));
    EXPECT_FALSE(got.has_value());
    if (!got) {
      EXPECT_EQ(got.error(), client_failure::too_many_redirects);
      EXPECT_EQ(got.error().message(), "http://127.0.0.1:7000/again redirects once more, after 3 redirects");
    }
    EXPECT_EQ(of->requests.size(), 4U);
  });
}

TEST(http_client, changes_the_method_as_the_status_says) {
  const std::pair<const char*, const char*> table[] = {
      {"301 x", "GET"}, {"302 x", "GET"}, {"303 x", "GET"}, {"307 x", "POST"}, {"308 x", "POST"}};
  for (const auto& each : table) {
    static const char* wanted;
    wanted = each.second;
    script plan;
    plan.connections = {{line{.answer = redirect_to("/there", each.first)}, line{.answer = ok_with("done")}}};
    with_scripts(plan, [](script* of) -> lv::task<> {
      http::client client;
      outgoing asked{method::post, at("/")};
      asked.set_redirects(1);
      asked.set("Content-Type", "text/plain");
      asked.set("X-Other", "1");
      asked.set_body("body");
      EXPECT_EQ(read_of(co_await client.send(std::move(asked))), "done");
      const std::string& second = of->requests.back();
      EXPECT_EQ(second.substr(0, second.find(' ')), wanted);
      const bool has_body = std::string_view(wanted) == "POST";
      EXPECT_EQ(second.ends_with("\r\n\r\nbody"), has_body);
      EXPECT_EQ(second.find("Content-Type") != std::string::npos, has_body);
      EXPECT_NE(second.find("X-Other: 1"), std::string::npos);
    }, 2);
  }
}

TEST(http_client, tells_another_server_no_secrets) {
  script plan;
  plan.connections = {{line{.answer = redirect_to("http://127.0.0.1:7001/show")}, line{.answer = redirect_to("/same")},
                       line{.answer = ok_with("same")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:7001");
    EXPECT_TRUE(listener.has_value());
    if (!listener) co_return;
    http::server other;
    other.route(method::get, "/show", http::test::show_fields);
    lv::scope service;
    service.spawn(http::test::serve_on, &other, std::move(*listener));
    http::client client;
    outgoing asked{method::get, at("/")};
    asked.set_redirects(2);
    asked.set("Authorization", "Bearer secret");
    asked.set("Cookie", "secret=1");
    asked.set("X-Trace", "7");
    EXPECT_EQ(read_of(co_await client.send(asked)), "GET /show\nHost: 127.0.0.1:7001\nX-Trace: 7\nbody=");
    EXPECT_EQ(read_of(co_await client.send(asked)), "same");
    EXPECT_NE(of->requests.back().find("Authorization: Bearer secret"), std::string::npos) << "the same server may know";
    service.cancel();
    co_await service.join();
  });
}

TEST(http_client, does_not_follow_where_it_cannot_go) {
  for (const char* const where : {"https://127.0.0.1/", "ftp://a/", "http://", "//"}) {
    script plan;
    plan.connections = {{line{.answer = redirect_to(where)}}};
    with_scripts(plan, [](script*) -> lv::task<> {
      http::client client;
      outgoing asked{method::get, at("/")};
      asked.set_redirects(2);
      const auto got = co_await client.send(std::move(asked));
      EXPECT_FALSE(got.has_value());
      if (!got) {
        EXPECT_EQ(got.error(), client_failure::too_many_redirects) << got.error().message();
      }
    }, 2);
  }
}

// ---- bodies in pieces ------------------------------------------------------------------------------------------------

namespace {

// Answers a request by its body, byte for byte, while it is still coming.
lv::task<> parrot(lv::tcp_stream peer, std::size_t* written) {
  std::string head;
  std::string body;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const auto more = co_await peer.read_some();
    if (!more) co_return;
    head.append(reinterpret_cast<const char*>(more->data()), more->size());
  }
  body = head.substr(head.find("\r\n\r\n") + 4);
  std::size_t left = 0;
  std::from_chars(head.data() + head.find("Content-Length: ") + 16, head.data() + head.size(), left);
  (void)co_await peer.write_all(std::string_view("HTTP/1.1 200 OK\r\n\r\n"));
  for (;;) {
    const auto sent = co_await peer.write_all(std::string_view(body));
    if (!sent) co_return;
    *written += body.size();
    left -= body.size();
    if (left == 0) co_return;
    const auto more = co_await peer.read_some();
    if (!more) co_return;
    body.assign(reinterpret_cast<const char*>(more->data()), more->size());
  }
}

lv::task<> serve_parrot(lv::tcp_listener listener, std::size_t* written) {
  lv::scope connections{lv::on_failure::report};
  for (;;) {
    auto peer = co_await listener.accept();
    if (!peer) break;
    connections.spawn(parrot, std::move(*peer), written);
  }
  co_await connections.join();
}

template <class Talks>
lv::task<> with_parrot(Talks talks) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:7000");
  EXPECT_TRUE(listener.has_value());
  if (!listener) co_return;
  std::size_t written = 0;
  lv::scope service;
  service.spawn(serve_parrot, std::move(*listener), &written);
  co_await talks(&written);
  service.cancel();
  co_await service.join();
}

// The body, from where it stands to its end.
lv::task<std::string> rest_of(http::exchange* of) {
  std::string body;
  for (;;) {
    const auto piece = co_await of->read();
    EXPECT_TRUE(piece.has_value());
    if (!piece || piece->empty()) co_return body;
    body.append(reinterpret_cast<const char*>(piece->data()), piece->size());
  }
}

using parrot_talk = lv::task<> (*)(std::size_t*);

lv::task<lv::io_result<lv::byte_view>> next_piece(std::vector<std::string>* pieces, std::size_t* at) {
  if (*at == pieces->size()) co_return lv::byte_view{};
  co_await lv::yield();
  const std::string& next = (*pieces)[(*at)++];
  co_return lv::byte_view{reinterpret_cast<const std::byte*>(next.data()), next.size()};
}

}  // namespace

TEST(http_client, reads_an_answer_in_pieces) {
  script plan;
  plan.connections = {
      {line{.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nETag: e\r\n\r\n"},
       line{.answer = ok_with("second")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    auto asked = co_await client.open(outgoing{method::get, at("/")});
    EXPECT_TRUE(asked.has_value());
    if (!asked) co_return;
    EXPECT_EQ(asked->head().status(), http::status::ok);
    EXPECT_EQ(asked->head().find("x"), "y");
    EXPECT_EQ(co_await rest_of(&*asked), "abcdefg");
    EXPECT_EQ(asked->head().trailers().find("ETag"), "e");
    EXPECT_TRUE((co_await asked->read()).value().empty());
    EXPECT_EQ(only_host(client).idle, 1U) << "given back at the end of the answer, not of the exchange";
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "second");
    EXPECT_EQ(of->accepted, 1);
  });
}

TEST(http_client, an_exchange_that_is_dropped_takes_its_connection_along) {
  script plan;
  plan.connections = {{line{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome"}}, {line{.answer = ok_with("mine")}}};
  with_scripts(plan, [](script* of) -> lv::task<> {
    http::client client;
    {
      auto asked = co_await client.open(outgoing{method::get, at("/")});
      EXPECT_TRUE(asked.has_value());
      if (!asked) co_return;
      EXPECT_GT((co_await asked->read()).value().size(), 0U);
      EXPECT_EQ(only_host(client).in_use, 1U);
    }
    EXPECT_EQ(only_host(client).open, 0U);
    EXPECT_EQ(read_of(co_await client.get(at("/"))), "mine");
    co_await lv::sleep(50ms);
    EXPECT_EQ(of->ended_by_peer, 1);
  });
}

TEST(http_client, slows_a_server_down_to_the_pace_of_the_reader) {
  in_worlds(3, with_parrot<parrot_talk>, static_cast<parrot_talk>([](std::size_t* written) -> lv::task<> {
    http::client client;
    outgoing asked{method::post, at("/")};
    asked.stream_body(64 * 1024 * 1024);
    asked.set_timeout(1h);
    auto both = co_await client.open(std::move(asked));
    EXPECT_TRUE(both.has_value());
    if (!both) co_return;
    // Nobody reads the answer: after a while nothing moves any more.
    const std::string block(256 * 1024, 'x');
    std::size_t sent = 0;
    for (; sent < 64; sent++) {
      const auto part = co_await lv::with_deadline(1s, both->write(block));
      if (!part) break;
    }
    EXPECT_LT(sent, 64U);
    EXPECT_LT(*written, 32U * 1024 * 1024);
  }));
}

TEST(http_client, writes_and_reads_at_the_same_time) {
  in_worlds(5, with_parrot<parrot_talk>, static_cast<parrot_talk>([](std::size_t*) -> lv::task<> {
    http::client client;
    outgoing asked{method::post, at("/")};
    asked.stream_body(8 * 4);
    auto both = co_await client.open(std::move(asked));
    EXPECT_TRUE(both.has_value());
    if (!both) co_return;
    EXPECT_TRUE((co_await both->answered()).has_value());
    for (int i = 0; i < 7; i++) {
      EXPECT_TRUE((co_await both->write("ping")).has_value());
      std::size_t came = 0;
      while (came < 4) {
        const auto echo = co_await both->read();
        EXPECT_TRUE(echo.has_value());
        if (!echo) co_return;
        came += echo->size();
      }
    }
    const auto short_of = co_await both->end_body();
    EXPECT_FALSE(short_of.has_value());
    if (!short_of) {
      EXPECT_EQ(short_of.error(), client_failure::invalid_request) << short_of.error().message();
    }
  }));
}

TEST(http_client, sends_a_large_body_to_a_server_that_answers_meanwhile) {
  in_worlds(3, with_parrot<parrot_talk>, static_cast<parrot_talk>([](std::size_t*) -> lv::task<> {
    http::client client;
    std::string body(4 * 1024 * 1024, 'x');
    for (std::size_t i = 0; i < body.size(); i++) body[i] = static_cast<char>('a' + i * 7 % 26);
    outgoing asked{method::post, at("/")};
    asked.set_body_view(body);
    asked.set_answer_max(8 * 1024 * 1024);
    asked.set_timeout(1h);
    const auto got = co_await client.send(std::move(asked));
    EXPECT_TRUE(got.has_value()) << got.error().message();
    if (got) {
      EXPECT_TRUE(got->body() == body);
    }
  }));
}

TEST(http_client, takes_a_body_from_a_source) {
  with_servers([]() -> lv::task<> {
    http::client client;
    std::vector<std::string> pieces{"one ", std::string(100'000, 'x'), " three"};
    std::size_t at_piece = 0;
    outgoing asked{method::post, at("/echo")};
    asked.set_body_source([&] { return next_piece(&pieces, &at_piece); });
    EXPECT_EQ(read_of(co_await client.send(asked)), pieces[0] + pieces[1] + pieces[2]);
    at_piece = 0;
    asked.set_body_source([&] { return next_piece(&pieces, &at_piece); }, 100'010);
    EXPECT_EQ(read_of(co_await client.send(asked)), pieces[0] + pieces[1] + pieces[2]);
    EXPECT_EQ(only_host(client).connects, 1U);
    for (std::uint64_t wrong = 100'009; wrong <= 100'011; wrong += 2) {
      at_piece = 0;
      asked.set_body_source([&] { return next_piece(&pieces, &at_piece); }, wrong);
      const auto got = co_await client.send(asked);
      EXPECT_FALSE(got.has_value());
      if (!got) {
        EXPECT_EQ(got.error(), client_failure::invalid_request) << got.error().message();
      }
    }
    EXPECT_EQ(only_host(client).open, 0U);
  });
}

TEST(http_client, a_source_that_fails_fails_the_request) {
  with_servers([]() -> lv::task<> {
    http::client client;
    outgoing asked{method::post, at("/echo")};
    asked.set_body_source([]() -> lv::task<lv::io_result<lv::byte_view>> {
      co_return std::unexpected(lv::io_error{lv::io_failure::not_found, 0, "reading the order"});
    });
    const lv::time_point began = lv::clock::now();
    const auto got = co_await client.send(asked);
    EXPECT_FALSE(got.has_value());
    if (!got) {
      EXPECT_EQ(got.error(), client_failure::invalid_request);
      EXPECT_EQ(got.error().cause(), lv::io_failure::not_found);
    }
    asked.set_body_source([]() -> lv::task<lv::io_result<lv::byte_view>> {
      throw std::runtime_error("broken source");
      co_return lv::byte_view{};
    });
    bool thrown = false;
    try {
      (void)co_await client.send(asked);
    } catch (const std::runtime_error& failure) {
      thrown = std::string_view(failure.what()) == "broken source";
    }
    EXPECT_TRUE(thrown);
    EXPECT_LT(lv::clock::now() - began, 1s) << "at once, not after the deadline";
    EXPECT_EQ(only_host(client).in_use, 0U);
  });
}

TEST(http_client, hears_an_answer_that_comes_before_the_body_is_sent) {
  http::server_options narrow;
  narrow.bounds.body_bytes = 1000;
  with_servers([]() -> lv::task<> {
    http::client client;
    const std::string body(16 * 1024 * 1024, 'x');
    outgoing asked{method::post, at("/echo")};
    asked.set_body_view(body);
    const auto got = co_await client.send(std::move(asked));
    EXPECT_TRUE(got.has_value()) << got.error().message();
    if (got) {
      EXPECT_EQ(got->status(), http::status::content_too_large);
    }
    EXPECT_EQ(only_host(client).open, 0U) << "half a request was sent over it";
  }, narrow, 3);
}

TEST(http_client, writes_a_body_piece_by_piece) {
  with_servers([]() -> lv::task<> {
    http::client client;
    outgoing asked{method::post, at("/echo")};
    asked.stream_body();
    {
      auto both = co_await client.open(asked);
      EXPECT_TRUE(both.has_value());
      if (!both) co_return;
      EXPECT_TRUE((co_await both->write("one ")).has_value());
      EXPECT_TRUE((co_await both->write("")).has_value()) << "nothing is no end";
      EXPECT_TRUE((co_await both->write("two")).has_value());
      EXPECT_TRUE((co_await both->end_body()).has_value());
      EXPECT_TRUE((co_await both->answered()).has_value());
      const std::string body = co_await rest_of(&*both);
      EXPECT_EQ(body, "one two");
      const auto more = co_await both->write("more");
      EXPECT_FALSE(more.has_value());
    }
    EXPECT_EQ(only_host(client).idle, 1U);
    const auto whole = co_await client.send(asked);
    EXPECT_FALSE(whole.has_value());
    if (!whole) {
      EXPECT_EQ(whole.error(), client_failure::invalid_request) << "send() has nobody who would write it";
    }
  });
}

// ---- figures ---------------------------------------------------------------------------------------------------------

TEST(http_client, counts_durations_by_server_method_status_and_error) {
  with_servers([]() -> lv::task<> {
    http::client client;
    for (int i = 0; i < 3; i++) (void)co_await client.get(at("/slow/1"));
    (void)co_await client.get(at("/nowhere"));
    (void)co_await client.post(at("/echo"), "text/plain", "x");
    outgoing late{method::get, at("/never")};
    late.set_timeout(700ms);
    (void)co_await client.send(late);
    std::uint64_t all = 0;
    for (const http::duration_series& each : client.durations()) {
      all += each.count;
      std::uint64_t buckets = 0;
      for (const std::uint64_t in_bucket : each.buckets) buckets += in_bucket;
      EXPECT_EQ(buckets, each.count);
      EXPECT_EQ(each.server_address, "127.0.0.1");
      EXPECT_EQ(each.server_port, 7000);
      EXPECT_FALSE(each.overflow);
      if (each.status == 200 && each.method == method::get) {
        EXPECT_EQ(each.count, 3U);
        EXPECT_EQ(each.buckets[http::duration_bucket(0.11)], 3U);
        EXPECT_GT(each.sum, 0.3);
        EXPECT_LT(each.sum, 0.4);
        EXPECT_EQ(each.error_type, "");
      } else if (each.status == 0) {
        EXPECT_EQ(each.error_type, "timed_out");
        EXPECT_EQ(each.count, 1U);
        EXPECT_EQ(each.buckets[http::duration_bucket(0.7)], 1U);
      }
    }
    EXPECT_EQ(all, 6U);
    EXPECT_EQ(client.durations().size(), 4U);
  }, {}, 3);
}
