// Goal: the figures mean what they say. A stall of the server is visible in the corrected latency although hardly any request
// saw it; a generator that is late says so; every way in which a peer can fail is counted by its name, once.
// Method: a server of a few lines in a thread of the test, one connection after the other or all at once, that misbehaves on
// demand.
#include "load/engine.hpp"

#include "common/test_server.hpp"
#include "load/http_workload.hpp"
#include "load/report.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace levity::load;

using levity::tools::action;
using levity::tools::test_server;

namespace {

constexpr std::string_view hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

void say(int fd, std::string_view bytes) { EXPECT_GE(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0); }

action say_hello(int fd, std::string_view) {
  say(fd, hello);
  return action::keep;
}

engine_options options_for(const test_server& server, const char* scheme = "http") {
  engine_options options;
  options.where = *parse_target(server.url(scheme));
  EXPECT_TRUE(resolve(options.where).has_value());
  options.rate = 500;
  options.duration_ns = 400'000'000;
  options.timeout_ns = 2'000'000'000;
  options.connections = 4;
  return options;
}

std::expected<tally, std::string> drive(const engine_options& options, const std::string& body = "") {
  return run_load(options, [&](std::size_t) -> std::unique_ptr<workload> {
    if (options.where.kind == protocol::echo) return nullptr;
    return std::make_unique<http_workload>(*build_request(options.where, body.empty() ? "GET" : "POST", {}, body), false);
  });
}

std::uint64_t ended(const tally& run, failure why) { return run.ended[static_cast<std::size_t>(why)]; }

void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

TEST(engine, every_planned_request_is_answered_once) {
  test_server server(say_hello);
  const auto options = options_for(server);
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->planned, 200U);
  EXPECT_EQ(run->good(), 200U);
  EXPECT_EQ(run->failed(), 0U);
  EXPECT_EQ(run->status_classes[2], 200U);
  EXPECT_EQ(run->connects, 4U);
  EXPECT_EQ(run->bytes_received, 200 * hello.size());
  EXPECT_EQ(run->corrected_ns.count(), 200U);
  EXPECT_EQ(run->service_ns.count(), 200U);
  EXPECT_EQ(run->lag_ns.count(), 200U);
  EXPECT_GE(run->seconds(), 0.4);
}

TEST(engine, threads_share_the_schedule_and_the_connections) {
  test_server server(say_hello);
  auto options = options_for(server);
  options.threads = 3;
  options.connections = 5;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 200U);
  EXPECT_EQ(run->connects, 5U);
}

// The coordinated omission test: one stall of 300 ms on the only connection. One request in 500 meets it, so that the service
// latency hides it; 30% of the requests were due while it lasted, and the corrected latency must say so.
TEST(engine, corrected_latency_shows_a_stall_that_service_latency_hides) {
  int answered = 0;
  test_server server([&answered](int fd, std::string_view) {
    if (++answered == 100) pause_ms(300);
    say(fd, hello);
    return action::keep;
  });
  auto options = options_for(server);
  options.connections = 1;
  options.duration_ns = 1'000'000'000;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 500U);
  const auto stalled = [](const levity::histogram& latency) {
    return latency.count() - latency.count_at_or_below(100'000'000);
  };
  EXPECT_LE(stalled(run->service_ns), 3U);
  EXPECT_GE(stalled(run->corrected_ns), 90U);  // due in the first 200 of the 300 ms: 100 requests
  EXPECT_GE(run->corrected_ns.value_at(0.9), 100'000'000U);
  EXPECT_GE(run->queue_max, 100U);
}

TEST(engine, closed_loop_hides_the_same_stall) {
  int answered = 0;
  test_server server([&answered](int fd, std::string_view) {
    if (++answered == 100) pause_ms(300);
    say(fd, hello);
    return action::keep;
  });
  auto options = options_for(server);
  options.connections = 1;
  options.closed = true;
  options.duration_ns = 500'000'000;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  ASSERT_GT(run->good(), 100U);
  EXPECT_EQ(run->corrected_ns.count(), run->good());
  EXPECT_LE(run->corrected_ns.count() - run->corrected_ns.count_at_or_below(200'000'000), 1U);
  EXPECT_EQ(invalid_because(*run, 1, true), std::nullopt);
}

namespace {

class slow_workload final : public workload {
public:
  explicit slow_workload(std::string request) : request_(std::move(request)) {}
  bool next(request_id, request_out& out) override {
    pause_ms(12);  // of a generator that may send every 2 ms; long beside the wait for the last answer on a busy machine
    out.bytes = request_;
    return true;
  }

private:
  std::string request_;
};

}  // namespace

