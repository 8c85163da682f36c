// Streams and listeners as a service sees them, over every backend and worker count. The bare interface below has its own
// suite (reactor_contract_test.cpp); here the question is whether tasks that wait on it are told the truth, and told at all.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "platform/fault_plan.hpp"
#include "levity/memory/buffer.hpp"
#include "reactor/reactor.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::slow_build_factor;

namespace {

struct setup {
  const char* name;
  lv::runtime_options::sockets backend;
  unsigned workers;
  std::uint64_t seed;
};

constexpr auto epoll = lv::runtime_options::sockets::epoll;
constexpr auto ring = lv::runtime_options::sockets::ring;
constexpr auto sim = lv::runtime_options::sockets::sim;

const setup setups[] = {
    {"epoll_1_worker", epoll, 1, 1}, {"epoll_2_workers", epoll, 2, 1}, {"epoll_4_workers", epoll, 4, 1},
    {"ring_1_worker", ring, 1, 1},   {"ring_2_workers", ring, 2, 1},   {"ring_4_workers", ring, 4, 1},
    {"sim_1", sim, 1, 1},            {"sim_2", sim, 1, 2},             {"sim_42", sim, 1, 42},
    {"sim_20260", sim, 1, 20260},
};

class tcp : public testing::TestWithParam<setup> {
protected:
  template <class F, class... Args>
  int run(F f, Args... args) {
    lv::runtime_options options;
    options.backend = GetParam().backend;
    options.workers = GetParam().workers;
    options.seed = GetParam().seed;
    options.handle_signals = false;
    return lv::run_with(options, std::move(f), std::move(args)...);
  }
};

struct ends {
  lv::tcp_stream client;
  lv::tcp_stream server;
};

lv::tcp_listener listen_anywhere() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  EXPECT_TRUE(listener) << listener.error().message();
  return std::move(*listener);
}

lv::task<ends> connected() {
  lv::tcp_listener listener = listen_anywhere();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  EXPECT_TRUE(std::get<0>(both) && std::get<1>(both));
  co_return ends{std::move(*std::get<0>(both)), std::move(*std::get<1>(both))};
}

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// Everything up to the end, and how it ended.
lv::task<std::pair<std::string, io_failure>> read_to_end(lv::tcp_stream& from) {
  std::string all;
  for (;;) {
    auto got = co_await from.read_some();
    if (!got) co_return std::pair{std::move(all), got.error().failure()};
    all += text_of(*got);
  }
}

lv::task<std::string> read_exactly(lv::tcp_stream& from, std::size_t size) {
  std::string all;
  while (all.size() < size) {
    std::byte chunk[4096];
    auto got = co_await from.read_some(std::span(chunk).first(std::min(sizeof chunk, size - all.size())));
    EXPECT_TRUE(got) << got.error().message();
    if (!got) break;
    all += text_of(std::span(chunk).first(*got));
  }
  co_return all;
}

std::string pattern(std::size_t size, std::uint64_t seed = 1) {
  std::string text(size, '\0');
  lv::rng random(seed);
  for (char& each : text) each = static_cast<char>(random());
  return text;
}

lv::task<> write_in_chunks(lv::tcp_stream& to, const std::string& text, std::uint64_t seed) {
  lv::rng random(seed);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t part = std::min<std::size_t>(text.size() - at, 1 + random.below(100'000));
    const auto sent = co_await to.write_all(std::string_view(text).substr(at, part));
    EXPECT_TRUE(sent) << sent.error().message();
    if (!sent) co_return;
    at += part;
  }
  EXPECT_TRUE(to.shutdown_write());
}

lv::task<> expect_all(lv::tcp_stream& from, const std::string& text) {
  const auto [got, end] = co_await read_to_end(from);
  EXPECT_EQ(got.size(), text.size());
  EXPECT_TRUE(got == text);
  EXPECT_EQ(end, io_failure::eof);
}

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

lv::task<> serve_echo(lv::tcp_listener& listener, lv::scope& connections) {
  while (auto peer = co_await listener.accept()) connections.spawn(echo, std::move(*peer));
}

}  // namespace

