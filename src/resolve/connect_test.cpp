// Happy Eyeballs on this machine: a family that refuses, one that never answers, names that come late.

#include <levity/levity.hpp>
#include <levity/resolve/connect.hpp>

#include "resolve/test_support.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::name_server;
using levity::test::run_tasks;
using levity::test::slow_build_factor;
using manner = name_server::manner;

namespace {

bool has_v6() { return lv::tcp_listener::bind("[::1]:0").has_value(); }

// A listener that lets nobody in: its queue is full, so the kernel drops what comes.
class black_hole {
public:
  explicit black_hole(bool v6, std::uint16_t port = 0) {
    fds_.push_back(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage at{};
    socklen_t size = sizeof at;
    if (v6) {
      auto& own = reinterpret_cast<sockaddr_in6&>(at);
      own.sin6_family = AF_INET6;
      own.sin6_addr = in6addr_loopback;
      own.sin6_port = htons(port);
      size = sizeof own;
    } else {
      auto& own = reinterpret_cast<sockaddr_in&>(at);
      own.sin_family = AF_INET;
      own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      own.sin_port = htons(port);
      size = sizeof own;
    }
    EXPECT_EQ(::bind(fds_[0], reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fds_[0], 0), 0);
    EXPECT_EQ(::getsockname(fds_[0], reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(v6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port : reinterpret_cast<sockaddr_in&>(at).sin_port);
    for (bool full = false; !full && fds_.size() < 16;) {
      fds_.push_back(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(fds_.back(), reinterpret_cast<sockaddr*>(&at), size);
      pollfd on{fds_.back(), POLLOUT, 0};
      full = ::poll(&on, 1, 100) == 0;
    }
  }
  ~black_hole() {
    for (const int fd : fds_) ::close(fd);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

private:
  std::vector<int> fds_;
  std::uint16_t port_;
};

std::string outcome(const lv::connect_result& result) {
  return result ? result->peer_address().to_string() : std::string(to_string(result.error().failure()));
}

lv::address at(const std::string& text) { return lv::address::parse(text).value(); }

std::vector<lv::address> loopbacks(std::uint16_t port) {
  return {at("127.0.0.1:" + std::to_string(port)), at("[::1]:" + std::to_string(port))};
}

}  // namespace

TEST(connect, works_in_a_simulated_run_with_numbers) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, []() -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const std::string port = std::to_string(listener.local_address().port());
    auto both = co_await lv::when_all(lv::connect("127.0.0.1", port), listener.accept());
    EXPECT_EQ(outcome(std::get<0>(both)), "127.0.0.1:" + port);
    const auto refused = co_await lv::connect("127.0.0.1", "9");
    EXPECT_EQ(outcome(refused), "connection refused");
  });
}

TEST(connect, a_family_that_refuses_is_followed_by_the_other_at_once) {
  if (!has_v6()) GTEST_SKIP() << "no IPv6 on the loopback";
  run_tasks(1, []() -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const std::uint16_t port = listener.local_address().port();
    // With an hour between attempts only the failure can have started the second.
    auto both = co_await lv::when_all(
        lv::connect_any(loopbacks(port), {.attempt_delay = 1h}),
        listener.accept());
    EXPECT_EQ(outcome(std::get<0>(both)), "127.0.0.1:" + std::to_string(port));
  });
}

TEST(connect, a_black_hole_is_overtaken_after_the_delay) {
  if (!has_v6()) GTEST_SKIP() << "no IPv6 on the loopback";
  run_tasks(1, []() -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const std::uint16_t port = listener.local_address().port();
    black_hole hole{true, port};
    const auto start = lv::clock::now();
    auto both = co_await lv::when_all(
        lv::connect_any(loopbacks(port)), listener.accept());
    EXPECT_EQ(outcome(std::get<0>(both)), "127.0.0.1:" + std::to_string(port));
    EXPECT_GE(lv::clock::now() - start, 250ms);  // not before its time
  });
}

TEST(connect, of_two_that_answer_the_second_is_closed) {
  if (!has_v6()) GTEST_SKIP() << "no IPv6 on the loopback";
  run_tasks(1, []() -> lv::task<> {
    for (int i = 0; i < 20; i++) {
      auto v6 = lv::tcp_listener::bind("[::1]:0").value();
      auto v4 = lv::tcp_listener::bind("127.0.0.1:" + std::to_string(v6.local_address().port()));
      if (!v4) continue;  // taken by another
      const auto answered = co_await lv::connect_any(loopbacks(v6.local_address().port()), {.attempt_delay = 0s});
      EXPECT_TRUE(answered);
      if (!answered) co_return;
      lv::tcp_listener& other = answered->peer_address().is_v6() ? *v4 : v6;
      const auto met = [](lv::tcp_listener* at) -> lv::task<> {
        auto lost = co_await at->accept();
        if (!lost) co_return;  // its attempt never came so far
        const auto end = co_await lost->read_some();
        EXPECT_TRUE(!end && (end.error() == io_failure::eof || end.error() == io_failure::reset));
      };
      co_await lv::with_deadline(100ms, met(&other));
    }
  });
}

