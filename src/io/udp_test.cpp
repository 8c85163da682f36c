// Datagrams on the loopback: what arrives, from whom, how much of it, and that nothing is counted twice or forgotten.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "reactor/reactor.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

static_assert(std::forward_iterator<lv::udp_segments::iterator> && std::forward_iterator<lv::udp_receive_batch::iterator>);

constexpr unsigned worker_counts[] = {1, 2, 4};

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
lv::byte_view bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

lv::udp_socket bound(std::string_view at = "127.0.0.1:0") {
  auto socket = lv::udp_socket::bind(at);
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

// Two ends of a socketpair: unlike the loopback it lets a sender wait until the other end receives.
ends bounded() {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
  ends both{lv::udp_socket::adopt(fds[0]).value(), lv::udp_socket::adopt(fds[1]).value()};
  EXPECT_TRUE(both.client.set_send_buffer(4096));
  return both;
}

std::size_t fill(lv::udp_socket& from, std::string_view datagram) {
  std::size_t count = 0;
  for (;; count++) {
    const auto sent = from.try_send(bytes_of(datagram));
    if (sent) continue;
    EXPECT_EQ(sent.error(), io_failure::would_block);
    return count;
  }
}

lv::task<std::string> receive_text(lv::udp_socket& from) {
  std::byte room[2048];
  const auto got = co_await from.receive(room);
  co_return got ? std::string(text_of(got->bytes)) : std::string(to_string(got.error().failure()));
}

// What has come and was not received; takes it.
std::size_t count_left(lv::udp_socket& from) {
  std::size_t count = 0;
  char byte;
  while (::recv(from.native_endpoint()->fd, &byte, 1, MSG_DONTWAIT) >= 0) count++;
  return count;
}

}  // namespace

// ---- one datagram ----------------------------------------------------------------------------------------------------

TEST(udp, a_datagram_arrives_whole_and_says_who_sent_it) {
  for (const char* at : {"127.0.0.1:0", "[::1]:0"}) {
    run_tasks(2, [](std::string_view where) -> lv::task<> {
      lv::udp_socket client = bound(where);
      lv::udp_socket server = bound(where);
      std::byte room[64];
      for (const std::string_view text : {"hello", "", "again"}) {
        EXPECT_TRUE(co_await client.send_to(text, server.local_address()));
        const auto got = co_await server.receive_from(room);
        EXPECT_TRUE(got);
        if (!got) co_return;
        EXPECT_EQ(text_of(got->bytes), text);
        EXPECT_EQ(got->from, client.local_address());
        EXPECT_EQ(got->segment_bytes, 0u);
        EXPECT_FALSE(got->truncated);
        EXPECT_EQ(got->segments().size(), 1u);
      }
      EXPECT_TRUE(co_await client.send_to("who asks?", server.local_address()));
      const auto nobody = co_await server.receive(room);
      EXPECT_TRUE(nobody);
      if (!nobody) co_return;
      EXPECT_EQ(text_of(nobody->bytes), "who asks?");
      EXPECT_EQ(nobody->from, lv::address{});
      lv::udp_receive_batch batch(4);
      for (int round = 0; round < 3; round++) {
        EXPECT_TRUE(co_await client.send_to("to a batch", server.local_address()));
        EXPECT_EQ(co_await server.receive(batch), 1u);
        EXPECT_EQ(text_of(batch[0].bytes), "to a batch");
        EXPECT_EQ(batch[0].from, client.local_address());
      }
    }, std::string_view(at));
  }
}

TEST(udp, what_does_not_fit_is_cut_off_and_said_so) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    std::byte room[5];
    for (const std::string_view text : {"12345", "123456"}) {
      EXPECT_TRUE(co_await both.client.send(text));
      const auto got = co_await both.server.receive(room);
      EXPECT_TRUE(got);
      if (!got) co_return;
      EXPECT_EQ(text_of(got->bytes), "12345");
      EXPECT_EQ(got->truncated, text.size() > 5);
    }
    lv::udp_receive_batch batch(2, 5);
    EXPECT_TRUE(co_await both.client.send("12345"));
    EXPECT_TRUE(co_await both.client.send("123456"));
    EXPECT_EQ(co_await both.server.receive(batch), 2u);
    EXPECT_FALSE(batch[0].truncated);
    EXPECT_TRUE(batch[1].truncated);
    EXPECT_EQ(text_of(batch[1].bytes), "12345");
  });
}

