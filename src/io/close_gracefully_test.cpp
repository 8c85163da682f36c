// The end of conversations and listeners: the last bytes arrive although the other side still talks, and nobody is forgotten.

#include "levity/io/close_gracefully.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

constexpr std::size_t answer_bytes = 3'000'000;  // far more than the peer's kernel takes before it is read

struct tcp_ends {
  lv::tcp_stream client;
  lv::tcp_stream server;
};

lv::task<tcp_ends> tcp_pair() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  co_return tcp_ends{std::move(std::get<0>(both).value()), std::move(std::get<1>(both).value())};
}

// A server that answers one request and ends, while more of what it was sent is on its way and unread.
template <class Stream>
lv::task<> answer(Stream* peer, bool gracefully, lv::io_result<void>* outcome) {
  std::byte first[4];
  EXPECT_TRUE(co_await peer->read_some(std::span(first)));
  const std::string body(answer_bytes, 'a');
  const auto sent = co_await peer->write_all(body);
  if (!sent) *outcome = sent;
  if (gracefully) {
    *outcome = co_await lv::close_gracefully(*peer, {.patience = 60s, .bytes_max = 1 << 30});
  } else {
    peer->close();
  }
}

// A client that keeps sending until it has said all, and reads the answer slowly. How much of the answer it got.
template <class Stream>
lv::task<> talk(Stream* peer, lv::event* all_said) {
  const std::string much(200'000, 'q');
  for (int i = 0; i < 20; i++) {
    const auto sent = co_await peer->write_all(much);
    if (!sent) break;
  }
  (void)peer->shutdown_write();
  all_said->set();
}

template <class Stream>
lv::task<std::size_t> hear(Stream* peer) {
  std::size_t heard = 0;
  for (;;) {
    const auto more = co_await peer->read_some();
    if (!more) break;
    heard += more->size();
  }
  co_return heard;
}

template <class Stream>
lv::task<std::size_t> converse(Stream* client, Stream* server, bool gracefully, lv::io_result<void>* outcome) {
  lv::event all_said;
  lv::scope tasks;
  tasks.spawn(answer<Stream>, server, gracefully, outcome);
  tasks.spawn(talk<Stream>, client, &all_said);
  const std::size_t heard = co_await hear(client);
  co_await tasks.join();
  co_return heard;
}

template <class Stream>
lv::task<io_failure> failure_of(Stream* peer, lv::farewell_options options) {
  const auto ended = co_await lv::close_gracefully(*peer, options);
  EXPECT_FALSE(peer->is_open());
  co_return ended ? io_failure::other : ended.error().failure();
}

}  // namespace

TEST(close_gracefully, the_whole_answer_arrives_although_the_peer_still_talks) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    run_tasks(workers, []() -> lv::task<> {
      lv::io_result<void> outcome = std::unexpected(lv::io_error(io_failure::other));
      tcp_ends tcp = co_await tcp_pair();
      EXPECT_EQ(co_await converse(&tcp.client, &tcp.server, true, &outcome), answer_bytes);
      EXPECT_TRUE(outcome) << outcome.error().message();
      outcome = std::unexpected(lv::io_error(io_failure::other));
      auto unix_ends = lv::unix_stream::pair().value();
      EXPECT_EQ(co_await converse(&unix_ends.first, &unix_ends.second, true, &outcome), answer_bytes);
      EXPECT_TRUE(outcome) << outcome.error().message();
    });
  }
}

// Why the other tests mean something.
TEST(close_gracefully, a_plain_close_resets_and_the_answer_is_lost) {
  run_tasks(1, []() -> lv::task<> {
    tcp_ends tcp = co_await tcp_pair();
    EXPECT_TRUE(tcp.client.set_receive_buffer(8192));
    EXPECT_TRUE(co_await tcp.client.write_all("never read"));
    const std::string some(1'000'000, 'a');
    const auto write = [](lv::tcp_stream* to, const std::string* text) -> lv::task<lv::io_result<void>> {
      co_return co_await to->write_all(*text);
    };
    (void)co_await lv::with_deadline(50ms, write(&tcp.server, &some));  // as much as the kernel takes
    tcp.server.close();
    std::size_t heard = 0;
    io_failure end = io_failure::eof;
    for (;;) {
      const auto more = co_await tcp.client.read_some();
      if (!more) {
        end = more.error().failure();
        break;
      }
      heard += more->size();
    }
    EXPECT_EQ(end, io_failure::reset);
    EXPECT_LT(heard, some.size());
  });
}