// ---- connect and accept ----------------------------------------------------------------------------------------------

TEST_P(tcp, echoes) {
  EXPECT_EQ(run([]() -> lv::task<int> {
    ends both = co_await connected();
    lv::scope servers;
    servers.spawn(echo, std::move(both.server));
    for (int i = 0; i < 100; i++) {
      EXPECT_TRUE(co_await both.client.write_all("ping"));
      EXPECT_EQ(co_await read_exactly(both.client, 4), "ping");
    }
    both.client.close();
    co_await servers.join();
    co_return 7;
  }), 7);
}

TEST_P(tcp, nobody_listening_is_refused) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    const lv::address at = listener.local_address();
    listener.close();
    const auto stream = co_await lv::tcp_stream::connect(at);
    EXPECT_FALSE(stream);
    if (!stream) {
      EXPECT_EQ(stream.error(), io_failure::refused);
    }
  });
}

TEST_P(tcp, a_malformed_and_a_taken_address_are_told_apart) {
  run([]() -> lv::task<> {
    EXPECT_EQ(lv::tcp_listener::bind("nonsense").error(), io_failure::invalid);
    lv::tcp_listener listener = listen_anywhere();
    const auto taken = lv::tcp_listener::bind(listener.local_address());
    EXPECT_EQ(taken.error(), io_failure::address_in_use);
    const std::string said = taken.error().message();
    EXPECT_NE(said.find("listening on " + listener.local_address().to_string() + ": address in use"), std::string::npos) << said;
    co_return;
  });
}

TEST_P(tcp, a_text_that_is_no_address_is_quoted_and_told_what_is_wrong_and_what_to_write) {
  run([]() -> lv::task<> {
    constexpr std::pair<const char*, const char*> wrong[] = {{"127.0.0.1", "the port is missing"},
                                                             {":99999", "a number up to 65535"},
                                                             {"[::1:1", "the bracket is not closed"},
                                                             {"localhost:1", "names need lv::resolve"}};
    for (const auto& [text, why] : wrong) {
      const auto listener = lv::tcp_listener::bind(text);
      const auto stream = co_await lv::tcp_stream::connect(text);
      for (const lv::io_error& each : {listener.error(), stream.error()}) {
        EXPECT_EQ(each, io_failure::invalid);
        const std::string said = each.message();
        EXPECT_NE(said.find(std::string("\"") + text + "\" is no address"), std::string::npos) << said;
        EXPECT_NE(said.find(why), std::string::npos) << said;
        EXPECT_NE(said.find("write 127.0.0.1:7000"), std::string::npos) << said;
      }
    }
    const std::string said = lv::tcp_listener::bind(std::string(1000, 'x') + "\n").error().message();
    EXPECT_TRUE(said.find("xxx...\" is no address") != std::string::npos && said.size() < 250) << said;
  });
}

TEST_P(tcp, connects_by_the_text_of_an_address_which_need_not_outlive_the_call) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    lv::task<lv::io_result<lv::tcp_stream>> connecting = lv::tcp_stream::connect(listener.local_address().to_string());
    auto both = co_await lv::when_all(std::move(connecting), listener.accept());
    EXPECT_TRUE(std::get<0>(both) && std::get<1>(both));
    EXPECT_EQ(std::get<0>(both)->peer_address(), listener.local_address());
  });
}

TEST_P(tcp, a_closed_listener_and_a_closed_stream_say_so) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    listener.close();
    listener.close();
    EXPECT_EQ((co_await listener.accept()).error(), io_failure::closed);
    ends both = co_await connected();
    both.client.close();
    both.client.close();
    EXPECT_FALSE(both.client.is_open());
    EXPECT_EQ((co_await both.client.read_some()).error(), io_failure::closed);
    EXPECT_EQ((co_await both.client.write_all("x")).error(), io_failure::closed);
    EXPECT_EQ(both.client.shutdown_write().error(), io_failure::closed);
  });
}