TEST(udp, a_datagram_longer_than_any_is_too_large) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    const std::string most(65'507, 'x');
    const std::string more(65'508, 'x');
    EXPECT_TRUE(co_await both.client.send(most));
    std::vector<std::byte> room(65'536);
    const auto got = co_await both.server.receive(room);
    EXPECT_TRUE(got && got->bytes.size() == most.size());
    const auto sent = co_await both.client.send(more);
    EXPECT_TRUE(!sent && sent.error() == io_failure::too_large);
    EXPECT_TRUE(!both.client.try_send(bytes_of(more)));
  });
}

TEST(udp, a_connected_socket_hears_only_its_peer) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    lv::udp_socket stranger = bound();
    EXPECT_EQ(both.client.peer_address(), both.server.local_address());
    EXPECT_EQ(stranger.peer_address(), lv::address{});
    EXPECT_TRUE(co_await stranger.send_to("you do not know me", both.server.local_address()));
    EXPECT_TRUE(co_await both.client.send("it is me"));
    const std::string got = co_await receive_text(both.server);
    EXPECT_EQ(got, "it is me");
    // Another peer later.
    EXPECT_TRUE(both.server.connect(stranger.local_address()));
    EXPECT_TRUE(co_await stranger.send_to("now you do", both.server.local_address()));
    EXPECT_EQ(co_await receive_text(both.server), "now you do");
  });
}

// ---- outcomes --------------------------------------------------------------------------------------------------------

TEST(udp, nobody_there_is_refused_to_the_next_operation_and_to_one_that_waits) {
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      ends both = connected();
      const lv::address gone = both.server.local_address();
      both.server.close();
      EXPECT_TRUE(co_await both.client.send("anybody?"));
      std::byte room[8];
      const auto received = co_await both.client.receive(room);
      EXPECT_TRUE(!received && received.error() == io_failure::refused);
      const auto waits = [](lv::udp_socket& from) -> lv::task<> {
        std::byte bytes[8];
        const auto got = co_await from.receive(bytes);
        EXPECT_TRUE(!got && got.error() == io_failure::refused);
      };
      lv::scope waiting;
      waiting.spawn(waits, std::ref(both.client));
      co_await lv::sleep(1ms);
      EXPECT_TRUE(co_await both.client.send("anybody?"));
      co_await waiting.join();
      // A batch is told too, and keeps what it has.
      lv::udp_send_batch batch(4);
      EXPECT_TRUE(batch.add(bytes_of("a")) && batch.add(bytes_of("b")));
      EXPECT_TRUE(both.client.try_send(bytes_of("once more")));
      const auto failed = co_await both.client.send(batch);
      EXPECT_TRUE(!failed && failed.error() == io_failure::refused);
      EXPECT_EQ(batch.sent(), 0u);
      // Once somebody listens, the socket works as if nothing had been.
      lv::udp_socket back = lv::udp_socket::bind(gone).value();
      const auto sent = co_await both.client.send(batch);
      EXPECT_TRUE(sent);
      EXPECT_EQ(batch.sent(), 2u);
      EXPECT_EQ(co_await receive_text(back), "a");
      EXPECT_EQ(co_await receive_text(back), "b");
    });
  }
}

TEST(udp, a_malformed_a_taken_and_a_shared_address_are_told_apart) {
  run_tasks(1, []() -> lv::task<> {
    lv::udp_socket socket = bound();
    for (const lv::io_error& each : {lv::udp_socket::bind("nonsense").error(), socket.connect("nonsense").error()}) {
      EXPECT_EQ(each, io_failure::invalid);
      EXPECT_NE(each.message().find("\"nonsense\" is no address: the port is missing"), std::string::npos) << each.message();
    }
    EXPECT_TRUE(socket.connect(bound().local_address().to_string()));
    lv::udp_socket one = bound();
    EXPECT_EQ(lv::udp_socket::bind(one.local_address()).error(), io_failure::address_in_use);
    lv::udp_socket first = lv::udp_socket::bind("127.0.0.1:0", {.reuse_port = true}).value();
    EXPECT_TRUE(lv::udp_socket::bind(first.local_address(), {.reuse_port = true}));
    EXPECT_EQ(lv::udp_socket::bind(first.local_address()).error(), io_failure::address_in_use);
    co_return;
  });
}

