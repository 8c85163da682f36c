// What Unix sockets promise on every backend: the kernel's and simulated ones, one fact a test. What becomes of names when hosts
// fail is asked in world_unix_test.cpp.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/socket_backends.hpp"
#include "tests/support/temporary_folder.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::temporary_folder;

namespace {

class unix_contract : public levity::test::on_each_backend {
protected:
  // A path, and an abstract name that no other process has.
  std::vector<std::string> names() const {
    return {folder_.file("a.sock"), "@levity-contract-" + std::to_string(::getpid())};
  }
  std::string path() const { return folder_.file("a.sock"); }

private:
  const temporary_folder folder_;
};

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// So many bytes, or what there was until it ended.
lv::task<std::string> read_text(lv::unix_stream* from, std::size_t size) {
  std::string text;
  std::vector<std::byte> room(16'384);
  while (text.size() < size) {
    const auto part = co_await from->read_some(std::span(room).first(std::min(room.size(), size - text.size())));
    if (!part) break;
    text.append(reinterpret_cast<const char*>(room.data()), *part);
  }
  co_return text;
}

lv::task<io_failure> read_failure(lv::unix_stream* from) {
  const auto got = co_await from->read_some();
  co_return got ? io_failure::other : got.error().failure();
}

lv::task<std::string> receive_text(lv::unix_datagram* from) {
  std::byte room[64];
  const auto got = co_await from->receive(std::span(room));
  co_return got ? std::string(text_of(got->bytes)) : std::string(to_string(got.error().failure()));
}

lv::task<> echo(lv::unix_stream peer) {
  for (;;) {
    const auto part = co_await peer.read_some();
    if (!part) co_return;
    const auto sent = co_await peer.write_all(*part);
    if (!sent) co_return;
  }
}

lv::task<> write_text(lv::unix_stream* to, std::string text) {
  EXPECT_TRUE(co_await to->write_all(text));
  EXPECT_TRUE(to->shutdown_write());
}

lv::task<> send_numbers(lv::unix_datagram* from, lv::unix_address to, int count) {
  for (int i = 0; i < count; i++) {
    const std::string text = std::to_string(i);
    const auto sent = to.is_empty() ? co_await from->send(text) : co_await from->send_to(text, to);
    EXPECT_TRUE(sent);
  }
}

std::string pattern(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; i++) text[i] = static_cast<char>('a' + (i * 7 + i / 1'000) % 26);
  return text;
}

}  // namespace

// ---- streams ---------------------------------------------------------------------------------------------------------

TEST_P(unix_contract, a_stream_by_path_or_abstract_name_carries_both_ways_and_ends) {
  for (const std::string& name : names()) {
    run([](std::string at) -> lv::task<> {
      auto listener = lv::unix_listener::bind(at);
      EXPECT_TRUE(listener);
      if (!listener) co_return;
      EXPECT_EQ(listener->local_address().to_string(), at);
      auto client = co_await lv::unix_stream::connect(at);
      EXPECT_TRUE(client);
      auto server = co_await listener->accept();
      EXPECT_TRUE(server);
      if (!client || !server) co_return;
      EXPECT_EQ(client->peer_address().to_string(), at);
      EXPECT_TRUE(client->local_address().is_empty());
      EXPECT_EQ(server->local_address().to_string(), at);
      lv::scope connections;
      connections.spawn(echo, std::move(*server));
      for (const std::string_view text : {"hello", "and again"}) {
        EXPECT_TRUE(co_await client->write_all(text));
        EXPECT_EQ(co_await read_text(&*client, text.size()), text);
      }
      EXPECT_TRUE(client->shutdown_write());
      EXPECT_EQ(co_await read_failure(&*client), io_failure::eof);
      EXPECT_EQ(co_await read_failure(&*client), io_failure::eof);
      co_await connections.join();
    }, name);
  }
}

TEST_P(unix_contract, much_more_than_a_buffer_goes_through_both_ways_at_once) {
  run([]() -> lv::task<> {
    auto ends = lv::unix_stream::pair();
    EXPECT_TRUE(ends);
    if (!ends) co_return;
    EXPECT_TRUE(ends->first.set_send_buffer(4096));
    const std::string there = pattern(1'000'000);
    const std::string back = pattern(600'000);
    lv::scope writers;
    writers.spawn(write_text, &ends->first, there);
    writers.spawn(write_text, &ends->second, back);
    auto both = co_await lv::when_all(read_text(&ends->second, there.size()), read_text(&ends->first, back.size()));
    EXPECT_TRUE(std::get<0>(both) == there);
    EXPECT_TRUE(std::get<1>(both) == back);
    co_await writers.join();
    EXPECT_EQ(co_await read_failure(&ends->first), io_failure::eof);
    EXPECT_EQ(co_await read_failure(&ends->second), io_failure::eof);
  });
}

TEST_P(unix_contract, an_end_and_a_reset_are_told_apart_and_both_refuse_writes) {
  run([]() -> lv::task<> {
    auto in_order = lv::unix_stream::pair().value();
    EXPECT_TRUE(co_await in_order.second.write_all("last words"));
    in_order.second.close();
    EXPECT_EQ((co_await in_order.first.write_all("x")).error(), io_failure::reset);
    EXPECT_EQ(co_await read_text(&in_order.first, 10), "last words");
    for (int i = 0; i < 3; i++) EXPECT_EQ(co_await read_failure(&in_order.first), io_failure::eof);

    auto torn = lv::unix_stream::pair().value();
    EXPECT_TRUE(co_await torn.first.write_all("never read"));
    EXPECT_TRUE(co_await torn.second.write_all("last words"));
    torn.second.close();
    EXPECT_EQ(co_await read_text(&torn.first, 10), "last words");
    for (int i = 0; i < 3; i++) EXPECT_EQ(co_await read_failure(&torn.first), io_failure::reset);
    EXPECT_EQ((co_await torn.first.write_all("x")).error(), io_failure::reset);
    torn.first.close();
    EXPECT_EQ(co_await read_failure(&torn.first), io_failure::closed);
  });
}

TEST_P(unix_contract, who_waits_to_read_or_to_write_is_told_when_the_peer_is_gone) {
  run([]() -> lv::task<> {
    const auto reads = [](lv::unix_stream* from, io_failure expected) -> lv::task<> {
      const io_failure told = co_await read_failure(from);
      EXPECT_EQ(told, expected);
    };
    const auto fills = [](lv::unix_stream* to) -> lv::task<> {
      const std::string much(4 << 20, 'x');
      const auto sent = co_await to->write_all(much);
      EXPECT_TRUE(!sent && sent.error() == io_failure::reset);
    };
    for (const bool tears : {false, true}) {
      auto ends = lv::unix_stream::pair().value();
      // Whether the end is a reset is what was not read, and the one who fills may come late.
      if (tears) {
        EXPECT_TRUE(co_await ends.first.write_all("never read"));
      }
      lv::scope waiting;
      waiting.spawn(reads, &ends.first, tears ? io_failure::reset : io_failure::eof);
      if (tears) waiting.spawn(fills, &ends.first);
      co_await lv::sleep(2ms);
      ends.second.close();
      co_await waiting.join();
    }
  });
}

TEST_P(unix_contract, a_name_that_is_nobodys_or_of_another_kind_is_refused) {
  run([](std::vector<std::string> names) -> lv::task<> {
    EXPECT_EQ((co_await lv::unix_stream::connect(names[0])).error(), io_failure::not_found);
    EXPECT_EQ((co_await lv::unix_stream::connect(names[1])).error(), io_failure::refused);
    for (const std::string& each : names) {
      auto other = lv::unix_datagram::bind(each);
      EXPECT_TRUE(other);
      EXPECT_EQ((co_await lv::unix_stream::connect(each)).error().code(), each[0] == '@' ? ECONNREFUSED : EPROTOTYPE);
    }
    for (const std::string& each : names) {
      auto listener = lv::unix_listener::bind(each);
      EXPECT_TRUE(listener) << "the name went with the socket before";
      auto datagram = lv::unix_datagram::unnamed().value();
      EXPECT_EQ(datagram.connect(lv::unix_address::parse(each).value()).error().code(),
                each[0] == '@' ? ECONNREFUSED : EPROTOTYPE);
    }
  }, names());
}

TEST_P(unix_contract, a_taken_name_is_refused_also_to_who_would_replace_a_stale_one) {
  run([](std::vector<std::string> names) -> lv::task<> {
    for (const std::string& each : names) {
      auto listener = lv::unix_listener::bind(each);
      EXPECT_TRUE(listener);
      const auto second = lv::unix_listener::bind(each);
      EXPECT_TRUE(!second && second.error() == io_failure::address_in_use);
      const auto replacing = lv::unix_listener::bind(each, {.bind = {.replace_stale = true}});
      EXPECT_TRUE(!replacing && replacing.error() == io_failure::address_in_use);
      if (second || replacing || !listener) co_return;
      const bool is_path = each[0] != '@';
      EXPECT_EQ(second.error().message().find("set replace_stale") != std::string::npos, is_path) << second.error().message();
      EXPECT_EQ(replacing.error().message().find("its owner answers") != std::string::npos, is_path);
      EXPECT_TRUE(co_await lv::unix_stream::connect(each)) << "it listens as before";
      listener->close();
      EXPECT_TRUE(lv::unix_listener::bind(each));
    }
  }, names());
}

TEST_P(unix_contract, a_connect_waits_for_room_in_the_backlog) {
  run([](std::string at) -> lv::task<> {
    auto listener = lv::unix_listener::bind(at, {.backlog = 1}).value();
    std::vector<lv::unix_stream> clients;
    for (int i = 0; i < 2; i++) clients.push_back((co_await lv::unix_stream::connect(at)).value());
    const auto late = [](std::string to) -> lv::task<io_failure> {
      const auto client = co_await lv::unix_stream::connect(to);
      co_return client ? io_failure::other : client.error().failure();
    };
    EXPECT_EQ(co_await lv::with_deadline(20ms, late(at)), io_failure::timed_out);
    const auto accepts = [](lv::unix_listener* from) -> lv::task<> {
      co_await lv::sleep(5ms);
      EXPECT_TRUE(co_await from->accept());
    };
    lv::scope accepting;
    accepting.spawn(accepts, &listener);
    EXPECT_TRUE(co_await lv::unix_stream::connect(at));
    co_await accepting.join();
  }, path());
}

TEST_P(unix_contract, without_a_backlog_one_may_wait) {
  for (const int backlog : {0, -1}) {
    run([](std::string at, int waits) -> lv::task<> {
      auto listener = lv::unix_listener::bind(at, {.backlog = waits}).value();
      auto client = co_await lv::unix_stream::connect(at);
      EXPECT_TRUE(client);
      const auto late = [](std::string to) -> lv::task<io_failure> {
        const auto second = co_await lv::unix_stream::connect(to);
        co_return second ? io_failure::other : second.error().failure();
      };
      EXPECT_EQ(co_await lv::with_deadline(5ms, late(at)), io_failure::timed_out);
      EXPECT_TRUE(client && co_await listener.accept());
    }, path(), backlog);
  }
}

TEST_P(unix_contract, one_that_was_stopped_refuses_new_connections_and_gives_out_those_that_wait) {
  run([](std::vector<std::string> names) -> lv::task<> {
    for (const std::string& each : names) {
      auto listener = lv::unix_listener::bind(each).value();
      std::vector<lv::unix_stream> clients;
      for (int i = 0; i < 3; i++) clients.push_back((co_await lv::unix_stream::connect(each)).value());
      listener.stop();
      listener.stop();
      EXPECT_FALSE(co_await lv::unix_stream::connect(each));
      for (lv::unix_stream& client : clients) {
        auto peer = co_await listener.accept();
        EXPECT_TRUE(peer && co_await peer->write_all("you were not forgotten"));
        EXPECT_EQ(co_await read_text(&client, 22), "you were not forgotten");
      }
      EXPECT_EQ((co_await listener.accept()).error(), io_failure::closed);
    }
  }, names());
}

TEST_P(unix_contract, a_listener_that_is_drained_gives_out_all_that_wait) {
  run([](std::string at) -> lv::task<> {
    auto listener = lv::unix_listener::bind(at).value();
    std::vector<lv::unix_stream> clients;
    for (int i = 0; i < 20; i++) clients.push_back((co_await lv::unix_stream::connect(at)).value());
    std::vector<lv::unix_stream> accepted;
    const std::size_t count = lv::drain(listener, [&accepted](lv::unix_stream peer) { accepted.push_back(std::move(peer)); });
    EXPECT_EQ(count, 20u);
    accepted.clear();
    for (lv::unix_stream& each : clients) EXPECT_EQ(co_await read_failure(&each), io_failure::eof);
  }, path());
}

TEST_P(unix_contract, one_that_waits_is_told_when_its_listener_is_stopped) {
  run([](std::string at) -> lv::task<> {
    auto listener = lv::unix_listener::bind(at).value();
    const auto accepts = [](lv::unix_listener* from) -> lv::task<> {
      const auto peer = co_await from->accept();
      EXPECT_TRUE(!peer && peer.error() == io_failure::closed);
    };
    lv::scope waiting;
    waiting.spawn(accepts, &listener);
    co_await lv::sleep(2ms);
    listener.stop();
    co_await waiting.join();
  }, path());
}

TEST_P(unix_contract, a_listener_that_closes_resets_who_was_not_accepted) {
  run([](std::string at) -> lv::task<> {
    auto listener = lv::unix_listener::bind(at).value();
    auto client = (co_await lv::unix_stream::connect(at)).value();
    EXPECT_TRUE(co_await client.write_all("is anybody there?"));
    listener.close();
    EXPECT_EQ(co_await read_failure(&client), io_failure::reset);
    EXPECT_EQ((co_await client.write_all("x")).error(), io_failure::reset);
  }, path());
}

TEST_P(unix_contract, a_read_that_runs_out_of_time_has_taken_nothing) {
  run([]() -> lv::task<> {
    auto ends = lv::unix_stream::pair().value();
    EXPECT_EQ(co_await lv::with_deadline(2ms, read_failure(&ends.first)), io_failure::timed_out);
    EXPECT_TRUE(co_await ends.second.write_all("kept"));
    EXPECT_EQ(co_await read_text(&ends.first, 4), "kept");
  });
}

// ---- datagrams -------------------------------------------------------------------------------------------------------

TEST_P(unix_contract, a_datagram_arrives_whole_says_who_sent_it_and_can_be_answered) {
  run([](std::vector<std::string> names) -> lv::task<> {
    auto server = lv::unix_datagram::bind(names[0]).value();
    auto client = lv::unix_datagram::bind(names[1]).value();
    auto nameless = lv::unix_datagram::unnamed().value();
    std::byte room[64];
    for (const std::string_view text : {"hello", "", "again"}) {
      EXPECT_TRUE(co_await client.send_to(text, server.local_address()));
      const auto got = co_await server.receive(std::span(room));
      EXPECT_TRUE(got);
      if (!got) co_return;
      EXPECT_EQ(text_of(got->bytes), text);
      EXPECT_EQ(got->from, client.local_address());
      EXPECT_FALSE(got->truncated);
    }
    EXPECT_TRUE(co_await server.send_to("and to you", client.local_address()));
    EXPECT_EQ(co_await receive_text(&client), "and to you");
    EXPECT_TRUE(nameless.connect(server.local_address()));
    EXPECT_TRUE(co_await nameless.send("123456"));
    const auto cut = co_await server.receive(std::span(room).first(5));
    EXPECT_TRUE(cut && cut->truncated && text_of(cut->bytes) == "12345" && cut->from.is_empty());
  }, names());
}

TEST_P(unix_contract, a_full_receiver_holds_its_senders_up_and_loses_nothing) {
  for (const bool connects : {true, false}) {
    run([](std::string at, bool connected) -> lv::task<> {
      constexpr int count = 200;
      auto server = lv::unix_datagram::bind(at).value();
      auto client = lv::unix_datagram::unnamed().value();
      if (connected) {
        EXPECT_TRUE(client.connect(server.local_address()));
      }
      lv::scope sending;
      sending.spawn(send_numbers, &client, connected ? lv::unix_address{} : server.local_address(), count);
      co_await lv::sleep(2ms);
      for (int i = 0; i < count; i++) EXPECT_EQ(co_await receive_text(&server), std::to_string(i));
      co_await sending.join();
    }, path(), connects);
  }
}

TEST_P(unix_contract, a_receiver_that_is_gone_is_refused_and_who_hears_one_peer_takes_nothing_of_others) {
  run([](std::string at) -> lv::task<> {
    auto ends = lv::unix_datagram::pair().value();
    EXPECT_TRUE(co_await ends.first.send("to you"));
    EXPECT_EQ(co_await receive_text(&ends.second), "to you");
    ends.second.close();
    EXPECT_EQ((co_await ends.first.send("and now?")).error(), io_failure::refused);
    EXPECT_EQ((co_await ends.first.send("and now?")).error(), io_failure::closed) << "it is connected to nobody";

    auto server = lv::unix_datagram::bind(at).value();
    auto stranger = lv::unix_datagram::unnamed().value();
    auto friendly = lv::unix_datagram::bind(at + "2").value();
    EXPECT_TRUE(server.connect(friendly.local_address()));
    EXPECT_EQ((co_await stranger.send_to("x", server.local_address())).error(), io_failure::permission);
    EXPECT_TRUE(co_await friendly.send_to("it is me", server.local_address()));
    EXPECT_EQ(co_await receive_text(&server), "it is me");
    const std::string much(1 << 20, 'x');
    EXPECT_EQ((co_await friendly.send_to(much, server.local_address())).error(), io_failure::too_large);
  }, path());
}

TEST_P(unix_contract, who_finds_its_peer_closed_by_a_send_has_lost_what_that_one_had_sent) {
  run([](std::string at) -> lv::task<> {
    for (const bool sends : {false, true}) {
      auto ends = lv::unix_datagram::pair().value();
      EXPECT_TRUE(co_await ends.second.send("last words"));
      ends.second.close();
      if (sends) {
        EXPECT_EQ((co_await ends.first.send("x")).error(), io_failure::refused);
      }
      EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&ends.first)), sends ? "timed out" : "last words");
    }
    auto server = lv::unix_datagram::bind(at).value();
    auto peer = lv::unix_datagram::bind(at + "2").value();
    auto third = lv::unix_datagram::unnamed().value();
    EXPECT_TRUE(co_await third.send_to("of a third one", server.local_address()));
    EXPECT_TRUE(server.connect(peer.local_address()));
    peer.close();
    EXPECT_EQ((co_await server.send("x")).error(), io_failure::refused);
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&server)), "timed out") << "and what others had";
  }, path());
}