TEST_P(tcp, a_listener_bound_before_the_runtime_serves_or_says_why_not) {
  lv::tcp_listener listener = listen_anywhere();
  const lv::address at = listener.local_address();
  const bool simulated = GetParam().backend == sim;
  run([](lv::tcp_listener early, lv::address to, bool refused) -> lv::task<> {
    if (refused) {
      const auto peer = co_await early.accept();
      EXPECT_FALSE(peer);
      if (!peer) {
        EXPECT_EQ(peer.error(), io_failure::unsupported);
      }
      co_return;
    }
    auto both = co_await lv::when_all(lv::tcp_stream::connect(to), early.accept());
    EXPECT_TRUE(std::get<0>(both));
    EXPECT_TRUE(std::get<1>(both));
  }, std::move(listener), at, simulated);
}

// ---- four outcomes ---------------------------------------------------------------------------------------------------

TEST_P(tcp, end_of_stream_reset_cancelled_and_timed_out_are_four_outcomes) {
  run([]() -> lv::task<> {
    {
      ends both = co_await connected();
      both.client.close();
      EXPECT_EQ((co_await both.server.read_some()).error(), io_failure::eof);
    }
    {
      ends both = co_await connected();
      both.client.abort();
      EXPECT_EQ((co_await both.server.read_some()).error(), io_failure::reset);
    }
    {
      ends both = co_await connected();
      const auto reads = [](lv::tcp_stream& from) -> lv::task<> {
        EXPECT_EQ((co_await from.read_some()).error(), io_failure::cancelled);
      };
      lv::scope readers;
      readers.spawn(reads, std::ref(both.server));
      co_await lv::sleep(1ms);
      readers.cancel();
      co_await readers.join();
    }
    {
      ends both = co_await connected();
      const auto [text, end] = co_await lv::with_deadline(2ms, read_to_end(both.server));
      EXPECT_EQ(end, io_failure::timed_out);
    }
  });
}

TEST_P(tcp, a_reader_beside_a_writer_that_met_the_reset_is_told_of_it) {
  run([]() -> lv::task<> {
    for (int round = 0; round < 20; round++) {
      ends both = co_await connected();
      both.client.abort();
      for (;;) {
        const auto sent = co_await both.server.write_all("x");
        if (sent) continue;
        EXPECT_EQ(sent.error(), io_failure::reset);
        break;
      }
      EXPECT_EQ((co_await both.server.read_some()).error(), io_failure::reset);
    }
  });
}

TEST_P(tcp, half_close_works_both_ways) {
  run([]() -> lv::task<> {
    for (const bool client_first : {true, false}) {
      ends both = co_await connected();
      lv::tcp_stream& first = client_first ? both.client : both.server;
      lv::tcp_stream& second = client_first ? both.server : both.client;
      EXPECT_TRUE(co_await first.write_all("question"));
      EXPECT_TRUE(first.shutdown_write());
      const auto question = co_await read_to_end(second);
      EXPECT_EQ(question.first, "question");
      EXPECT_EQ(question.second, io_failure::eof);
      EXPECT_TRUE(co_await second.write_all("answer"));
      EXPECT_TRUE(second.shutdown_write());
      const auto answer = co_await read_to_end(first);
      EXPECT_EQ(answer.first, "answer");
      EXPECT_EQ(answer.second, io_failure::eof);
    }
  });
}

TEST_P(tcp, writing_to_a_peer_that_is_gone_fails_with_reset) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    both.server.close();
    for (;;) {
      const auto sent = co_await both.client.write_all("anybody there?");
      if (sent) {
        co_await lv::sleep(100us);
        continue;
      }
      EXPECT_EQ(sent.error(), io_failure::reset);
      break;
    }
  });
}

// ---- bytes -----------------------------------------------------------------------------------------------------------