TEST(udp, a_closed_socket_says_so) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    lv::udp_socket moved = std::move(both.client);
    EXPECT_TRUE(moved.is_open());
    EXPECT_FALSE(both.client.is_open());
    moved.close();
    moved.close();
    std::byte room[8];
    lv::udp_send_batch outgoing(1);
    lv::udp_receive_batch incoming(1);
    EXPECT_TRUE(outgoing.add(bytes_of("x")));
    EXPECT_EQ((co_await moved.send("x")).error(), io_failure::closed);
    EXPECT_EQ((co_await moved.send_segments(bytes_of("x"), 1)).error(), io_failure::closed);
    EXPECT_EQ((co_await moved.send(outgoing)).error(), io_failure::closed);
    EXPECT_EQ((co_await moved.receive(room)).error(), io_failure::closed);
    EXPECT_EQ((co_await moved.receive(incoming)).error(), io_failure::closed);
    EXPECT_EQ(moved.try_send(bytes_of("x")).error(), io_failure::closed);
    EXPECT_EQ(moved.connect(lv::address::loopback(1)).error(), io_failure::closed);
    EXPECT_EQ(moved.set_coalescing(true).error(), io_failure::closed);
    EXPECT_EQ(moved.dropped().error(), io_failure::closed);
    EXPECT_EQ(moved.local_address(), lv::address{});
  });
}

TEST(udp, bound_before_the_runtime_it_serves_within) {
  lv::udp_socket early = bound();
  const lv::address at = early.local_address();
  EXPECT_NE(at.port(), 0);
  // A datagram that comes before the runtime does is not lost.
  EXPECT_TRUE(bound().try_send_to(bytes_of("early"), at));
  run_tasks(2, [](lv::udp_socket server) -> lv::task<> {
    EXPECT_EQ(co_await receive_text(server), "early");
  }, std::move(early));
}

TEST(udp, a_simulated_run_has_its_own_and_none_of_the_kernels) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, [](lv::udp_socket early) -> lv::task<> {
    EXPECT_TRUE(lv::udp_socket::bind("127.0.0.1:0"));
    const auto adopted = lv::udp_socket::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(!adopted && adopted.error() == io_failure::unsupported);
    const auto sent = co_await early.send_to("x", lv::address::loopback(9));
    EXPECT_TRUE(!sent && sent.error() == io_failure::unsupported);
  }, bound());
}

TEST(udp, only_datagram_sockets_are_adopted_and_others_are_closed) {
  run_tasks(1, []() -> lv::task<> {
    int fds[2];
    EXPECT_EQ(::pipe(fds), 0);
    const int stream = ::socket(AF_INET, SOCK_STREAM, 0);
    for (const int fd : {fds[0], fds[1], stream}) {
      const auto adopted = lv::udp_socket::adopt(fd);
      EXPECT_TRUE(!adopted && adopted.error() == io_failure::invalid);
      EXPECT_EQ(::close(fd), -1) << "it was closed already";
    }
    EXPECT_EQ(lv::udp_socket::adopt(-1).error(), io_failure::closed);
    co_return;
  });
}