TEST(engine, starved_generator_calls_its_own_run_invalid) {
  test_server server(say_hello);
  auto options = options_for(server);
  options.timeout_ns = 20'000'000'000;
  const auto run = run_load(options, [&options](std::size_t) {
    return std::make_unique<slow_workload>(*build_request(options.where, "GET", {}, ""));
  });
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_GE(run->lag_ns.value_at(0.99), 2'000'000U);
  EXPECT_GT(run->busy_share, busy_share_max);
  EXPECT_TRUE(invalid_because(*run, 3'600'000'000'000, false).has_value());  // by its busy share alone
  auto lagging = *run;
  lagging.busy_share = 0;
  EXPECT_TRUE(invalid_because(lagging, lag_limit_default_ns, false).has_value());  // by its lag alone
  EXPECT_FALSE(invalid_because(lagging, 3'600'000'000'000, false).has_value());
  EXPECT_EQ(run->good(), 200U);
}

TEST(engine, queueing_at_a_slow_server_is_not_the_generators_lag) {
  test_server server([](int fd, std::string_view) {
    pause_ms(10);
    say(fd, hello);
    return action::keep;
  });
  auto options = options_for(server);
  options.rate = 200;  // twice of what it can do
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_GE(run->corrected_ns.value_at(0.9), 200'000'000U);
  EXPECT_LE(run->lag_ns.value_at(0.5), 20'000'000U);
  EXPECT_LT(run->busy_share, 0.5);
  EXPECT_GT(run->queue_max, 10U);
}

TEST(engine, reset_is_counted_and_the_connection_replaced) {
  int count = 0;
  test_server server([&count](int fd, std::string_view) {
    if (++count % 10 == 0) return action::reset;
    say(fd, hello);
    return action::keep;
  });
  const auto run = drive(options_for(server));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(ended(*run, failure::reset), 20U);
  EXPECT_EQ(run->good(), 180U);
  EXPECT_EQ(run->finished(), run->planned);
  EXPECT_EQ(run->corrected_ns.count(), 180U);
}

TEST(engine, server_that_hangs_up_on_every_request_is_not_met_by_a_storm) {
  test_server server([](int, std::string_view) { return action::close; });
  const auto options = options_for(server);
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->finished(), run->planned);
  EXPECT_EQ(run->good(), 0U);
  // Each of the four dials at most every 20 ms while the run and its drain last.
  EXPECT_LE(run->connects, 4 + 4 * static_cast<std::uint64_t>(run->seconds() / 0.02 + 1));
}

TEST(engine, end_of_stream_within_an_answer_is_counted) {
  int count = 0;
  test_server server([&count](int fd, std::string_view) {
    const bool cut = ++count % 10 == 0;
    say(fd, cut ? hello.substr(0, hello.size() - 1) : hello);
    return cut ? action::close : action::keep;
  });
  const auto run = drive(options_for(server));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(ended(*run, failure::eof), 20U);
  EXPECT_EQ(run->good(), 180U);
}

TEST(engine, answers_that_end_the_connection_are_good) {
  test_server server([](int fd, std::string_view) {
    say(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
    return action::close;
  });
  const auto run = drive(options_for(server));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 200U);
  EXPECT_GE(run->connects, 200U);
}

TEST(engine, timeouts_are_counted_and_their_waiting_is_measured) {
  test_server server([](int, std::string_view) { return action::keep; });
  auto options = options_for(server);
  options.rate = 100;
  options.duration_ns = 200'000'000;
  options.timeout_ns = 100'000'000;
  options.connections = 1;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->planned, 20U);
  EXPECT_EQ(run->good(), 0U);
  EXPECT_EQ(ended(*run, failure::timeout) + ended(*run, failure::unsent), 20U);
  EXPECT_EQ(run->corrected_ns.count(), 20U);
  EXPECT_GE(run->corrected_ns.min(), 100'000'000U);
}

TEST(engine, requests_that_never_get_a_connection_are_unsent) {
  // Nobody accepts: the kernel completes the first connections by itself, the rest hang, and so does what waits for them.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 0), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  engine_options options;
  options.where = *parse_target("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  ASSERT_TRUE(resolve(options.where).has_value());
  options.rate = 100;
  options.duration_ns = 500'000'000;
  options.timeout_ns = 100'000'000;
  options.connections = 1;
  const auto run = drive(options);
  ::close(listener);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->planned, 50U);
  EXPECT_EQ(run->finished(), 50U);
  EXPECT_EQ(run->good(), 0U);
  EXPECT_GE(ended(*run, failure::unsent), 10U);
  EXPECT_EQ(run->corrected_ns.count(), run->planned - ended(*run, failure::refused));
}