TEST_P(tcp, ten_million_bytes_go_both_ways_at_once) {
  const std::size_t size = 10'000'000 / static_cast<std::size_t>(slow_build_factor);
  run([](std::size_t bytes) -> lv::task<> {
    ends both = co_await connected();
    const std::string there = pattern(bytes, 1);
    const std::string back = pattern(bytes + 1, 2);
    lv::scope tasks;
    tasks.spawn(write_in_chunks, std::ref(both.client), std::cref(there), 3);
    tasks.spawn(write_in_chunks, std::ref(both.server), std::cref(back), 4);
    tasks.spawn(expect_all, std::ref(both.server), std::cref(there));
    tasks.spawn(expect_all, std::ref(both.client), std::cref(back));
    co_await tasks.join();
  }, size);
}

TEST_P(tcp, many_pieces_are_written_whole_through_a_small_window) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    EXPECT_TRUE(both.client.set_send_buffer(2048));
    EXPECT_TRUE(both.server.set_receive_buffer(16384));
    const std::string text = pattern(300'000);
    std::vector<iovec> pieces;
    lv::rng random(5);
    for (std::size_t at = 0; at < text.size();) {
      // Empty pieces too, and more pieces than one system call takes.
      const std::size_t part = random.below(8) == 0 ? 0 : std::min<std::size_t>(text.size() - at, random.below(3000));
      pieces.push_back({const_cast<char*>(text.data()) + at, part});
      at += part;
    }
    lv::scope readers;
    readers.spawn(expect_all, std::ref(both.server), std::cref(text));
    EXPECT_TRUE(co_await both.client.write_all(std::span<iovec>(pieces)));
    for (const iovec& each : pieces) EXPECT_EQ(each.iov_len, 0u);
    EXPECT_TRUE(both.client.shutdown_write());
    co_await readers.join();
  });
}

TEST_P(tcp, writing_nothing_is_done_at_once_also_behind_a_write_that_timed_out) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    EXPECT_TRUE(co_await both.client.write_all(""));
    EXPECT_TRUE(co_await both.client.write_all(std::span<iovec>{}));
    const std::string much(20'000'000, 'x');
    const auto writes = [](lv::tcp_stream& to, std::string_view text) -> lv::task<lv::io_result<void>> {
      co_return co_await to.write_all(text);
    };
    const auto sent = co_await lv::with_deadline(5ms, writes(both.client, much));
    EXPECT_FALSE(sent);
    if (!sent) {
      EXPECT_EQ(sent.error(), io_failure::timed_out);
    }
    const auto nothing = co_await lv::with_deadline(50ms, writes(both.client, ""));
    EXPECT_TRUE(nothing) << nothing.error().message();
  });
}

TEST_P(tcp, the_reader_and_the_writer_of_one_stream_may_be_two_tasks) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    const std::string text = pattern(200'000);
    lv::scope tasks;
    tasks.spawn(echo, std::move(both.server));
    tasks.spawn(write_in_chunks, std::ref(both.client), std::cref(text), 9);
    tasks.spawn(expect_all, std::ref(both.client), std::cref(text));
    co_await tasks.join();
  });
}

// ---- the view --------------------------------------------------------------------------------------------------------

TEST_P(tcp, a_view_is_valid_until_the_next_read) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    EXPECT_TRUE(co_await both.client.write_all("abc"));
    auto view = co_await both.server.read_some();
    EXPECT_TRUE(co_await both.server.write_all(*view));
    co_await lv::sleep(1ms);
    EXPECT_EQ(text_of(*view), std::string_view("abc").substr(0, view->size()));
    const lv::tcp_stream moved = std::move(both.server);
    EXPECT_FALSE(both.server.is_open());
  });
}