TEST(udp, buffer_sizes_are_set_and_told) {
  lv::udp_socket socket = bound();
  EXPECT_TRUE(socket.set_send_buffer(16'384));
  EXPECT_TRUE(socket.set_receive_buffer(32'768));
  EXPECT_EQ(socket.send_buffer(), 2 * 16'384);
  EXPECT_EQ(socket.receive_buffer(), 2 * 32'768);
  EXPECT_TRUE(socket.set_broadcast(true));
}

// ---- batches ---------------------------------------------------------------------------------------------------------

namespace {

struct numbered {
  std::uint32_t number;
  std::uint32_t check;
};

std::uint32_t check_of(std::uint32_t number) { return number * 2654435761u ^ 0x5bd1e995; }

constexpr std::size_t on_the_way_max = 96;  // what the receive buffer is sure to hold

lv::task<> send_numbered(lv::udp_socket& to, std::uint32_t count, lv::semaphore& room) {
  lv::udp_send_batch batch(64);
  std::vector<numbered> words(batch.capacity());
  lv::rng random(7);
  for (std::uint32_t next = 0; next < count;) {
    batch.clear();
    const std::size_t wanted = std::min<std::size_t>(1 + random.below(batch.capacity()), count - next);
    for (std::size_t i = 0; i < wanted; i++) {
      co_await room.acquire();
      words[i] = {next, check_of(next)};
      next++;
      EXPECT_TRUE(batch.add(std::as_bytes(std::span(&words[i], 1))));
    }
    const auto sent = co_await to.send(batch);
    EXPECT_TRUE(sent);
    EXPECT_EQ(batch.sent(), wanted);
  }
}

}  // namespace

TEST(udp, a_hundred_thousand_datagrams_in_batches_arrive_once_each) {
  const auto total = static_cast<std::uint32_t>(100'000 / slow_build_factor);
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, [](std::uint32_t count) -> lv::task<> {
      ends both = connected();
      lv::semaphore room(on_the_way_max);
      lv::scope senders;
      senders.spawn(send_numbered, std::ref(both.client), count, std::ref(room));
      lv::udp_receive_batch batch(32, 64);
      std::vector<bool> seen(count);
      std::uint32_t received = 0;
      while (received < count) {
        const auto got = co_await both.server.receive(batch);
        EXPECT_TRUE(got);
        if (!got) co_return;
        EXPECT_GE(*got, 1u);
        EXPECT_EQ(*got, batch.size());
        for (const lv::udp_datagram each : batch) {
          numbered word{};
          EXPECT_EQ(each.bytes.size(), sizeof word);
          std::memcpy(&word, each.bytes.data(), std::min(sizeof word, each.bytes.size()));
          EXPECT_EQ(word.check, check_of(word.number));
          EXPECT_EQ(each.from, both.client.local_address());
          if (word.number >= count) continue;
          EXPECT_FALSE(seen[word.number]) << "it came twice";
          seen[word.number] = true;
          received++;
          room.release();
        }
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), true), count);
      EXPECT_EQ(both.server.dropped(), 0u);
      co_await senders.join();
    }, total);
  }
}

TEST(udp, what_a_full_buffer_drops_is_counted) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    EXPECT_TRUE(both.server.set_receive_buffer(8192));
    const std::string text(1000, 'x');
    // Fewer than the queue of the loopback device holds: only the socket's own buffer can be too small.
    constexpr std::size_t count = 800;
    for (std::size_t i = 0; i < count; i++) EXPECT_TRUE(co_await both.client.send(text));
    lv::udp_receive_batch batch(16);
    std::size_t received = 0;
    const auto receive_some = [](lv::udp_socket& from, lv::udp_receive_batch& into) -> lv::task<std::size_t> {
      const auto got = co_await from.receive(into);
      co_return got.value_or(0);
    };
    for (int round = 0; round < 1000 && received + both.server.dropped().value() < count; round++) {
      received += co_await lv::with_deadline(10ms, receive_some(both.server, batch));
    }
    const std::uint64_t dropped = both.server.dropped().value();
    EXPECT_GT(received, 0u);
    EXPECT_GT(dropped, 0u);
    EXPECT_EQ(received + dropped, count);
  });
}

