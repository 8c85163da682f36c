// What a udp_socket promises on every backend: the kernel's loopback and a simulated one, one fact a test. What only links between
// hosts show is asked in sim_datagrams_test.cpp and world_datagrams_test.cpp.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/socket_backends.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;

namespace {

class udp_contract : public levity::test::on_each_backend {};

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
lv::byte_view bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

lv::udp_socket bound(std::string_view at = "127.0.0.1:0", lv::udp_options options = {}) {
  auto socket = lv::udp_socket::bind(at, options);
  EXPECT_TRUE(socket) << socket.error().message();
  return std::move(socket.value());
}

struct ends {
  lv::udp_socket client;
  lv::udp_socket server;
};

// Connected to each other.
ends connected(std::string_view at = "127.0.0.1:0") {
  ends both{bound(at), bound(at)};
  EXPECT_TRUE(both.client.connect(both.server.local_address()));
  EXPECT_TRUE(both.server.connect(both.client.local_address()));
  return both;
}

// The text, or in words why there is none.
lv::task<std::string> receive_text(lv::udp_socket* from) {
  std::byte room[2048];
  const auto got = co_await from->receive(room);
  co_return got ? std::string(text_of(got->bytes)) : std::string(to_string(got.error().failure()));
}

}  // namespace

TEST_P(udp_contract, a_datagram_arrives_whole_and_says_who_sent_it) {
  for (const char* at : {"127.0.0.1:0", "[::1]:0"}) {
    run([](std::string_view where) -> lv::task<> {
      lv::udp_socket client = bound(where);
      lv::udp_socket server = bound(where);
      EXPECT_NE(client.local_address().port(), 0);
      EXPECT_NE(client.local_address(), server.local_address());
      std::byte room[64];
      for (const std::string_view text : {"hello", "", "again"}) {
        EXPECT_TRUE(co_await client.send_to(text, server.local_address()));
        const auto got = co_await server.receive_from(room);
        EXPECT_TRUE(got);
        if (!got) co_return;
        EXPECT_EQ(text_of(got->bytes), text);
        EXPECT_EQ(got->from, client.local_address());
        EXPECT_FALSE(got->truncated);
        EXPECT_EQ(got->segment_bytes, 0u);
      }
      EXPECT_TRUE(co_await client.send_to("who asks?", server.local_address()));
      const auto nobody = co_await server.receive(room);
      EXPECT_TRUE(nobody && nobody->from == lv::address{});
    }, std::string_view(at));
  }
}