#if defined(LEVITY_ASAN) || !defined(__OPTIMIZE__)
namespace {

lv::task<> looks_at_a_stale_view() {
  ends both = co_await connected();
  EXPECT_TRUE(co_await both.client.write_all("secret"));
  auto first = co_await both.server.read_some();
  const lv::byte_view stale = *first;
  const auto waits = [](lv::tcp_stream& from) -> lv::task<> { (void)co_await from.read_some(); };
  co_await lv::with_deadline(1ms, waits(both.server));  // waiting gives the buffer back
  if (stale[0] != std::byte{'s'}) {
    std::fprintf(stderr, "the view is overwritten\n");
    std::abort();
  }
}

}  // namespace

TEST_P(tcp, a_view_that_is_kept_too_long_is_noticed) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
#if defined(LEVITY_ASAN)
  EXPECT_DEATH(run(looks_at_a_stale_view), "AddressSanitizer|the view is overwritten");
#else
  EXPECT_DEATH(run(looks_at_a_stale_view), "the view is overwritten");
#endif
}
#endif

// ---- cancellation and deadlines --------------------------------------------------------------------------------------

TEST_P(tcp, a_read_that_timed_out_loses_nothing) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    const int bytes = 400 / slow_build_factor + 20;
    const auto drips = [](lv::tcp_stream& to, int count) -> lv::task<> {
      lv::rng random(3);
      for (int i = 0; i < count; i++) {
        const char byte = static_cast<char>('a' + i % 26);
        EXPECT_TRUE(co_await to.write_all(std::string_view(&byte, 1)));
        co_await lv::sleep(std::chrono::microseconds(random.below(300)));
      }
      EXPECT_TRUE(to.shutdown_write());
    };
    const auto reads = [](lv::tcp_stream& from, std::string& all) -> lv::task<io_failure> {
      for (;;) {
        auto got = co_await from.read_some();
        if (!got) co_return got.error().failure();
        all += text_of(*got);
      }
    };
    lv::scope writers;
    writers.spawn(drips, std::ref(both.client), bytes);
    std::string all;
    int timeouts = 0;
    for (;;) {
      const io_failure end = co_await lv::with_deadline(100us, reads(both.server, all));
      if (end == io_failure::eof) break;
      EXPECT_EQ(end, io_failure::timed_out);
      if (end != io_failure::timed_out) break;
      timeouts++;
    }
    co_await writers.join();
    EXPECT_EQ(all.size(), static_cast<std::size_t>(bytes));
    for (std::size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i], static_cast<char>('a' + i % 26));
    EXPECT_GT(timeouts, 0);
  });
}

TEST_P(tcp, an_accept_that_timed_out_or_was_cancelled_loses_no_connection) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    EXPECT_EQ((co_await lv::with_deadline(1ms, listener.accept())).error(), io_failure::timed_out);
    const auto accepts = [](lv::tcp_listener& from) -> lv::task<> {
      EXPECT_EQ((co_await from.accept()).error(), io_failure::cancelled);
    };
    lv::scope acceptors;
    acceptors.spawn(accepts, std::ref(listener));
    co_await lv::sleep(1ms);
    acceptors.cancel();
    co_await acceptors.join();
    lv::scope clients;
    const auto connects = [](lv::address to) -> lv::task<> {
      const auto stream = co_await lv::tcp_stream::connect(to);
      EXPECT_TRUE(stream);
    };
    constexpr int count = 30;
    for (int i = 0; i < count; i++) clients.spawn(connects, listener.local_address());
    int accepted = 0;
    while (accepted < count) {
      const auto peer = co_await lv::with_deadline(200us, listener.accept());
      if (peer) {
        accepted++;
      } else {
        EXPECT_EQ(peer.error(), io_failure::timed_out);
      }
    }
    co_await clients.join();
  });
}

TEST_P(tcp, a_write_ends_by_deadline_and_by_cancellation) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    const auto floods = [](lv::tcp_stream& to, io_failure expected) -> lv::task<> {
      const std::string block(1 << 20, 'x');
      for (;;) {
        const auto sent = co_await to.write_all(block);
        if (sent) continue;
        EXPECT_EQ(sent.error(), expected);
        co_return;
      }
    };
    co_await lv::with_deadline(20ms, floods(both.client, io_failure::timed_out));
    lv::scope writers;
    writers.spawn(floods, std::ref(both.client), io_failure::cancelled);
    co_await lv::sleep(1ms);
    writers.cancel();
    co_await writers.join();
  });
}