TEST(udp, a_batch_goes_to_many_receivers_and_skips_what_is_refused) {
  run_tasks(1, []() -> lv::task<> {
    lv::udp_socket from = bound();
    std::vector<lv::udp_socket> receivers;
    for (int i = 0; i < 3; i++) receivers.push_back(bound());
    const std::string large(65'508, 'x');
    lv::udp_send_batch batch(4);
    EXPECT_TRUE(batch.add(bytes_of("first"), receivers[0].local_address()));
    EXPECT_TRUE(batch.add(bytes_of(large), receivers[1].local_address()));
    EXPECT_TRUE(batch.add(bytes_of("last"), receivers[2].local_address()));
    EXPECT_TRUE(batch.add(bytes_of("very last"), receivers[2].local_address()));
    EXPECT_TRUE(batch.is_full());
    EXPECT_FALSE(batch.add(bytes_of("no room")));
    const auto sent = co_await from.send(batch);
    EXPECT_TRUE(!sent && sent.error() == io_failure::too_large);
    EXPECT_EQ(batch.sent(), 1u);
    batch.skip();
    EXPECT_TRUE(co_await from.send(batch));
    EXPECT_EQ(batch.sent(), 4u);
    EXPECT_EQ(co_await receive_text(receivers[0]), "first");
    EXPECT_EQ(co_await receive_text(receivers[2]), "last");
    EXPECT_EQ(co_await receive_text(receivers[2]), "very last");
    EXPECT_EQ(count_left(receivers[1]), 0u);
    batch.clear();
    EXPECT_TRUE(co_await from.send(batch)) << "nothing is sent at once";
  });
}

TEST(udp, a_batch_larger_than_a_system_call_goes_whole) {
  run_tasks(2, []() -> lv::task<> {
    ends both = bounded();
    constexpr std::size_t count = 3000;
    lv::udp_send_batch batch(count);
    for (std::size_t i = 0; i < count; i++) EXPECT_TRUE(batch.add(bytes_of("x")));
    const auto sends = [](lv::udp_socket& to, lv::udp_send_batch& from) -> lv::task<> {
      EXPECT_TRUE(co_await to.send(from));
      EXPECT_EQ(from.sent(), from.size());
    };
    lv::scope senders;
    senders.spawn(sends, std::ref(both.client), std::ref(batch));
    lv::udp_receive_batch incoming(2000, 8);
    std::size_t received = 0;
    while (received < count) received += (co_await both.server.receive(incoming)).value();
    EXPECT_EQ(received, count);
    co_await senders.join();
  });
}

// ---- segments --------------------------------------------------------------------------------------------------------

namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  lv::rng random(11);
  for (char& each : text) each = static_cast<char>(random());
  return text;
}

// Everything that comes, cut into its datagrams.
lv::task<std::vector<std::string>> receive_segments(lv::udp_socket& from, std::size_t bytes) {
  std::vector<std::string> all;
  std::vector<std::byte> room(65'536);
  for (std::size_t total = 0; total < bytes;) {
    const auto got = co_await from.receive_from(room);
    EXPECT_TRUE(got && !got->truncated);
    if (!got) break;
    for (const lv::byte_view each : got->segments()) all.emplace_back(text_of(each));
    total += got->bytes.size();
  }
  co_return all;
}

void expect_cut(const std::vector<std::string>& got, const std::string& sent, std::size_t segment_bytes) {
  EXPECT_EQ(got.size(), (sent.size() + segment_bytes - 1) / segment_bytes);
  std::string together;
  for (std::size_t i = 0; i < got.size(); i++) {
    if (i + 1 < got.size()) {
      EXPECT_EQ(got[i].size(), segment_bytes);
    }
    together += got[i];
  }
  EXPECT_TRUE(together == sent);
}

}  // namespace