TEST_P(udp_contract, what_does_not_fit_is_cut_off_and_what_is_longer_than_any_is_refused) {
  run([]() -> lv::task<> {
    ends both = connected();
    std::byte few[5];
    for (const std::string_view text : {"12345", "123456"}) {
      EXPECT_TRUE(co_await both.client.send(text));
      const auto got = co_await both.server.receive(few);
      EXPECT_TRUE(got);
      if (!got) co_return;
      EXPECT_EQ(text_of(got->bytes), "12345");
      EXPECT_EQ(got->truncated, text.size() > 5);
    }
    const std::string most(65'507, 'x');
    EXPECT_TRUE(co_await both.client.send(most));
    std::vector<std::byte> room(65'536);
    const auto got = co_await both.server.receive(room);
    EXPECT_TRUE(got && got->bytes.size() == most.size() && !got->truncated);
    const std::string more(65'508, 'x');
    EXPECT_EQ((co_await both.client.send(more)).error(), io_failure::too_large);
  });
}

TEST_P(udp_contract, a_connected_socket_hears_only_its_peer) {
  run([]() -> lv::task<> {
    ends both = connected();
    lv::udp_socket stranger = bound();
    EXPECT_EQ(both.client.peer_address(), both.server.local_address());
    EXPECT_EQ(stranger.peer_address(), lv::address{});
    EXPECT_TRUE(co_await stranger.send_to("you do not know me", both.server.local_address()));
    EXPECT_TRUE(co_await both.client.send("it is me"));
    EXPECT_EQ(co_await receive_text(&both.server), "it is me");
    EXPECT_TRUE(both.server.connect(stranger.local_address()));
    EXPECT_TRUE(co_await stranger.send_to("now you do", both.server.local_address()));
    EXPECT_EQ(co_await receive_text(&both.server), "now you do");
  });
}

TEST_P(udp_contract, of_two_that_could_have_it_the_one_that_is_connected_to_the_sender_does) {
  run([]() -> lv::task<> {
    lv::udp_socket known = bound();
    lv::udp_socket unknown = bound();
    lv::udp_socket of_all = bound("127.0.0.1:0", {.reuse_port = true});
    const lv::address at = of_all.local_address();
    auto second = lv::udp_socket::bind(at, {.reuse_port = true});
    EXPECT_TRUE(second);
    if (!second) co_return;
    lv::udp_socket of_one = std::move(*second);
    EXPECT_TRUE(of_one.connect(known.local_address()));
    EXPECT_TRUE(co_await known.send_to("from whom you know", at));
    EXPECT_EQ(co_await receive_text(&of_one), "from whom you know");
    EXPECT_TRUE(co_await unknown.send_to("from anybody", at));
    EXPECT_EQ(co_await receive_text(&of_all), "from anybody");
  });
}

TEST_P(udp_contract, nobody_there_is_refused_once_to_who_is_connected_and_to_nobody_else) {
  run([]() -> lv::task<> {
    ends both = connected();
    lv::udp_socket stranger = bound();
    const lv::address gone = both.server.local_address();
    both.server.close();
    EXPECT_TRUE(co_await stranger.send_to("anybody?", gone));
    EXPECT_TRUE(co_await both.client.send("anybody?"));
    EXPECT_EQ(co_await receive_text(&both.client), "connection refused");
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&both.client)), "timed out") << "it is told once";
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&stranger)), "timed out") << "it is not connected";
    EXPECT_TRUE(co_await both.client.send("anybody?"));
    co_await lv::sleep(20ms);
    EXPECT_EQ((co_await both.client.send("once more")).error(), io_failure::refused) << "a send is told as well";
    lv::udp_socket back = lv::udp_socket::bind(gone).value();
    EXPECT_TRUE(co_await both.client.send("welcome back"));
    EXPECT_EQ(co_await receive_text(&back), "welcome back");
  });
}

TEST_P(udp_contract, one_that_waits_is_told_that_nobody_is_there) {
  run([]() -> lv::task<> {
    ends both = connected();
    both.server.close();
    const auto waits = [](lv::udp_socket* from) -> lv::task<> {
      const std::string told = co_await receive_text(from);
      EXPECT_EQ(told, "connection refused");
    };
    lv::scope waiting;
    waiting.spawn(waits, &both.client);
    co_await lv::sleep(2ms);
    EXPECT_TRUE(co_await both.client.send("anybody?"));
    co_await waiting.join();
  });
}

TEST_P(udp_contract, a_taken_address_is_refused_and_a_shared_one_gives_each_sender_to_one) {
  run([]() -> lv::task<> {
    lv::udp_socket one = bound();
    EXPECT_EQ(lv::udp_socket::bind(one.local_address()).error(), io_failure::address_in_use);
    const std::string everywhere = ":" + std::to_string(one.local_address().port());
    EXPECT_EQ(lv::udp_socket::bind(everywhere).error(), io_failure::address_in_use);
    lv::udp_socket first = bound("127.0.0.1:0", {.reuse_port = true});
    const lv::address at = first.local_address();
    EXPECT_EQ(lv::udp_socket::bind(at).error(), io_failure::address_in_use);
    auto shared = lv::udp_socket::bind(at, {.reuse_port = true});
    EXPECT_TRUE(shared);
    if (!shared) co_return;
    lv::udp_socket second = std::move(*shared);
    // Whoever has a sender's first datagram has all of them.
    std::set<std::string> of_first;
    std::set<std::string> of_second;
    for (int sender = 0; sender < 40; sender++) {
      lv::udp_socket from = bound();
      for (int i = 0; i < 5; i++) EXPECT_TRUE(co_await from.send_to(std::to_string(sender), at));
    }
    for (const auto& [socket, into] : {std::pair(&first, &of_first), std::pair(&second, &of_second)}) {
      for (;;) {
        const std::string got = co_await lv::with_deadline(50ms, receive_text(socket));
        if (got == "timed out") break;
        into->insert(got);
      }
    }
    EXPECT_EQ(of_first.size() + of_second.size(), 40u) << "nobody's datagrams came to both";
    EXPECT_FALSE(of_first.empty());
    EXPECT_FALSE(of_second.empty());
  });
}