TEST_P(tcp, an_operation_in_a_cancelled_task_ends_before_it_begins) {
  run([]() -> lv::task<> {
    ends both = co_await connected();
    lv::tcp_listener listener = listen_anywhere();
    EXPECT_TRUE(co_await both.client.write_all("there is something to read"));
    const auto tries = [](ends& pair, lv::tcp_listener& from) -> lv::task<> {
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled&) {
      }
      EXPECT_EQ((co_await pair.server.read_some()).error(), io_failure::cancelled);
      EXPECT_EQ((co_await pair.server.write_all("x")).error(), io_failure::cancelled);
      EXPECT_EQ((co_await from.accept()).error(), io_failure::cancelled);
    };
    lv::scope tasks;
    tasks.spawn(tries, std::ref(both), std::ref(listener));
    co_await lv::sleep(1ms);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(co_await read_exactly(both.server, 26), "there is something to read");
  });
}

TEST_P(tcp, a_connect_ends_by_cancellation) {
  run([]() -> lv::task<> {
    // Nobody accepts, so the queue fills; then connecting waits, or is refused in a simulated network.
    auto listener = lv::tcp_listener::bind("127.0.0.1:0", {.backlog = 1});
    EXPECT_TRUE(listener);
    std::vector<lv::tcp_stream> open;
    for (int i = 0; i < 20; i++) {
      auto stream = co_await lv::with_deadline(20ms, lv::tcp_stream::connect(listener->local_address()));
      if (stream) {
        open.push_back(std::move(*stream));
        continue;
      }
      EXPECT_TRUE(stream.error() == io_failure::timed_out || stream.error() == io_failure::refused);
      break;
    }
    EXPECT_LT(open.size(), 20u);
  });
}

// ---- many ------------------------------------------------------------------------------------------------------------

namespace {

lv::task<> random_client(lv::address to, std::uint64_t seed, int rounds, lv::atomic<int>& done) {
  lv::rng random(seed);
  auto stream = co_await lv::tcp_stream::connect(to);
  EXPECT_TRUE(stream) << stream.error().message();
  if (!stream) co_return;
  for (int i = 0; i < rounds; i++) {
    const std::string text = pattern(1 + random.below(2000), random());
    EXPECT_TRUE(co_await stream->write_all(text));
    EXPECT_TRUE(co_await read_exactly(*stream, text.size()) == text);
    if (random.below(4) == 0) co_await lv::sleep(std::chrono::microseconds(random.below(500)));
  }
  if (random.below(4) == 0) stream->abort();
  done.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

TEST_P(tcp, five_hundred_connections_with_random_traffic_all_get_their_bytes) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    lv::atomic<int> done{0};
    constexpr int count = 500;
    lv::scope acceptors;
    lv::scope connections;
    lv::scope clients;
    acceptors.spawn(serve_echo, std::ref(listener), std::ref(connections));
    for (int i = 0; i < count; i++) {
      clients.spawn(random_client, listener.local_address(), static_cast<std::uint64_t>(i), slow_build_factor > 1 ? 2 : 8,
                    std::ref(done));
    }
    co_await clients.join();
    EXPECT_EQ(done.load(std::memory_order_relaxed), count);
    acceptors.cancel();
    co_await acceptors.join();
    co_await connections.join();
  });
}