TEST(engine, error_statuses_are_counted_by_class) {
  int count = 0;
  test_server server([&count](int fd, std::string_view) {
    ++count;
    say(fd, count % 4 == 0   ? "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
            : count % 4 == 1 ? "HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"
                             : hello);
    return action::keep;
  });
  const auto run = drive(options_for(server));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(ended(*run, failure::status_5xx), 50U);
  EXPECT_EQ(ended(*run, failure::status_4xx), 50U);
  EXPECT_EQ(run->good(), 100U);
}

TEST(engine, more_bytes_than_asked_for_are_a_bad_response) {
  test_server server([](int fd, std::string_view) {
    say(fd, std::string(hello) + "x");
    return action::keep;
  });
  const auto run = drive(options_for(server));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(ended(*run, failure::bad_response), 200U);
}

TEST(engine, server_that_goes_away_leaves_refused_requests_and_no_hang) {
  auto server = std::make_unique<test_server>(say_hello);
  auto options = options_for(*server);
  options.duration_ns = 600'000'000;
  options.timeout_ns = 300'000'000;
  std::thread killer([&server] {
    pause_ms(200);
    server->stop();
  });
  const auto run = drive(options);
  killer.join();
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->finished(), run->planned);
  EXPECT_GE(run->good(), 10U);
  EXPECT_GE(ended(*run, failure::refused), 1U);
}

TEST(engine, nobody_listening_is_an_error_that_names_the_cause) {
  engine_options options;
  {
    test_server server(say_hello);
    options = options_for(server);
  }
  const auto run = drive(options);
  ASSERT_FALSE(run.has_value());
  EXPECT_NE(run.error().find("Connection refused"), std::string::npos) << run.error();
}

TEST(engine, body_larger_than_all_buffers_is_sent_whole_by_short_writes) {
  const std::string body(3 << 20, 'b');
  std::map<int, std::size_t> received;
  test_server server(
      [&](int fd, std::string_view bytes) {
        received[fd] += bytes.size();
        if (received[fd] < body.size()) return action::keep;
        if (received[fd] > body.size() + 1'000) return action::reset;
        received[fd] = 0;
        say(fd, hello);
        return action::keep;
      },
      4'096);
  auto options = options_for(server);
  options.rate = 20;
  options.timeout_ns = 20'000'000'000;
  options.connections = 2;
  const auto run = drive(options, body);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 8U);
  EXPECT_GE(run->bytes_sent, 8 * body.size());
}

TEST(engine, answer_in_single_bytes_is_read) {
  test_server server([](int fd, std::string_view) {
    for (std::size_t i = 0; i < hello.size(); ++i) say(fd, hello.substr(i, 1));
    return action::keep;
  });
  auto options = options_for(server);
  options.rate = 100;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 40U);
}

TEST(engine, echo_is_verified_byte_by_byte) {
  for (const std::size_t size : {1U, 7U, 8U, 9U, 64U, 200'000U}) {
    SCOPED_TRACE(size);
    test_server server([](int fd, std::string_view bytes) {
      say(fd, bytes);
      return action::keep;
    });
    auto options = options_for(server, "tcp");
    options.echo_bytes = size;
    options.rate = 100;
    options.duration_ns = 200'000'000;
    const auto run = drive(options);
    ASSERT_TRUE(run.has_value()) << run.error();
    EXPECT_EQ(run->good(), 20U);
    EXPECT_EQ(run->bytes_received, 20 * size);
  }
}

TEST(engine, echo_with_one_wrong_bit_is_a_mismatch) {
  int count = 0;
  test_server server([&count](int fd, std::string_view bytes) {
    std::string changed(bytes);
    if (++count % 4 == 0) changed[static_cast<std::size_t>(count) % changed.size()] ^= 1;
    say(fd, changed);
    return action::keep;
  });
  const auto run = drive(options_for(server, "tcp"));
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(ended(*run, failure::mismatch), 50U);
  EXPECT_EQ(run->good(), 150U);
}

TEST(engine, echo_of_the_previous_message_is_a_mismatch) {
  std::string previous;
  test_server server([&previous](int fd, std::string_view bytes) {
    say(fd, previous.empty() ? bytes : previous);
    previous = bytes;
    return action::keep;
  });
  auto options = options_for(server, "tcp");
  options.connections = 1;
  options.rate = 25;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->good(), 1U);  // the first, which had no previous one
  EXPECT_EQ(ended(*run, failure::mismatch), 9U);
}

TEST(engine, warmup_is_sent_but_not_counted) {
  test_server server(say_hello);
  auto options = options_for(server);
  options.warmup_ns = 100'000'000;
  const auto run = drive(options);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_EQ(run->warmup_ended, 50U);
  EXPECT_EQ(run->good(), 150U);
  EXPECT_EQ(run->planned, 150U);
  EXPECT_EQ(run->corrected_ns.count(), 150U);
}