TEST_P(unix_contract, who_is_left_for_another_with_something_unread_is_told_once) {
  run([](std::string at) -> lv::task<> {
    auto fickle = lv::unix_datagram::bind(at).value();
    auto left = lv::unix_datagram::bind(at + "2").value();
    auto next = lv::unix_datagram::bind(at + "3").value();
    const auto meet = [&] {
      EXPECT_TRUE(fickle.connect(left.local_address()));
      EXPECT_TRUE(left.connect(fickle.local_address()));
    };
    meet();
    EXPECT_TRUE(fickle.connect(next.local_address()));
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&left)), "timed out") << "there was nothing unread";

    meet();
    EXPECT_TRUE(co_await left.send("unread"));
    EXPECT_TRUE(fickle.connect(next.local_address()));
    EXPECT_EQ(co_await receive_text(&left), "connection reset");
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&left)), "timed out") << "it is told once";
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&fickle)), "timed out") << "what was unread is gone";

    meet();
    EXPECT_TRUE(co_await left.send("unread"));
    const auto waits = [](lv::unix_datagram* from) -> lv::task<> {
      const std::string told = co_await receive_text(from);
      EXPECT_EQ(told, "connection reset");
    };
    lv::scope waiting;
    waiting.spawn(waits, &left);
    co_await lv::sleep(2ms);
    EXPECT_TRUE(fickle.connect(next.local_address()));
    co_await waiting.join();

    meet();
    EXPECT_TRUE(co_await left.send("unread"));
    EXPECT_TRUE(fickle.connect(next.local_address()));
    EXPECT_EQ((co_await left.send("x")).error(), io_failure::reset) << "a send is told as well";
    EXPECT_EQ((co_await left.send("x")).error(), io_failure::permission) << "who hears another one";
  }, path());
}