TEST_P(tcp, connections_that_come_and_go_are_never_mixed_up) {
  run([]() -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    lv::scope acceptors;
    lv::scope connections;
    acceptors.spawn(serve_echo, std::ref(listener), std::ref(connections));
    const auto churns = [](lv::address to, std::uint64_t seed, int rounds) -> lv::task<> {
      lv::rng random(seed);
      for (int i = 0; i < rounds; i++) {
        auto stream = co_await lv::tcp_stream::connect(to);
        EXPECT_TRUE(stream) << stream.error().message();
        if (!stream) co_return;
        const std::string mine = std::to_string(seed) + ":" + std::to_string(i);
        EXPECT_TRUE(co_await stream->write_all(mine));
        if (random.below(3) == 0) {
          stream->abort();  // with the echo on its way
          continue;
        }
        EXPECT_EQ(co_await read_exactly(*stream, mine.size()), mine);
        if (random.below(3) == 0) {
          EXPECT_TRUE(co_await stream->write_all("unread"));
        }
      }
    };
    lv::scope clients;
    for (std::uint64_t i = 0; i < 16; i++) clients.spawn(churns, listener.local_address(), i, 200 / slow_build_factor);
    co_await clients.join();
    acceptors.cancel();
    co_await acceptors.join();
    co_await connections.join();
  });
}

TEST_P(tcp, events_for_nothing_are_harmless) {
  run([]() -> lv::task<> {
    lv::detail::reactor& home = lv::detail::current_run().exec->home_reactor();
    const auto listener = home.listen({lv::address::loopback(0), 8, false});
    EXPECT_TRUE(listener);
    lv::tcp_stream client{**home.start_connect(home.local_address(**listener))};
    lv::detail::endpoint* raw = nullptr;
    while (raw == nullptr) {
      if (const auto got = home.try_accept(**listener, home)) raw = *got;
      co_await lv::sleep(100us);
    }
    home.close(**listener, false);
    lv::tcp_stream server{*raw};
    const auto pokes = [](lv::detail::endpoint& socket) -> lv::task<> {
      for (int i = 0; i < 100; i++) {
        if (lv::detail::task_record* reader = socket.reading.event()) lv::detail::wake(*reader);
        if (lv::detail::task_record* writer = socket.writing.event()) lv::detail::wake(*writer);
        co_await lv::yield();
      }
    };
    const auto reads = [](lv::tcp_stream& from) -> lv::task<> {
      for (int i = 0; i < 20; i++) EXPECT_EQ((co_await read_exactly(from, 5)), "hello");
    };
    lv::scope tasks;
    tasks.spawn(reads, std::ref(server));
    for (int i = 0; i < 20; i++) {
      co_await lv::sleep(100us);
      lv::scope pokers;
      pokers.spawn(pokes, std::ref(*raw));
      co_await pokers.join();
      EXPECT_TRUE(co_await client.write_all("hello"));
    }
    co_await tasks.join();
  });
}

// ---- urgent data -----------------------------------------------------------------------------------------------------

namespace {

// A client that is no task's.
void connect_plainly(int client, const lv::tcp_listener& listener) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(listener.local_address().port());
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
}

// A read stops before urgent data, with less than was asked for and more behind it.
lv::task<> reads_around_urgent_data() {
  lv::tcp_listener listener = listen_anywhere();
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  connect_plainly(client, listener);
  auto server = (co_await listener.accept()).value();
  EXPECT_EQ(::send(client, "abc", 3, MSG_NOSIGNAL), 3);
  EXPECT_EQ(::send(client, "X", 1, MSG_NOSIGNAL | MSG_OOB), 1);
  EXPECT_EQ(::send(client, "def", 3, MSG_NOSIGNAL), 3);
  EXPECT_EQ(co_await read_exactly(server, 6), "abcdef");
  ::close(client);
}

}  // namespace

TEST_P(tcp, what_follows_urgent_data_is_read) {
  if (GetParam().backend == sim) GTEST_SKIP() << "a simulated network has no urgent data";
  run(reads_around_urgent_data);
}

// ---- running out of descriptors --------------------------------------------------------------------------------------