TEST(engine, stop_ends_the_run_early_and_keeps_what_was_measured) {
  test_server server(say_hello);
  auto options = options_for(server);
  options.duration_ns = 60'000'000'000;
  options.stop_fd = eventfd(0, EFD_CLOEXEC);
  std::thread stopper([&options] {
    pause_ms(200);
    const std::uint64_t one = 1;
    EXPECT_EQ(write(options.stop_fd, &one, sizeof one), 8);
  });
  const auto run = drive(options);
  stopper.join();
  ::close(options.stop_fd);
  ASSERT_TRUE(run.has_value()) << run.error();
  EXPECT_TRUE(run->interrupted);
  EXPECT_GT(run->good(), 10U);
  EXPECT_EQ(run->failed(), 0U);
  EXPECT_LT(run->seconds(), 30.0);
}

namespace {

class counting_workload final : public workload {
public:
  counting_workload(std::string request, std::uint64_t size, std::set<request_id>& seen)
      : request_(std::move(request)), size_(size), seen_(seen) {}
  bool next(request_id id, request_out& out) override {
    if (id >= size_) return false;
    out.bytes = request_;
    return true;
  }
  failure answered(request_id id, const response_view& answer) override {
    EXPECT_TRUE(seen_.insert(id).second);
    EXPECT_EQ(answer.outcome, failure::none);
    EXPECT_EQ(answer.body(), "hello");
    EXPECT_EQ(answer.header("content-length"), "5");
    EXPECT_GE(answer.corrected_ns, answer.service_ns);
    return id % 10 == 3 ? failure::mismatch : failure::none;
  }

private:
  std::string request_;
  std::uint64_t size_;
  std::set<request_id>& seen_;
};

}  // namespace

TEST(engine, workload_ends_the_run_sees_each_answer_once_and_judges_it) {
  test_server server(say_hello);
  for (const bool closed : {false, true}) {
    SCOPED_TRACE(closed);
    auto options = options_for(server);
    options.closed = closed;
    options.duration_ns = 60'000'000'000;
    std::set<request_id> seen;
    const auto run = run_load(options, [&](std::size_t) {
      return std::make_unique<counting_workload>(*build_request(options.where, "GET", {}, ""), 100, seen);
    });
    ASSERT_TRUE(run.has_value()) << run.error();
    EXPECT_EQ(seen.size(), 100U);
    EXPECT_EQ(ended(*run, failure::mismatch), 10U);
    EXPECT_EQ(run->good(), 90U);
    EXPECT_LT(run->seconds(), 30.0);
  }
}

TEST(target, urls_are_read) {
  const auto plain = parse_target("http://localhost:8080/a/b?c=d#e");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, "8080");
  EXPECT_EQ(plain->path, "/a/b?c=d");
  EXPECT_EQ(plain->authority, "localhost:8080");
  EXPECT_EQ(parse_target("http://h")->port, "80");
  EXPECT_EQ(parse_target("http://h?q")->path, "/?q");
  EXPECT_EQ(parse_target("http://[::1]:90/")->host, "::1");
  EXPECT_EQ(parse_target("tcp://127.0.0.1:7000")->kind, protocol::echo);
}

TEST(target, what_is_no_target_is_refused) {
  for (const auto* url : {"", "localhost:80", "https://h/", "http://", "http://:80/", "http://h:0/", "http://h:99999/",
                          "http://h:x/", "tcp://h", "tcp://h:1/path", "http://[::1/", "http://h/a b", "http://h:/"})
    EXPECT_FALSE(parse_target(url).has_value()) << url;
}

TEST(http_workload, request_has_what_it_needs_and_nothing_twice) {
  const auto where = *parse_target("http://h:80/p");
  EXPECT_EQ(*build_request(where, "GET", {}, ""), "GET /p HTTP/1.1\r\nHost: h:80\r\nUser-Agent: levity-load\r\n\r\n");
  EXPECT_EQ(*build_request(where, "POST", {"host: x", "User-Agent: y", "content-type: text/plain"}, "abc"),
            "POST /p HTTP/1.1\r\nhost: x\r\nUser-Agent: y\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_FALSE(build_request(where, "get", {}, "").has_value());
  EXPECT_FALSE(build_request(where, "GET", {"no colon"}, "").has_value());
  EXPECT_FALSE(build_request(where, "GET", {"A : b"}, "").has_value());
  EXPECT_FALSE(build_request(where, "GET", {"A: b\r\nC: d"}, "").has_value());
}