TEST_P(unix_contract, what_one_sends_to_itself_is_bounded_by_its_own_buffer_only) {
  run([](std::string at) -> lv::task<> {
    auto alone = lv::unix_datagram::bind(at).value();
    for (int i = 0; i < 50; i++) {
      const auto sent = co_await lv::with_deadline(1s, alone.send_to(std::to_string(i), alone.local_address()));
      EXPECT_TRUE(sent);
      if (!sent) co_return;
    }
    for (int i = 0; i < 50; i++) EXPECT_EQ(co_await receive_text(&alone), std::to_string(i));

    auto other = lv::unix_datagram::bind(at + "2").value();
    EXPECT_TRUE(alone.connect(alone.local_address()));
    EXPECT_TRUE(co_await alone.send("unread"));
    EXPECT_TRUE(alone.connect(other.local_address()));
    EXPECT_EQ(co_await lv::with_deadline(20ms, receive_text(&alone)), "timed out") << "it is gone, and nobody is told";
  }, path());
}

// Linux reckons memory, not bytes. Kernels differ by a few: 6.18 takes 49.
TEST_P(unix_contract, a_send_buffer_takes_as_many_datagrams_as_have_memory_in_it) {
  run([]() -> lv::task<> {
    auto ends = lv::unix_datagram::pair().value();
    EXPECT_TRUE(ends.first.set_send_buffer(106'496));
    const std::string text(2'000, 'x');
    int sent = 0;
    while (sent < 200 && co_await lv::with_deadline(5ms, [](lv::unix_datagram* from, std::string_view what) -> lv::task<bool> {
      co_return bool(co_await from->send(what));
    }(&ends.first, text))) {
      sent++;
    }
    EXPECT_GT(sent, 40);
    EXPECT_LT(sent, 56);
  });
}

TEST_P(unix_contract, a_datagram_that_is_too_long_is_so_whoever_it_is_for) {
  run([](std::string at) -> lv::task<> {
    const std::string much(1 << 20, 'x');
    auto ends = lv::unix_datagram::pair().value();
    ends.second.close();
    EXPECT_EQ((co_await ends.first.send(much)).error(), io_failure::too_large);
    EXPECT_EQ((co_await ends.first.send("x")).error(), io_failure::refused);
    EXPECT_EQ((co_await ends.first.send_to(much, lv::unix_address::parse(at).value())).error(), io_failure::too_large);
  }, path());
}

TEST_P(unix_contract, who_waits_for_room_is_refused_when_the_receiver_closes) {
  run([]() -> lv::task<> {
    auto ends = lv::unix_datagram::pair().value();
    const auto fills = [](lv::unix_datagram* to) -> lv::task<> {
      for (;;) {
        const auto sent = co_await to->send("x");
        if (sent) continue;
        EXPECT_EQ(sent.error(), io_failure::refused);
        co_return;
      }
    };
    lv::scope sending;
    sending.spawn(fills, &ends.first);
    co_await lv::sleep(5ms);
    ends.second.close();
    co_await sending.join();
  });
}

INSTANTIATE_TEST_SUITE_P(backends, unix_contract, testing::ValuesIn(levity::test::socket_backends), levity::test::name_of);