TEST_P(udp_contract, a_batch_arrives_once_each_and_in_order) {
  run([]() -> lv::task<> {
    ends both = connected();
    constexpr std::size_t count = 100;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < count; i++) texts.push_back("number " + std::to_string(i));
    lv::udp_send_batch outgoing(count);
    for (const std::string& each : texts) EXPECT_TRUE(outgoing.add(bytes_of(each)));
    EXPECT_TRUE(co_await both.client.send(outgoing));
    EXPECT_EQ(outgoing.sent(), count);
    lv::udp_receive_batch incoming(16, 64);
    std::size_t got = 0;
    while (got < count) {
      const auto came = co_await both.server.receive(incoming);
      EXPECT_TRUE(came && *came > 0);
      if (!came) co_return;
      for (const lv::udp_datagram& each : incoming) {
        EXPECT_EQ(text_of(each.bytes), texts[std::min(got, count - 1)]);
        EXPECT_EQ(each.from, both.client.local_address());
        EXPECT_FALSE(each.truncated);
        got++;
      }
    }
    EXPECT_EQ(got, count);
  });
}

TEST_P(udp_contract, a_batch_goes_to_many_receivers_and_stops_at_what_is_refused) {
  run([]() -> lv::task<> {
    lv::udp_socket from = bound();
    std::vector<lv::udp_socket> to;
    for (int i = 0; i < 4; i++) to.push_back(bound());
    const std::string too_much(65'508, 'x');
    lv::udp_send_batch batch(8);
    for (lv::udp_socket& each : to) EXPECT_TRUE(batch.add(bytes_of("for you"), each.local_address()));
    EXPECT_TRUE(batch.add(bytes_of(too_much), to[0].local_address()));
    EXPECT_TRUE(batch.add(bytes_of("after all"), to[0].local_address()));
    EXPECT_EQ((co_await from.send(batch)).error(), io_failure::too_large);
    EXPECT_EQ(batch.sent(), 4u);
    batch.skip();
    EXPECT_TRUE(co_await from.send(batch));
    for (lv::udp_socket& each : to) EXPECT_EQ(co_await receive_text(&each), "for you");
    EXPECT_EQ(co_await receive_text(&to[0]), "after all");
  });
}

TEST_P(udp_contract, a_buffer_is_sent_as_segments_and_arrives_as_datagrams) {
  run([]() -> lv::task<> {
    ends both = connected();
    std::string text;
    for (int i = 0; i < 950; i++) text.push_back(static_cast<char>('a' + i % 26));
    EXPECT_TRUE(co_await both.client.send_segments(bytes_of(text), 100));
    for (std::size_t at = 0; at < text.size(); at += 100) {
      EXPECT_EQ(co_await receive_text(&both.server), text.substr(at, 100));
    }
  });
}

TEST_P(udp_contract, who_asked_for_it_may_be_given_several_datagrams_at_once) {
  run([]() -> lv::task<> {
    ends both = connected();
    EXPECT_TRUE(both.server.set_coalescing(true));
    const std::string text(2'050, 'x');
    EXPECT_TRUE(co_await both.client.send_segments(bytes_of(text), 100));
    co_await lv::sleep(20ms);
    std::vector<std::byte> room(65'536);
    lv::udp_receive_batch batch(2, 65'536);
    std::size_t datagrams = 0;
    std::size_t bytes = 0;
    for (bool batched = false; bytes < text.size(); batched = !batched) {
      std::vector<lv::udp_datagram> came;
      if (batched) {
        EXPECT_TRUE(co_await both.server.receive(batch));
        came.assign(batch.begin(), batch.end());
      } else {
        const auto got = co_await both.server.receive(room);
        EXPECT_TRUE(got);
        if (got) came.push_back(*got);
      }
      if (came.empty()) co_return;
      for (const lv::udp_datagram& each : came) {
        EXPECT_FALSE(each.truncated);
        for (const lv::byte_view one : each.segments()) {
          datagrams++;
          bytes += one.size();
          EXPECT_TRUE(one.size() == 100 || (one.size() == 50 && bytes == text.size())) << one.size();
        }
      }
    }
    EXPECT_EQ(datagrams, 21u);
  });
}

TEST_P(udp_contract, what_a_full_buffer_drops_is_counted) {
  run([]() -> lv::task<> {
    ends both = connected();
    EXPECT_TRUE(both.server.set_receive_buffer(8'000));
    EXPECT_EQ(both.server.receive_buffer(), 16'000);
    const std::string text(1'000, 'x');
    constexpr std::uint64_t sent = 200;
    for (std::uint64_t i = 0; i < sent; i++) EXPECT_TRUE(co_await both.client.send(text));
    co_await lv::sleep(50ms);
    std::uint64_t received = 0;
    for (;;) {
      const std::string got = co_await lv::with_deadline(50ms, receive_text(&both.server));
      if (got == "timed out") break;
      EXPECT_EQ(got, text);
      received++;
    }
    EXPECT_GT(received, 0u);
    EXPECT_LT(received, 20u);
    EXPECT_EQ(both.server.dropped(), sent - received);
    EXPECT_TRUE(co_await both.client.send("there is room again"));
    EXPECT_EQ(co_await receive_text(&both.server), "there is room again");
  });
}

// Linux reckons memory, not bytes. Kernels differ by a few: 6.18 takes 48.
TEST_P(udp_contract, a_buffer_takes_as_many_datagrams_as_have_memory_in_it) {
  run([]() -> lv::task<> {
    ends both = connected();
    EXPECT_TRUE(both.server.set_receive_buffer(106'496));
    EXPECT_EQ(both.server.receive_buffer(), 212'992);
    const std::string text(2'000, 'x');
    for (int i = 0; i < 200; i++) EXPECT_TRUE(co_await both.client.send(text));
    co_await lv::sleep(50ms);
    int received = 0;
    while (co_await lv::with_deadline(50ms, receive_text(&both.server)) == text) received++;
    EXPECT_GT(received, 40);
    EXPECT_LT(received, 56);
  });
}

TEST_P(udp_contract, a_receive_that_runs_out_of_time_or_is_cancelled_takes_nothing) {
  run([]() -> lv::task<> {
    ends both = connected();
    EXPECT_EQ(co_await lv::with_deadline(2ms, receive_text(&both.server)), "timed out");
    const auto waits = [](lv::udp_socket* from) -> lv::task<> {
      const std::string told = co_await receive_text(from);
      EXPECT_EQ(told, "cancelled");
    };
    lv::scope waiting;
    waiting.spawn(waits, &both.server);
    co_await lv::sleep(2ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_TRUE(co_await both.client.send("kept"));
    EXPECT_EQ(co_await receive_text(&both.server), "kept");
  });
}

TEST_P(udp_contract, a_socket_on_all_addresses_of_both_kinds_answers_a_sender_of_ipv4) {
  run([]() -> lv::task<> {
    lv::udp_socket server = bound("[::]:0");
    const std::uint16_t port = server.local_address().port();
    const std::string v4_too = ":" + std::to_string(port);
    EXPECT_EQ(lv::udp_socket::bind(v4_too).error(), io_failure::address_in_use);
    lv::udp_socket client = bound();
    EXPECT_TRUE(co_await client.send_to("hello", lv::address::loopback(port)));
    std::byte room[16];
    const auto got = co_await server.receive_from(room);
    EXPECT_TRUE(got && got->from.is_v6());
    if (!got) co_return;
    EXPECT_EQ(got->from.to_string(), "[::ffff:127.0.0.1]:" + std::to_string(client.local_address().port()));
    EXPECT_TRUE(co_await server.send_to("and hello", got->from));
    const auto answer = co_await client.receive_from(room);
    EXPECT_TRUE(answer && text_of(answer->bytes) == "and hello");
    EXPECT_TRUE(answer && answer->from == lv::address::loopback(port));
  });
}

TEST_P(udp_contract, a_socket_of_ipv6_at_an_address_of_ipv4_is_one_of_ipv4_but_for_how_it_writes_it) {
  run([]() -> lv::task<> {
    auto bound_so = lv::udp_socket::bind("[::ffff:127.0.0.1]:0");
    EXPECT_TRUE(bound_so);
    if (!bound_so) co_return;
    lv::udp_socket server = std::move(*bound_so);
    const std::uint16_t port = server.local_address().port();
    EXPECT_EQ(server.local_address().to_string(), "[::ffff:127.0.0.1]:" + std::to_string(port));
    EXPECT_EQ(lv::udp_socket::bind(lv::address::loopback(port)).error(), io_failure::address_in_use);
    EXPECT_TRUE(lv::udp_socket::bind("[::1]:" + std::to_string(port)));
    lv::udp_socket client = bound();
    EXPECT_TRUE(co_await client.send_to("hello", lv::address::loopback(port)));
    std::byte room[16];
    const auto got = co_await server.receive_from(room);
    EXPECT_TRUE(got && text_of(got->bytes) == "hello");
    if (!got) co_return;
    EXPECT_TRUE(co_await server.send_to("and hello", got->from));
    EXPECT_EQ(co_await receive_text(&client), "and hello");
    const lv::address of_v6 = lv::address::parse("[::1]:9").value();
    EXPECT_EQ((co_await server.send_to("x", of_v6)).error().code(), EAFNOSUPPORT);
    EXPECT_EQ(server.connect(of_v6).error().code(), EAFNOSUPPORT);
  });
}

TEST_P(udp_contract, over_ipv6_a_datagram_may_be_a_little_longer) {
  run([]() -> lv::task<> {
    lv::udp_socket client = bound("[::1]:0");
    lv::udp_socket server = bound("[::1]:0");
    std::vector<std::byte> room(65'536);
    const std::string most(65'527, 'x');
    EXPECT_TRUE(co_await client.send_to(most, server.local_address()));
    const auto got = co_await server.receive(room);
    EXPECT_TRUE(got && got->bytes.size() == most.size());
    EXPECT_EQ((co_await client.send_to(most + "x", server.local_address())).error(), io_failure::too_large);
    lv::udp_socket of_both = bound("[::]:0");
    const lv::address as_v6 = lv::address::parse("[::ffff:127.0.0.1]:9").value();
    EXPECT_EQ((co_await of_both.send_to(most, as_v6)).error(), io_failure::too_large) << "it goes over IPv4";
  });
}

TEST_P(udp_contract, what_is_wrong_with_a_send_is_said_before_what_an_answer_said) {
  run([]() -> lv::task<> {
    ends both = connected();
    both.server.close();
    EXPECT_TRUE(co_await both.client.send("anybody?"));
    co_await lv::sleep(20ms);
    const std::string much(65'508, 'x');
    EXPECT_EQ((co_await both.client.send(much)).error(), io_failure::too_large);
    EXPECT_EQ((co_await both.client.send_to("x", lv::address::loopback(0))).error(), io_failure::invalid);
    EXPECT_EQ((co_await both.client.send("x")).error(), io_failure::refused) << "it is kept for the next";
  });
}

TEST_P(udp_contract, what_is_sent_to_no_address_comes_to_ones_own) {
  run([]() -> lv::task<> {
    lv::udp_socket from = bound("127.0.0.2:0");
    lv::udp_socket of_any = bound(":0");
    lv::udp_socket receiver = bound("127.0.0.2:0");
    const std::uint16_t port = receiver.local_address().port();
    lv::udp_socket at_loopback = bound("127.0.0.1:" + std::to_string(port));
    const lv::address nowhere = lv::address::parse("0.0.0.0:" + std::to_string(port)).value();
    EXPECT_TRUE(co_await from.send_to("to me", nowhere));
    EXPECT_EQ(co_await receive_text(&receiver), "to me");
    EXPECT_TRUE(co_await of_any.send_to("to loopback", nowhere));
    EXPECT_EQ(co_await receive_text(&at_loopback), "to loopback");
    EXPECT_TRUE(from.connect(nowhere));
    EXPECT_EQ(from.peer_address(), receiver.local_address());
  });
}

TEST_P(udp_contract, a_socket_on_all_addresses_that_has_a_peer_is_at_one_of_them_only) {
  run([]() -> lv::task<> {
    for (const char* at : {":0", "[::]:0"}) {
      lv::udp_socket socket = bound(at);
      const std::string port = std::to_string(socket.local_address().port());
      EXPECT_EQ(lv::udp_socket::bind("127.0.0.2:" + port).error(), io_failure::address_in_use);
      EXPECT_TRUE(socket.connect(at[0] == ':' ? "127.0.0.1:9" : "[::1]:9"));
      EXPECT_TRUE(lv::udp_socket::bind("127.0.0.2:" + port));
      EXPECT_EQ(lv::udp_socket::bind(":" + port).error(), io_failure::address_in_use);
    }
    co_return;
  });
}

TEST_P(udp_contract, a_socket_of_ipv6_at_one_address_knows_none_of_ipv4) {
  run([]() -> lv::task<> {
    lv::udp_socket socket = bound("[::1]:0");
    const lv::address as_v6 = lv::address::parse("[::ffff:127.0.0.1]:9").value();
    EXPECT_EQ((co_await socket.send_to("x", lv::address::loopback(9))).error().code(), ENETUNREACH);
    EXPECT_EQ((co_await socket.send_to("x", as_v6)).error().code(), ENETUNREACH);
    EXPECT_EQ(socket.connect(as_v6).error().code(), ENETUNREACH);
    EXPECT_EQ(socket.connect(lv::address::loopback(9)).error().code(), EAFNOSUPPORT);
  });
}

TEST_P(udp_contract, who_connects_to_port_0_finds_nobody_and_hears_all_of_that_host) {
  run([]() -> lv::task<> {
    lv::udp_socket socket = bound();
    EXPECT_TRUE(socket.connect(lv::address::loopback(0)));
    EXPECT_EQ(socket.peer_address(), lv::address{});
    EXPECT_TRUE(co_await socket.send("x"));
    lv::udp_socket other = bound("127.0.0.1:0");
    lv::udp_socket stranger = bound("127.0.0.2:0");
    co_await lv::sleep(20ms);
    EXPECT_EQ(co_await receive_text(&socket), "connection refused");
    EXPECT_TRUE(co_await stranger.send_to("from elsewhere", socket.local_address()));
    EXPECT_TRUE(co_await other.send_to("from there", socket.local_address()));
    EXPECT_EQ(co_await receive_text(&socket), "from there");
  });
}

TEST_P(udp_contract, what_makes_no_sense_is_refused_by_its_reason) {
  run([]() -> lv::task<> {
    lv::udp_socket socket = bound();
    EXPECT_EQ((co_await socket.send("to whom?")).error().code(), EDESTADDRREQ);
    EXPECT_EQ((co_await socket.send_to("x", lv::address::loopback(0))).error(), io_failure::invalid);
    const lv::address of_v6 = lv::address::parse("[::1]:9").value();
    EXPECT_EQ((co_await socket.send_to("x", of_v6)).error().code(), EAFNOSUPPORT);
    socket.close();
    EXPECT_EQ((co_await socket.send("x")).error(), io_failure::closed);
    EXPECT_EQ(co_await receive_text(&socket), "already closed");
    EXPECT_EQ(socket.dropped().error(), io_failure::closed);
    EXPECT_EQ(socket.local_address(), lv::address{});
  });
}

INSTANTIATE_TEST_SUITE_P(backends, udp_contract, testing::ValuesIn(levity::test::socket_backends), levity::test::name_of);
