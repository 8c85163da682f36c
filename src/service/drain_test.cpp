// Health and drain: state machines that are told the time, and a server that ends by its own hand.

#include "levity/service/drain.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rapidcheck.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "levity/service/health.hpp"
#include "levity/service/log.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using lv::service::drain;
using lv::service::drain_options;
using lv::service::drain_state;
using lv::service::health;

namespace {

constexpr lv::time_point start{};

TEST(health, is_ready_when_it_has_started_and_every_check_is_in_order) {
  health of(start, {"database", "cache"});
  EXPECT_FALSE(of.startup().good);
  EXPECT_TRUE(of.live(start).good);
  EXPECT_EQ(of.ready(start).why, "starting");
  of.started(start);
  EXPECT_TRUE(of.startup().good);
  EXPECT_EQ(of.ready(start).why, "database");
  of.set(0, true);
  EXPECT_EQ(of.ready(start).why, "cache");
  of.set(1, true);
  EXPECT_TRUE(of.ready(start).good);
  of.set(0, false);
  EXPECT_FALSE(of.ready(start).good);
  EXPECT_TRUE(of.live(start).good);  // a database that is away is no reason to die
  of.set(7, true);                   // there is none
}

TEST(health, that_drains_is_not_ready_and_lives) {
  health of(start);
  of.started(start);
  EXPECT_TRUE(of.ready(start).good);
  of.begin_drain();
  EXPECT_EQ(of.ready(start).why, "draining");
  EXPECT_TRUE(of.live(start).good);
  of.started(start);
  EXPECT_FALSE(of.ready(start).good);
}

TEST(health, dies_of_a_start_that_takes_too_long_and_of_a_heart_that_stands_still) {
  health of(start, {}, {.startup_max = 10s, .beat_max = 5s});
  EXPECT_TRUE(of.live(start + 10s).good);
  EXPECT_FALSE(of.live(start + 10s + 1ns).good);
  of.started(start + 11s);
  EXPECT_TRUE(of.live(start + 16s).good);
  EXPECT_FALSE(of.live(start + 17s).good);
  EXPECT_FALSE(of.ready(start + 17s).good);
  of.beat(start + 17s);
  EXPECT_TRUE(of.ready(start + 17s).good);
}

TEST(drain, goes_through_its_states_in_order) {
  drain of({.notice = 5s, .bound = 30s});
  EXPECT_EQ(of.state(), drain_state::serving);
  EXPECT_FALSE(of.next_look());
  EXPECT_EQ(of.look(start + 1h, 3), drain_state::serving);
  EXPECT_EQ(of.signal(start), drain_state::noticing);
  EXPECT_EQ(of.next_look(), start + 5s);
  EXPECT_EQ(of.look(start + 4s, 0), drain_state::noticing);
  EXPECT_EQ(of.look(start + 5s, 2), drain_state::finishing);
  EXPECT_EQ(of.next_look(), start + 30s);
  EXPECT_EQ(of.look(start + 20s, 1), drain_state::finishing);
  EXPECT_EQ(of.look(start + 21s, 0), drain_state::ended);
  EXPECT_EQ(of.exit_code(), 0);
  EXPECT_FALSE(of.next_look());
  EXPECT_EQ(of.signal(start + 22s), drain_state::ended);
}

TEST(drain, is_cut_off_when_the_time_is_over) {
  drain of({.bound = 30s, .overdue_code = 7});
  of.signal(start);
  of.look(start, 1);
  EXPECT_EQ(of.look(start + 30s - 1ns, 1), drain_state::finishing);
  EXPECT_EQ(of.look(start + 30s, 1), drain_state::cut_off);
  EXPECT_EQ(of.exit_code(), 7);
}

TEST(drain, a_second_signal_ends_it_at_once) {
  drain of({.notice = 5s});
  of.signal(start);
  EXPECT_EQ(of.signal(start + 1ms), drain_state::cut_off);
}

TEST(drain, whatever_happens_it_ends_in_time_and_goes_forward_only) {
  EXPECT_TRUE(rc::check([] {
    const auto notice = std::chrono::milliseconds(*rc::gen::inRange(0, 50));
    const auto bound = std::chrono::milliseconds(*rc::gen::inRange(0, 50));
    drain of({.notice = notice, .bound = bound});
    lv::time_point now = start + std::chrono::milliseconds(*rc::gen::inRange(0, 10));
    const lv::time_point signalled = now;
    drain_state last = of.signal(now);
    while (const auto next = of.next_look()) {
      now = std::max(now, *next) - std::chrono::milliseconds(*rc::gen::inRange(0, 2));
      const drain_state state = of.look(now, *rc::gen::inRange<std::size_t>(0, 3));
      RC_ASSERT(state >= last);
      last = state;
      if (of.next_look() == next && now < *next) now = *next;
    }
    RC_ASSERT(last == drain_state::ended || last == drain_state::cut_off);
    RC_ASSERT(now <= signalled + bound + 2ms);
  }));
}


lv::task<> answer(const lv::http::request&, const lv::http::route_match&, lv::http::response& out) {
  out.set_body("ok");
  co_return;
}

TEST(serve_until_told, ends_with_0_after_sigterm_when_all_is_answered) {
  static int code;
  code = -1;
  run_tasks(1, []() -> lv::task<> {
    const auto held = lv::signal_set::open({SIGTERM});  // a signal that comes early ends nobody
    lv::http::server server;
    server.route(lv::http::method::get, "/", answer);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    health probes(lv::clock::now());
    lv::scope main;
    main.spawn([](lv::http::server* of, lv::tcp_listener at, health* seen) -> lv::task<> {
      code = co_await lv::service::serve_until_told(of, std::move(at), {.bound = 10s}, {.probes = seen});
    }, &server, std::move(listener), &probes);
    while (!probes.startup().good) co_await lv::sleep(1ms);
    EXPECT_TRUE(probes.ready(lv::clock::now()).good);
    co_await lv::sleep(20ms);
    ::kill(::getpid(), SIGTERM);
    co_await main.join();
    EXPECT_EQ(probes.ready(lv::clock::now()).why, "draining");
  });
  EXPECT_EQ(code, 0);
}

// Standard error goes into memory meanwhile.
struct told_errors {
  int to = ::memfd_create("told", MFD_CLOEXEC);
  int before = ::dup(STDERR_FILENO);
  told_errors() { ::dup2(to, STDERR_FILENO); }
  told_errors(const told_errors&) = delete;
  told_errors& operator=(const told_errors&) = delete;
  ~told_errors() {
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    ::close(to);
  }
  std::string so_far() const {
    std::string text(static_cast<std::size_t>(::lseek(to, 0, SEEK_END)), '\0');
    text.resize(static_cast<std::size_t>(::pread(to, text.data(), text.size(), 0)));
    return text;
  }
};

lv::task<> serve_and_dump(std::string* dump) {
  const told_errors told;
  lv::http::server server;
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  health probes(lv::clock::now());
  lv::scope main;
  main.spawn([](lv::http::server* of, lv::tcp_listener at, health* seen) -> lv::task<> {
    (void)co_await lv::service::serve_until_told(of, std::move(at), {}, {.probes = seen});
  }, &server, std::move(listener), &probes);
  while (!probes.startup().good) co_await lv::sleep(1ms);
  co_await lv::sleep(20ms);
  ::kill(::getpid(), SIGQUIT);
  for (int i = 0; i < 10'000 && !dump->ends_with(" tasks\n"); i++) {
    co_await lv::sleep(1ms);
    *dump = told.so_far();
  }
  ::kill(::getpid(), SIGTERM);
  co_await main.join();
}

TEST(serve_until_told, its_tasks_have_names_in_a_dump) {
  std::string dump;
  EXPECT_EQ(lv::run_with({.workers = 1}, serve_and_dump, &dump), 0);
  for (const char* name : {"\"end signals\" spawned at drain.cpp:", "\"http server\" spawned at drain.cpp:"}) {
    EXPECT_NE(dump.find(name), std::string::npos) << "missing: " << name << "\n" << dump;
  }
}

lv::task<> hang(const lv::http::request&, const lv::http::route_match&, lv::http::response& out) {
  co_await lv::shield([]() -> lv::task<> { co_await lv::sleep(2s); }());
  out.set_body("late");
}

TEST(serve_until_told, is_cut_off_where_a_handler_does_not_end) {
  static int code, cut;
  code = cut = -1;
  run_tasks(2, []() -> lv::task<> {
    const auto held = lv::signal_set::open({SIGTERM});
    lv::http::server server;
    server.route(lv::http::method::get, "/", hang);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const auto at = listener.local_address();
    lv::scope main;
    main.spawn([](lv::http::server* of, lv::tcp_listener from) -> lv::task<> {
      code = co_await lv::service::serve_until_told(of, std::move(from), {.bound = 100ms, .overdue_code = 7},
                                                    {.cut_off = [](int with) { cut = with; }});
    }, &server, std::move(listener));
    auto peer = co_await lv::tcp_stream::connect(at);
    EXPECT_TRUE(peer);
    const auto sent = co_await peer->write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_TRUE(sent);
    co_await lv::sleep(50ms);
    ::kill(::getpid(), SIGTERM);
    co_await main.join();
  });
  EXPECT_EQ(cut, 7);
  EXPECT_EQ(code, 7);
}

// Whether a socket of that port takes connections: asked without a wait, which a cancelled task has not.
bool somebody_listens(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = ::htons(port);
  to.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  const bool connected = ::connect(fd, reinterpret_cast<const ::sockaddr*>(&to), sizeof to) == 0;
  ::close(fd);
  return connected;
}

// Serves until it is cancelled, and says whether the port was let go by then.
lv::task<> serve_until_cancelled(lv::http::server* server, lv::tcp_listener from, bool* listens_still) {
  const std::uint16_t port = from.local_address().port();
  try {
    (void)co_await lv::service::serve_until_told(server, std::move(from), {.bound = 10s});
  } catch (const lv::cancelled&) {
    *listens_still = somebody_listens(port);
    throw;
  }
}

TEST(serve_until_told, that_is_cancelled_has_ended_what_it_began) {
  static bool listens_still[2];
  listens_still[0] = listens_still[1] = true;
  run_tasks(1, []() -> lv::task<> {
    const auto held = lv::signal_set::open({SIGTERM});
    for (const bool begun : {false, true}) {
      lv::http::server server;
      server.route(lv::http::method::get, "/", answer);
      lv::scope main;
      main.spawn(serve_until_cancelled, &server, lv::tcp_listener::bind("127.0.0.1:0").value(), &listens_still[begun]);
      if (begun) co_await lv::sleep(20ms);
      main.cancel();
      co_await main.join();
    }
  });
  EXPECT_FALSE(listens_still[0]);
  EXPECT_FALSE(listens_still[1]);
}

TEST(serve_until_told, after_a_signal_that_came_before_it_began_ends_as_main_does) {
  static bool listens_still;
  listens_still = true;
  const auto main = []() -> lv::task<> {
    ::kill(::getpid(), SIGTERM);
    try {
      co_await lv::sleep(1h);
    } catch (const lv::cancelled&) {
      // By lv::run: nobody else hears of signals yet.
    }
    lv::http::server server;
    server.route(lv::http::method::get, "/", answer);
    co_await serve_until_cancelled(&server, lv::tcp_listener::bind("127.0.0.1:0").value(), &listens_still);
  };
  EXPECT_EQ(lv::run_with({.workers = 1}, main), 128 + SIGTERM);
  EXPECT_FALSE(listens_still);
}

lv::task<> end_the_process(const lv::http::request&, const lv::http::route_match&, lv::http::response& out) {
  ::kill(::getpid(), SIGTERM);
  ::usleep(50'000);  // nobody else runs on the only worker meanwhile: what does not hear of the signal by now is too late
  out.set_body("as you like");
  co_return;
}

TEST(serve_until_told, hears_of_signals_before_anybody_is_answered) {
  const auto main = []() -> lv::task<int> {
    lv::http::server server;
    server.route(lv::http::method::get, "/", end_the_process);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    auto peer = co_await lv::tcp_stream::connect(listener.local_address());
    EXPECT_TRUE(peer);
    const auto sent = co_await peer->write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_TRUE(sent);
    co_return co_await lv::service::serve_until_told(&server, std::move(listener), {.bound = 10s, .overdue_code = 7});
  };
  EXPECT_EQ(lv::run_with({.workers = 1}, main), 0);
}

// A log without a writer: flush() waits for ever.
TEST(serve_until_told, waits_for_the_log_within_the_bound) {
  static lv::time_point cut;
  static lv::duration ended_after, cut_after;
  ended_after = cut_after = 1h;
  const auto serve = [](bool hangs) -> lv::task<> {
    const auto held = lv::signal_set::open({SIGTERM});
    lv::http::server server;
    server.route(lv::http::method::get, "/", hang);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const auto at = listener.local_address();
    lv::service::log notes;
    lv::scope main;
    main.spawn([](lv::http::server* of, lv::tcp_listener from, lv::service::log* said) -> lv::task<> {
      (void)co_await lv::service::serve_until_told(of, std::move(from), {.bound = 200ms},
                                                   {.notes = said, .cut_off = [](int) { cut = lv::clock::now(); }});
    }, &server, std::move(listener), &notes);
    std::optional<lv::tcp_stream> peer;
    if (hangs) {
      peer = (co_await lv::tcp_stream::connect(at)).value();
      const auto sent = co_await peer->write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
      EXPECT_TRUE(sent);
    }
    co_await lv::sleep(50ms);
    const lv::time_point signalled = lv::clock::now();
    ::kill(::getpid(), SIGTERM);
    co_await main.join();
    if (hangs) cut_after = cut - signalled;
    else ended_after = lv::clock::now() - signalled;
  };
  for (const bool hangs : {false, true}) run_tasks(2, serve, hangs);  // the bound is over for each when its main task is
  EXPECT_LT(ended_after, 1s);  // a second is what it takes where it is not of the bound
  EXPECT_LT(cut_after, 1s);
}

TEST(serve_until_told, waits_for_no_log_after_a_second_signal) {
  static lv::time_point cut;
  static lv::duration cut_after[2];
  cut_after[0] = cut_after[1] = 1h;
  run_tasks(1, []() -> lv::task<> {
    const auto held = lv::signal_set::open({SIGTERM});
    for (const bool notices : {true, false}) {  // the second one comes while it waits for balancers, or for the log
      lv::http::server server;
      server.route(lv::http::method::get, "/", answer);
      lv::service::log notes;
      health probes(lv::clock::now());
      lv::scope main;
      main.spawn([](lv::http::server* of, lv::tcp_listener from, lv::service::serving_companions with,
                    bool long_notice) -> lv::task<> {
        const int code = co_await lv::service::serve_until_told(
            of, std::move(from), {.notice = long_notice ? 20s : 0s, .bound = 30s, .overdue_code = 7}, with);
        EXPECT_EQ(code, 7);
      }, &server, lv::tcp_listener::bind("127.0.0.1:0").value(),
      lv::service::serving_companions{&probes, &notes, [](int) { cut = lv::clock::now(); }}, notices);
      co_await lv::sleep(20ms);
      ::kill(::getpid(), SIGTERM);
      while (probes.ready(lv::clock::now()).why != "draining") co_await lv::sleep(1ms);
      co_await lv::sleep(20ms);
      const lv::time_point insisted = lv::clock::now();
      ::kill(::getpid(), SIGTERM);
      co_await main.join();
      cut_after[notices] = cut - insisted;
    }
  });
  EXPECT_LT(cut_after[false], 900ms);
  EXPECT_LT(cut_after[true], 900ms);
}

// A service that is written as docs/guides/running_a_service.md has it, and whose background does not end.
lv::task<int> serve_beside(lv::blocking_options how, int says, lv::duration bound) {
  lv::http::server server;
  server.route(lv::http::method::get, "/", answer);
  lv::scope background{lv::on_failure::report};
  background.spawn("hangs", [](lv::blocking_options of, int to) -> lv::task<> {
    co_await lv::blocking(of, [](int into) {
      (void)!::write(into, "x", 1);
      ::sleep(60);
    }, to);
  }, how, says);
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  const int code = co_await lv::service::serve_until_told(&server, std::move(listener), {.bound = bound, .overdue_code = 7});
  background.cancel();
  co_await background.join();
  co_return code;
}

// How its process ends after so many SIGTERM; -1 where it does not.
int code_of_a_service(lv::blocking_options how, lv::duration bound, int signals) {
  int ends[2];
  if (::pipe(ends) != 0) return -2;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(lv::run_with({.workers = 2}, serve_beside, how, ends[1], bound));
  char begun = 0;
  EXPECT_EQ(::read(ends[0], &begun, 1), 1);
  ::close(ends[0]);
  ::close(ends[1]);
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 100 && ended == 0; i++) {
    ::usleep(300'000);
    if (i < signals) ::kill(child, SIGTERM);
    else ended = ::waitpid(child, &status, WNOHANG);
  }
  if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -3;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return -1;
}

TEST(serve_until_told, ends_within_the_bound_whatever_its_caller_joins) {
  EXPECT_EQ(code_of_a_service({}, 500ms, 1), 7);
}

TEST(serve_until_told, ends_at_a_second_signal_whatever_its_caller_joins) {
  EXPECT_EQ(code_of_a_service({}, 1h, 2), 7);
}

TEST(serve_until_told, a_second_signal_ends_a_process_whose_calls_were_left_behind) {
  EXPECT_EQ(code_of_a_service({.abandon_on_cancel = true}, 1h, 2), 128 + SIGTERM);
}

}  // namespace