TEST(udp, a_buffer_is_sent_as_segments_and_arrives_as_datagrams) {
  run_tasks(2, []() -> lv::task<> {
    for (const bool coalesced : {false, true}) {
      for (const bool refused : {false, true}) {
        ends both = connected();
        lv::udp_socket stranger = bound();
        if (coalesced) {
          EXPECT_TRUE(both.server.set_coalescing(true));
        }
        if (refused) {
          // A socket that sends no checksums cannot have the kernel cut.
          const int on = 1;
          EXPECT_EQ(::setsockopt(both.client.native_endpoint()->fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
        }
        for (const auto& [size, segment] : {std::pair<std::size_t, std::size_t>{10'300, 1000}, {1000, 1000}, {1001, 1000},
                                            {999, 1000}, {60'000, 1400}, {70'000, 8000}, {100, 1}, {65'507, 65'507}}) {
          const std::string text = pattern(size);
          EXPECT_TRUE(co_await both.client.send_segments(bytes_of(text), segment));
          const auto got = co_await lv::with_deadline(5s, receive_segments(both.server, size));
          expect_cut(got, text, segment);
        }
        EXPECT_TRUE(co_await both.client.send_segments({}, 10));
        EXPECT_EQ(count_left(both.server), 0u);
        EXPECT_EQ(both.server.dropped(), 0u);
      }
    }
    lv::udp_socket from = bound();
    lv::udp_socket to = bound();
    EXPECT_TRUE(co_await from.send_segments_to(bytes_of("abcdefg"), 3, to.local_address()));
    for (const char* each : {"abc", "def", "g"}) EXPECT_EQ(co_await receive_text(to), each);
  });
}

TEST(udp, a_receiver_that_asked_for_it_is_given_many_datagrams_at_once) {
  run_tasks(1, []() -> lv::task<> {
    ends both = connected();
    EXPECT_TRUE(both.server.set_coalescing(true));
    const std::string text = pattern(10'300);
    EXPECT_TRUE(co_await both.client.send_segments(bytes_of(text), 1000));
    std::vector<std::byte> room(65'536);
    const auto got = co_await both.server.receive_from(room);
    EXPECT_TRUE(got);
    if (!got) co_return;
    EXPECT_EQ(got->bytes.size(), text.size());
    EXPECT_EQ(got->segment_bytes, 1000u);
    EXPECT_EQ(got->segments().size(), 11u);
    EXPECT_EQ(got->from, both.client.local_address());
    // In a batch as well, where one row serves single datagrams and coalesced ones in turn.
    lv::udp_receive_batch batch(1, 65'536);
    for (int round = 0; round < 3; round++) {
      EXPECT_TRUE(co_await both.client.send("single"));
      EXPECT_EQ(co_await both.server.receive(batch), 1u);
      EXPECT_EQ(batch[0].segments().size(), 1u);
      EXPECT_TRUE(co_await both.client.send_segments(bytes_of(text), 1000));
      EXPECT_EQ(co_await both.server.receive(batch), 1u);
      EXPECT_EQ(batch[0].segments().size(), 11u);
    }
  });
}

TEST(udp, the_segments_of_a_buffer_are_all_of_it_and_no_more) {
  const std::string text = "abcdefgh";
  const auto cut = [&text](std::size_t size, std::size_t segment) {
    std::vector<std::string> all;
    for (const lv::byte_view each : lv::udp_segments(bytes_of(std::string_view(text).substr(0, size)), segment)) {
      all.emplace_back(text_of(each));
    }
    return all;
  };
  EXPECT_EQ(cut(8, 3), (std::vector<std::string>{"abc", "def", "gh"}));
  EXPECT_EQ(cut(6, 3), (std::vector<std::string>{"abc", "def"}));
  EXPECT_EQ(cut(6, 0), (std::vector<std::string>{"abcdef"}));
  EXPECT_EQ(cut(2, 3), (std::vector<std::string>{"ab"}));
  EXPECT_EQ(cut(0, 3), (std::vector<std::string>{""}));
  EXPECT_EQ(cut(0, 0), (std::vector<std::string>{""}));
}

// ---- waiting ---------------------------------------------------------------------------------------------------------

namespace {

struct receiving_room {
  std::byte bytes[64];
  lv::udp_receive_batch batch{4, 64};
};

// The two ways to wait for a datagram: what was received, or how it failed.
lv::task<std::string> receive_either(lv::udp_socket& from, receiving_room& into, bool batched) {
  if (batched) {
    const auto got = co_await from.receive(into.batch);
    if (!got) co_return std::string(to_string(got.error().failure()));
    std::string all;
    for (const lv::udp_datagram each : into.batch) all += text_of(each.bytes);
    co_return all;
  }
  const auto got = co_await from.receive_from(into.bytes);
  co_return got ? std::string(text_of(got->bytes)) : std::string(to_string(got.error().failure()));
}

lv::task<> expect_received(lv::udp_socket& from, receiving_room& into, bool batched, std::string expected) {
  EXPECT_EQ(co_await receive_either(from, into, batched), expected);
}

// The three ways to wait for room to send one datagram.
enum class sending { single, segments, batch };
constexpr sending all_sendings[] = {sending::single, sending::segments, sending::batch};

lv::task<lv::io_result<void>> send_either(lv::udp_socket& to, std::string_view text, sending how) {
  if (how == sending::single) co_return co_await to.send(text);
  if (how == sending::segments) co_return co_await to.send_segments(bytes_of(text), text.size());
  lv::udp_send_batch batch(1);
  EXPECT_TRUE(batch.add(bytes_of(text)));
  const auto sent = co_await to.send(batch);
  EXPECT_EQ(batch.sent(), sent ? 1u : 0u);
  co_return sent;
}

lv::task<> expect_send(lv::udp_socket& to, sending how, io_failure expected) {
  const auto sent = co_await send_either(to, "late", how);
  EXPECT_FALSE(sent);
  if (!sent) {
    EXPECT_EQ(sent.error(), expected);
  }
}

}  // namespace

TEST(udp, a_receive_cancelled_before_while_or_by_a_deadline_takes_nothing) {
  for (const bool batched : {false, true}) {
    run_tasks(1, [](bool in_batches) -> lv::task<> {
      ends both = connected();
      receiving_room room;
      EXPECT_TRUE(co_await both.client.send("kept"));
      lv::scope early;
      early.cancel();
      early.spawn(expect_received, std::ref(both.server), std::ref(room), in_batches, "cancelled");
      co_await early.join();
      EXPECT_EQ(co_await receive_either(both.server, room, in_batches), "kept");
      lv::scope waiting;
      waiting.spawn(expect_received, std::ref(both.server), std::ref(room), in_batches, "cancelled");
      co_await lv::sleep(1ms);
      waiting.cancel();
      co_await waiting.join();
      EXPECT_EQ(co_await lv::with_deadline(1ms, receive_either(both.server, room, in_batches)), "timed out");
      EXPECT_TRUE(co_await both.client.send("again"));
      EXPECT_EQ(co_await receive_either(both.server, room, in_batches), "again");
    }, batched);
  }
}

TEST(udp, cancellation_racing_a_receive_takes_all_or_nothing) {
  for (const bool batched : {false, true}) {
    run_tasks(2, [](bool in_batches) -> lv::task<> {
      ends both = connected();
      receiving_room room;
      const auto receives = [](lv::udp_socket& from, receiving_room& into, bool in_batch, std::string& got) -> lv::task<> {
        got = co_await receive_either(from, into, in_batch);
      };
      for (int i = 0; i < 3000 / slow_build_factor; i++) {
        std::string got;
        lv::scope receiving;
        receiving.spawn(receives, std::ref(both.server), std::ref(room), in_batches, std::ref(got));
        if (i % 2 == 0) co_await lv::yield();
        EXPECT_TRUE(co_await both.client.send("whole"));
        receiving.cancel();
        co_await receiving.join();
        if (got == "cancelled") got = co_await receive_either(both.server, room, in_batches);
        EXPECT_EQ(got, "whole");
      }
    }, batched);
  }
}

TEST(udp, a_send_without_room_waits_and_goes_on_when_there_is) {
  for (const sending how : all_sendings) {
    run_tasks(2, [](sending way) -> lv::task<> {
      ends both = bounded();
      const std::size_t filled = fill(both.client, "filler");
      EXPECT_GT(filled, 0u);
      lv::scope senders;
      const auto sends = [](lv::udp_socket& to, sending one) -> lv::task<> {
        for (int i = 0; i < 1000; i++) {
          const auto sent = co_await send_either(to, std::to_string(i), one);
          EXPECT_TRUE(sent);
        }
      };
      senders.spawn(sends, std::ref(both.client), way);
      for (std::size_t i = 0; i < filled; i++) EXPECT_EQ(co_await receive_text(both.server), "filler");
      for (int i = 0; i < 1000; i++) EXPECT_EQ(co_await receive_text(both.server), std::to_string(i));
      co_await senders.join();
    }, how);
  }
}

TEST(udp, a_send_cancelled_before_while_or_by_a_deadline_sends_nothing) {
  for (const sending how : all_sendings) {
    run_tasks(1, [](sending way) -> lv::task<> {
      ends both = bounded();
      lv::scope early;
      early.cancel();
      early.spawn(expect_send, std::ref(both.client), way, io_failure::cancelled);
      co_await early.join();
      const std::size_t filled = fill(both.client, "filler");
      lv::scope waiting;
      waiting.spawn(expect_send, std::ref(both.client), way, io_failure::cancelled);
      co_await lv::sleep(1ms);
      waiting.cancel();
      co_await waiting.join();
      co_await lv::with_deadline(1ms, expect_send(both.client, way, io_failure::timed_out));
      EXPECT_EQ(count_left(both.server), filled);
      EXPECT_TRUE(co_await send_either(both.client, "again", way));
      EXPECT_EQ(co_await receive_text(both.server), "again");
    }, how);
  }
}

TEST(udp, cancellation_racing_a_send_sends_what_it_says) {
  for (const sending how : all_sendings) {
    run_tasks(2, [](sending way) -> lv::task<> {
      ends both = bounded();
      const auto sends = [](lv::udp_socket& to, sending one, std::size_t& count) -> lv::task<> {
        const auto sent = co_await send_either(to, "raced", one);
        if (sent) {
          count++;
        } else {
          EXPECT_EQ(sent.error(), io_failure::cancelled);
        }
      };
      std::size_t sent = 0;
      std::size_t received = 0;
      for (int i = 0; i < 400 / slow_build_factor + 20; i++) {
        sent += fill(both.client, "filler");
        std::size_t raced = 0;
        lv::scope sending_one;
        sending_one.spawn(sends, std::ref(both.client), way, std::ref(raced));
        if (i % 2 == 0) co_await lv::yield();
        // Room comes back while the cancellation does.
        for (; received + 2 < sent; received++) EXPECT_NE(co_await receive_text(both.server), "");
        sending_one.cancel();
        co_await sending_one.join();
        sent += raced;
      }
      received += count_left(both.server);
      EXPECT_EQ(received, sent);
    }, how);
  }
}

// ---- many ------------------------------------------------------------------------------------------------------------

TEST(udp, side_by_side_any_number_of_tasks_send) {
  run_tasks(4, []() -> lv::task<> {
    lv::udp_socket from = bound();
    lv::udp_socket to = bound();
    const auto sends = [](lv::udp_socket& socket, lv::address at) -> lv::task<> {
      EXPECT_TRUE(socket.try_send_to(bytes_of("one of many"), at));
      co_return;
    };
    lv::scope senders;
    for (int i = 0; i < 64; i++) senders.spawn(sends, std::ref(from), to.local_address());
    co_await senders.join();
    for (int i = 0; i < 64; i++) EXPECT_EQ(co_await receive_text(to), "one of many");
  });
}

TEST(udp, a_hundred_pairs_play_ping_pong_and_nobody_is_forgotten) {
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      const auto serves = [](lv::udp_socket server, int rounds) -> lv::task<> {
        std::byte room[64];
        for (int i = 0; i < rounds; i++) {
          const auto got = co_await server.receive_from(room);
          EXPECT_TRUE(got);
          if (!got) co_return;
          EXPECT_TRUE(co_await server.send_to(got->bytes, got->from));
        }
      };
      const auto plays = [](lv::address to, int pair, int rounds) -> lv::task<> {
        lv::udp_socket client = bound();
        EXPECT_TRUE(client.connect(to));
        for (int i = 0; i < rounds; i++) {
          const std::string text = std::to_string(pair) + ":" + std::to_string(i);
          EXPECT_TRUE(co_await client.send(text));
          EXPECT_EQ(co_await receive_text(client), text);
        }
      };
      const int rounds = 200 / slow_build_factor;
      lv::scope players;
      for (int i = 0; i < 100; i++) {
        lv::udp_socket server = bound();
        const lv::address at = server.local_address();
        players.spawn(serves, std::move(server), rounds);
        players.spawn(plays, at, i, rounds);
      }
      co_await players.join();
    });
  }
}