TEST(close_gracefully, a_peer_that_says_nothing_or_too_much_or_tears_it_has_a_bound) {
  run_tasks(2, []() -> lv::task<> {
    auto silent = lv::unix_stream::pair().value();
    EXPECT_EQ(co_await failure_of(&silent.first, {.patience = 5ms}), io_failure::timed_out);
    EXPECT_EQ((co_await silent.second.read_some()).error(), io_failure::eof);

    tcp_ends loud = co_await tcp_pair();
    lv::scope talking;
    lv::event all_said;
    talking.spawn(talk<lv::tcp_stream>, &loud.client, &all_said);
    EXPECT_EQ(co_await failure_of(&loud.server, {.patience = 60s, .bytes_max = 100'000}), io_failure::too_large);
    co_await talking.join();

    tcp_ends torn = co_await tcp_pair();
    torn.client.abort();
    EXPECT_EQ(co_await failure_of(&torn.server, {.patience = 60s}), io_failure::reset);

    lv::unix_stream closed;
    EXPECT_EQ(co_await failure_of(&closed, {}), io_failure::closed);
  });
}

TEST(close_gracefully, cancelled_it_closes_at_once_and_behind_a_shield_it_ends_in_order) {
  run_tasks(2, []() -> lv::task<> {
    const auto end_cancelled = [](lv::unix_stream* peer) -> lv::task<> {
      EXPECT_EQ(co_await failure_of(peer, {.patience = 60s}), io_failure::cancelled);
    };
    const auto end_shielded = [](lv::unix_stream* peer) -> lv::task<> {
      EXPECT_TRUE(co_await lv::shield(lv::close_gracefully(*peer, {.patience = 60s})));
    };
    auto plain = lv::unix_stream::pair().value();
    auto shielded = lv::unix_stream::pair().value();
    lv::scope ending;
    ending.cancel();
    ending.spawn(end_cancelled, &plain.first);
    ending.spawn(end_shielded, &shielded.first);
    EXPECT_EQ((co_await shielded.second.read_some()).error(), io_failure::eof);
    shielded.second.close();
    co_await ending.join();
  });
}

TEST(drain, gives_every_connection_that_waits_and_then_refuses) {
  run_tasks(2, []() -> lv::task<> {
    constexpr std::size_t count = 5;
    std::vector<lv::tcp_stream> tcp_clients;
    std::vector<lv::tcp_stream> tcp_taken;
    for (const lv::accept_sharding how : {lv::accept_sharding::none, lv::accept_sharding::reuse_port}) {
      auto listener = lv::tcp_listener::bind("127.0.0.1:0", {.sharding = how}).value();
      const lv::address at = listener.local_address();
      for (std::size_t i = 0; i < count; i++) tcp_clients.push_back((co_await lv::tcp_stream::connect(at)).value());
      EXPECT_EQ(lv::drain(listener, [&](lv::tcp_stream peer) { tcp_taken.push_back(std::move(peer)); }), count);
      EXPECT_EQ((co_await lv::tcp_stream::connect(at)).error(), io_failure::refused);
      EXPECT_EQ(lv::drain(listener, [&](lv::tcp_stream) { ADD_FAILURE(); }), 0u);
    }
    for (lv::tcp_stream& each : tcp_taken) EXPECT_TRUE(co_await each.write_all("not forgotten"));
    for (lv::tcp_stream& each : tcp_clients) EXPECT_TRUE(co_await each.read_some());

    auto listener = lv::unix_listener::bind("@levity-test-drain-" + std::to_string(::getpid())).value();
    const lv::unix_address at = listener.local_address();
    std::vector<lv::unix_stream> clients;
    std::vector<lv::unix_stream> taken;
    for (std::size_t i = 0; i < count; i++) clients.push_back((co_await lv::unix_stream::connect(at)).value());
    EXPECT_EQ(lv::drain(listener, [&](lv::unix_stream peer) { taken.push_back(std::move(peer)); }), count);
    EXPECT_EQ((co_await lv::unix_stream::connect(at)).error(), io_failure::refused);
    for (lv::unix_stream& each : taken) EXPECT_TRUE(co_await each.write_all("not forgotten"));
    for (lv::unix_stream& each : clients) EXPECT_TRUE(co_await each.read_some());
  });
}
