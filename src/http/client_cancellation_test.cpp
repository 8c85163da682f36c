// Every moment of a request can be its last. One request is cancelled, or its deadline passes, at each of hundreds of moments of
// its life, from before it began to after it ended, in many worlds; then nothing may be left of it: no place taken, nobody waiting,
// no connection that is neither idle nor gone, and the next request gets its own answer.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "levity/http/client.hpp"
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
using lv::test::slow_build_factor;

struct ending {
  bool ended = false;
  bool answered = false;
  std::string body;
  client_failure why{};
};

enum class shape { whole, large_body, from_source, in_pieces, waiting };

lv::task<lv::io_result<lv::byte_view>> piece_of(const std::string* text, int* left) {
  if ((*left)-- <= 0) co_return lv::byte_view{};
  co_await lv::sleep(1ms);
  co_return lv::byte_view{reinterpret_cast<const std::byte*>(text->data()), text->size()};
}

lv::task<> ask(http::client* client, shape which, lv::duration timeout, const std::string* body, ending* into) {
  outgoing asked{method::post, at("/echo")};
  if (timeout > 0ns) asked.set_timeout(timeout);
  int left = 5;
  switch (which) {
    case shape::whole:
    case shape::waiting: asked.set_url(at("/slow/mine")); asked.set_method(method::get); break;
    case shape::large_body: asked.set_body_view(*body); break;
    case shape::from_source: asked.set_body_source([body, &left] { return piece_of(body, &left); }); break;
    case shape::in_pieces: asked.stream_body(); break;
  }
  const auto note = [into](const http::client_error& error) {
    into->ended = true;
    into->why = error.failure();
  };
  if (which != shape::in_pieces) {
    const auto got = co_await client->send(asked);
    if (!got) {
      note(got.error());
      co_return;
    }
    into->ended = into->answered = true;
    into->body = got->body();
    co_return;
  }
  auto both = co_await client->open(std::move(asked));
  if (!both) {
    note(both.error());
    co_return;
  }
  for (int i = 0; i < 4; i++) {
    const auto sent = co_await both->write("mine");
    if (!sent) {
      note(sent.error());
      co_return;
    }
    co_await lv::yield();
  }
  const auto sent = co_await both->end_body();
  if (!sent) {
    note(sent.error());
    co_return;
  }
  for (;;) {
    const auto piece = co_await both->read();
    if (!piece) {
      note(piece.error());
      co_return;
    }
    if (piece->empty()) break;
    into->body.append(reinterpret_cast<const char*>(piece->data()), piece->size());
  }
  into->ended = into->answered = true;
}

std::string wanted_of(shape which, const std::string& body) {
  switch (which) {
    case shape::large_body: return body;
    case shape::from_source: return body + body + body + body + body;
    case shape::in_pieces: return "minemineminemine";
    default: return "mine";
  }
}

lv::task<> every_moment(shape which, bool by_deadline) {
  http::client_options options;
  if (which == shape::waiting) options.pool.per_host = 1;
  http::client client{options};
  const std::string body(which == shape::from_source ? 40'000 : 200'000, 'b');
  const lv::duration step = 400us * slow_build_factor;
  int answered = 0;
  int ended_early = 0;
  // Until it was late enough a few times; later moments lie further apart.
  for (lv::duration moment{}; answered < 5 && moment < 2900ms && !testing::Test::HasFailure();
       moment += std::max(step, moment / 64)) {
    ending mine;
    ending other;
    lv::scope before;
    if (which == shape::waiting) {
      before.spawn(ask, &client, shape::whole, lv::duration{}, &body, &other);
      co_await lv::sleep(1ms);
    }
    lv::scope asking;
    asking.spawn(ask, &client, which, by_deadline ? moment + 1ns : lv::duration{}, &body, &mine);
    if (!by_deadline) {
      co_await lv::sleep(moment);
      asking.cancel();
    }
    co_await asking.join();
    co_await before.join();
    if (mine.answered) {
      answered++;
      EXPECT_TRUE(mine.body == wanted_of(which, body)) << mine.body.size() << " bytes";
    } else if (mine.ended) {
      ended_early++;
      const client_failure late = by_deadline ? client_failure::timed_out : client_failure::cancelled;
      const bool nothing_sent = mine.why == client_failure::unreachable || mine.why == client_failure::pool_exhausted;
      EXPECT_TRUE(mine.why == late || (by_deadline && nothing_sent)) << to_string(mine.why);
    } else {
      EXPECT_FALSE(by_deadline) << "it was cancelled before it began";
    }
    const http::client_figures seen = client.look();
    for (const http::host_figures& host : seen.hosts) {
      EXPECT_EQ(host.in_use, 0U);
      EXPECT_EQ(host.waiting, 0U);
      EXPECT_EQ(host.open, host.idle);
    }
    const auto next = co_await client.get(at("/id/next"));
    EXPECT_TRUE(next && next->body() == "next");
  }
  EXPECT_GT(answered, 0);
  EXPECT_GT(ended_early, 0);
}

using play = lv::task<> (*)(shape, bool);

void in_every_moment(shape which) {
  for (const bool by_deadline : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 3 && !testing::Test::HasFailure(); seed++) {
      SCOPED_TRACE("seed " + std::to_string(seed) + (by_deadline ? ", by deadline" : ", by cancellation"));
      EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = seed},
                             http::test::with_server<play, shape, bool>, http::server_options{}, &every_moment, which, by_deadline),
                0);
    }
  }
}

}  // namespace

TEST(http_client_cancellation, of_a_request_that_is_read_whole) { in_every_moment(shape::whole); }
TEST(http_client_cancellation, of_a_large_body) { in_every_moment(shape::large_body); }
TEST(http_client_cancellation, of_a_body_from_a_source) { in_every_moment(shape::from_source); }
TEST(http_client_cancellation, of_a_body_in_pieces) { in_every_moment(shape::in_pieces); }
TEST(http_client_cancellation, of_a_request_that_waits_for_a_connection) { in_every_moment(shape::waiting); }

TEST(http_client_cancellation, of_a_warm_up) {
  http::test::in_worlds(5, http::test::with_server<lv::task<> (*)()>, http::server_options{},
                        static_cast<lv::task<> (*)()>([]() -> lv::task<> {
                          for (lv::duration moment{}; moment < 15ms; moment += 200us) {
                            http::client client;
                            lv::scope warming;
                            warming.spawn([](http::client* of) -> lv::task<> { (void)co_await of->warm_up(at("/"), 20); }, &client);
                            co_await lv::sleep(moment);
                            warming.cancel();
                            co_await warming.join();
                            for (const http::host_figures& host : client.look().hosts) {
                              EXPECT_EQ(host.in_use, 0U);
                              EXPECT_EQ(host.open, host.idle);
                            }
                          }
                        }));
}