TEST(connect, families_take_turns_and_every_failure_is_told) {
  if (!has_v6()) GTEST_SKIP() << "no IPv6 on the loopback";
  run_tasks(1, []() -> lv::task<> {
    std::string port;
    {
      auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
      port = std::to_string(listener.local_address().port());
    }
    // Named: g++ 12 refuses such a list inside a co_await.
    std::vector<lv::address> all{at("127.0.0.1:" + port), at("127.0.0.2:" + port), at("[::1]:" + port), at("127.0.0.3:" + port)};
    const auto result = co_await lv::connect_any(std::move(all));
    EXPECT_EQ(outcome(result), "connection refused");
    if (result) co_return;
    std::string order;
    for (const auto& each : result.error().attempts()) order += each.to.to_string() + " ";
    EXPECT_EQ(order, "[::1]:" + port + " 127.0.0.1:" + port + " 127.0.0.2:" + port + " 127.0.0.3:" + port + " ");
    EXPECT_NE(result.error().message().find("127.0.0.3:" + port + " connection refused"), std::string::npos)
        << result.error().message();
    const lv::io_error plain = result.error();
    EXPECT_EQ(plain, io_failure::refused);
  });
}

TEST(connect, nothing_to_connect_to_is_not_found) {
  run_tasks(1, []() -> lv::task<> { EXPECT_EQ(outcome(co_await lv::connect_any({})), "not found"); });
}

TEST(connect, cancelled_and_timed_out_in_a_black_hole_are_told_apart) {
  run_tasks(1, []() -> lv::task<> {
    black_hole hole{false};
    const std::string port = std::to_string(hole.port());
    const auto late = co_await lv::with_deadline(2ms, lv::connect_any(std::vector(1, at("127.0.0.1:" + port))));
    EXPECT_EQ(outcome(late), "timed out");
    const auto wait = [](std::string to) -> lv::task<> {
      EXPECT_EQ(outcome(co_await lv::connect("127.0.0.1", to)), "cancelled");
    };
    lv::scope waiting;
    waiting.spawn(wait, port);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    lv::scope early;
    early.cancel();
    early.spawn(wait, port);
    co_await early.join();
  });
}

TEST(connect, an_ipv4_answer_does_not_wait_for_ever_for_the_other) {
  name_server server({{"half.test", {{"127.0.0.1"}, {}, manner::answers, manner::silent}}});
  run_tasks(1, [](std::string from) -> lv::task<> {
    lv::resolver names{{.servers = {from}, .timeout = 30s, .tries = 1, .hosts_file = false}};
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const std::string port = std::to_string(listener.local_address().port());
    auto both = co_await lv::when_all(lv::connect("half.test", port, {.names = &names}), listener.accept());
    EXPECT_EQ(outcome(std::get<0>(both)), "127.0.0.1:" + port);
  }, server.at());
}

TEST(connect, an_ipv6_answer_that_comes_a_little_later_is_tried_first) {
  if (!has_v6()) GTEST_SKIP() << "no IPv6 on the loopback";
  name_server server({{"both.test", {{"127.0.0.1"}, {"::1"}, manner::answers, manner::held}}});
  run_tasks(1, [](name_server* from) -> lv::task<> {
    lv::resolver names{{.servers = {from->at()}, .timeout = 30s, .tries = 1, .hosts_file = false}};
    auto listener = lv::tcp_listener::bind("[::1]:0").value();
    const std::string port = std::to_string(listener.local_address().port());
    const auto connects = [](lv::resolver* by, std::string to) -> lv::task<> {
      const auto result = co_await lv::connect("both.test", to, {.resolution_delay = 1h, .names = by});
      EXPECT_EQ(outcome(result), "[::1]:" + to);
    };
    lv::scope client;
    client.spawn(connects, &names, port);
    while (from->queries() < 2) co_await lv::sleep(1ms);
    from->release();
    EXPECT_TRUE(co_await listener.accept());
    co_await client.join();
  }, &server);
}

TEST(connect, a_failed_look_up_is_the_outcome_when_there_is_no_address) {
  name_server server({{"broken.test", {{}, {}, manner::fails, manner::answers}}});
  run_tasks(1, [](std::string from) -> lv::task<> {
    lv::resolver names{{.servers = {from}, .timeout = 5s, .tries = 1, .hosts_file = false}};
    EXPECT_EQ(outcome(co_await lv::connect("gone.test", "80", {.names = &names})), "not found");
    const auto broken = co_await lv::connect("broken.test", "80", {.names = &names});
    EXPECT_EQ(outcome(broken), "temporarily unavailable");
    if (!broken) {
      EXPECT_NE(broken.error().message().find("broken.test:80"), std::string::npos) << broken.error().message();
    }
  }, server.at());
}