namespace {

lv::task<> accepts_when_descriptors_are_back() {
  lv::tcp_listener warmed = listen_anywhere();
  auto warm = co_await lv::when_all(lv::tcp_stream::connect(warmed.local_address()), warmed.accept());
  EXPECT_TRUE(std::get<1>(warm));
  // A fresh one: an accept that the kernel holds already keeps to the limit of when it began.
  lv::tcp_listener listener = listen_anywhere();
  // Its descriptor is taken before they are out; it connects after, for a listener may accept ahead of its tasks.
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int next = ::dup(0);
  ::close(next);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  connect_plainly(client, listener);
  const auto accepts = [](lv::tcp_listener& from, lv::tcp_stream& to, lv::atomic<bool>& done) -> lv::task<> {
    auto peer = co_await from.accept();
    EXPECT_TRUE(peer) << peer.error().message();
    if (peer) to = std::move(*peer);
    done.store(true, std::memory_order_relaxed);
  };
  lv::tcp_stream server;
  lv::atomic<bool> done{false};
  lv::scope acceptors;
  acceptors.spawn(accepts, std::ref(listener), std::ref(server), std::ref(done));
  co_await lv::sleep(25ms);
  EXPECT_FALSE(done.load(std::memory_order_relaxed)) << "there was no descriptor for it";
  ::setrlimit(RLIMIT_NOFILE, &before);
  co_await acceptors.join();
  EXPECT_EQ(::send(client, "hello", 5, MSG_NOSIGNAL), 5);
  EXPECT_EQ(co_await read_exactly(server, 5), "hello");
  ::close(client);
}

}  // namespace

TEST_P(tcp, accept_waits_while_descriptors_are_out_and_goes_on_when_they_are_back) {
  if (GetParam().backend == sim) GTEST_SKIP() << "a simulated network needs no descriptors";
  run(accepts_when_descriptors_are_back);
}

INSTANTIATE_TEST_SUITE_P(backends, tcp, testing::ValuesIn(setups),
                         [](const auto& row) { return std::string(row.param.name); });

namespace {

// Messages as long as a read may be, each acknowledged by a byte.
lv::task<> acknowledge(lv::tcp_stream peer, int messages) {
  constexpr std::size_t size = 16 * 1024;
  for (int i = 0; i < messages; i++) {
    for (std::size_t got = 0; got < size;) {
      const auto chunk = co_await peer.read_some();
      EXPECT_TRUE(chunk) << i;
      if (!chunk) co_return;
      got += chunk->size();
    }
    const auto told = co_await peer.write_all("y");
    EXPECT_TRUE(told);
  }
  const auto end = co_await peer.read_some();
  EXPECT_TRUE(!end && end.error() == io_failure::eof);
}

lv::task<> ask_in_turn(int messages) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  lv::scope tasks;
  tasks.spawn(acknowledge, std::move(*std::get<1>(both)), messages);
  auto client = std::move(*std::get<0>(both));
  const std::string message(16 * 1024, 'm');
  for (int i = 0; i < messages; i++) {
    const auto sent = co_await client.write_all(message);
    EXPECT_TRUE(sent);
    std::byte yes[1];
    const auto got = co_await client.read_some(yes);
    EXPECT_TRUE(got) << i;
  }
  client.close();
  co_await tasks.join();
}

}  // namespace

TEST(tcp_epoll, messages_as_long_as_a_buffer_are_read_without_an_attempt_in_vain_for_each) {
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  using lv::detail::fault_plan;
  // Rules that look at every call and strike none, in effect.
  ASSERT_FALSE(fault_plan::install("eintr@read=1000000000,eintr@recv=1000000000"));
  lv::runtime_options options;
  options.backend = epoll;
  options.workers = 1;
  options.handle_signals = false;
  constexpr std::uint64_t messages = 200;
  lv::run_with(options, ask_in_turn, static_cast<int>(messages));
  const auto tallies = fault_plan::tallies();
  fault_plan::remove();
  // One for each message and one for each acknowledgement, and a few until the socket tells what is left.
  EXPECT_LT(tallies[0].seen + tallies[1].seen, 2 * messages + 50);
}
