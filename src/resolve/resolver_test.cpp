// Names and numbers, against a server of our own; what becomes of a task that is cancelled at any moment of its query.

#include <levity/base/rng.hpp>
#include <levity/levity.hpp>
#include <levity/resolve/resolver.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

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

using answer = lv::io_result<std::vector<lv::address>>;

std::string text(const answer& got) {
  if (!got) return std::string(to_string(got.error().failure()));
  std::string all;
  for (const lv::address& each : *got) all += (all.empty() ? "" : " ") + each.to_string();
  return all;
}

lv::resolver_options asking(const name_server& server) {
  return {.servers = {server.at()}, .timeout = 2s * slow_build_factor, .tries = 1, .hosts_file = false};
}

}  // namespace

TEST(resolver, numbers_need_neither_server_nor_thread) {
  for (const auto backend : {lv::runtime_options::sockets::epoll, lv::runtime_options::sockets::sim}) {
    lv::runtime_options options;
    options.backend = backend;
    options.handle_signals = false;
    lv::run_with(options, []() -> lv::task<> {
      lv::resolver names{{.servers = {"127.0.0.1:1"}}};
      EXPECT_EQ(text(co_await names.resolve("127.0.0.1", "80")), "127.0.0.1:80");
      EXPECT_EQ(text(co_await names.resolve("::1", "65535")), "[::1]:65535");
      EXPECT_EQ(text(co_await names.resolve("::1", "1", lv::address_family::v4)), "not found");
      EXPECT_EQ(text(co_await names.resolve("10.1.2.3", "1", lv::address_family::v6)), "not found");
      EXPECT_EQ(text(co_await names.resolve("", "80")), "invalid argument");
      EXPECT_EQ(text(co_await names.resolve("127.0.0.1", "65536")), "invalid argument");
    });
  }
}

TEST(resolver, a_simulated_run_asks_no_real_server) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, []() -> lv::task<> {
    EXPECT_EQ(text(co_await lv::resolve("example.test", "80")), "not supported here");
  });
}

TEST(resolver, names_become_addresses_of_the_family_that_was_asked_for) {
  name_server server({{"four.test", {{"127.0.0.1", "127.0.0.2"}, {}}}, {"both.test", {{"127.0.0.3"}, {"::1"}}}});
  for (const unsigned workers : {1u, 2u}) {
    run_tasks(workers, [](lv::resolver_options options) -> lv::task<> {
      lv::resolver names{options};
      EXPECT_EQ((co_await names.resolve("four.test", "80")).value().size(), 2u);
      EXPECT_EQ(text(co_await names.resolve("four.test", "80", lv::address_family::v6)), "not found");
      EXPECT_EQ(text(co_await names.resolve("both.test", "http", lv::address_family::v4)), "127.0.0.3:80");
      EXPECT_EQ(text(co_await names.resolve("both.test", "7", lv::address_family::v6)), "[::1]:7");
      EXPECT_EQ((co_await names.resolve("both.test", "7")).value().size(), 2u);
      EXPECT_EQ(text(co_await names.resolve("both.test", "no-such-service")), "invalid argument");
    }, asking(server));
  }
}

TEST(resolver, its_thread_is_told_apart_from_outside) {
  name_server server({{"four.test", {{"127.0.0.1"}, {}}}});
  run_tasks(1, [](lv::resolver_options options) -> lv::task<> {
    lv::resolver names{options};
    EXPECT_EQ(text(co_await names.resolve("four.test", "80", lv::address_family::v4)), "127.0.0.1:80");
    int named = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(thread.path() / "comm"), name);
      named += name == "levity resolver" ? 1 : 0;
    }
    EXPECT_EQ(named, 1);
  }, asking(server));
}

TEST(resolver, no_such_name_no_answer_and_a_server_that_cannot_are_three_outcomes) {
  name_server server({{"silent.test", {{}, {}, manner::silent, manner::silent}},
                      {"broken.test", {{}, {}, manner::fails, manner::fails}}});
  run_tasks(1, [](lv::resolver_options options) -> lv::task<> {
    options.timeout = 50ms;
    lv::resolver names{options};
    EXPECT_EQ(text(co_await names.resolve("gone.test", "80")), "not found");
    EXPECT_EQ(text(co_await names.resolve("silent.test", "80")), "timed out");
    EXPECT_EQ(text(co_await names.resolve("broken.test", "80")), "temporarily unavailable");
  }, asking(server));
}

TEST(resolver, a_server_that_is_no_address_is_the_callers_mistake) {
  run_tasks(1, []() -> lv::task<> {
    lv::resolver names{{.servers = {"not an address"}}};
    const auto got = co_await names.resolve("four.test", "80");
    EXPECT_TRUE(!got && (got.error() == io_failure::invalid || got.error() == io_failure::unavailable));
  });
}

TEST(resolver, the_hosts_file_answers_before_any_server) {
  std::ifstream file("/etc/hosts");
  std::string line;
  std::string name;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string number;
    std::string first;
    if (words >> number >> first && number.find_first_not_of("0123456789.") == std::string::npos && first != "localhost") {
      name = first;
    }
  }
  if (name.empty()) GTEST_SKIP() << "/etc/hosts has no name but localhost";
  name_server server({});
  run_tasks(1, [](lv::resolver_options options, std::string known) -> lv::task<> {
    options.hosts_file = true;
    lv::resolver names{options};
    EXPECT_TRUE(co_await names.resolve(known, "80", lv::address_family::v4));
  }, asking(server), name);
  EXPECT_EQ(server.queries(), 0);
}

TEST(resolver, many_tasks_ask_at_once_while_the_worker_goes_on) {
  name_server server({{"held.test", {{"127.0.0.1"}, {}, manner::held, manner::held}}});
  run_tasks(1, [](lv::resolver_options options, name_server* from) -> lv::task<> {
    lv::resolver names{options};
    const auto ask = [](lv::resolver* by, int* answered) -> lv::task<> {
      const auto got = co_await by->resolve("held.test", "80", lv::address_family::v4);
      EXPECT_EQ(text(got), "127.0.0.1:80");
      ++*answered;
    };
    int answered = 0;
    lv::scope asking_tasks;
    for (int i = 0; i < 100; i++) asking_tasks.spawn(ask, &names, &answered);
    while (from->queries() < 100) co_await lv::sleep(1ms);  // the only worker is free
    EXPECT_EQ(answered, 0);
    from->release();
    co_await asking_tasks.join();
    EXPECT_EQ(answered, 100);
  }, asking(server), &server);
}

TEST(resolver, cancelled_before_a_query_is_made) {
  name_server server({{"four.test", {{"127.0.0.1"}, {}}}});
  run_tasks(1, [](lv::resolver_options options) -> lv::task<> {
    lv::resolver names{options};
    const auto ask = [](lv::resolver* by) -> lv::task<> {
      EXPECT_EQ(text(co_await by->resolve("four.test", "80")), "cancelled");
    };
    lv::scope asking_tasks;
    asking_tasks.cancel();
    asking_tasks.spawn(ask, &names);
    co_await asking_tasks.join();
  }, asking(server));
}

TEST(resolver, cancelled_and_timed_out_while_a_server_is_silent_leave_at_once) {
  name_server server({{"held.test", {{"127.0.0.1"}, {}, manner::held, manner::held}}});
  run_tasks(2, [](lv::resolver_options options, name_server* from) -> lv::task<> {
    lv::resolver names{options};
    const auto ask = [](lv::resolver* by) -> lv::task<> {
      EXPECT_EQ(text(co_await by->resolve("held.test", "80", lv::address_family::v4)), "cancelled");
    };
    lv::scope asking_tasks;
    asking_tasks.spawn(ask, &names);
    while (from->queries() < 1) co_await lv::sleep(1ms);
    asking_tasks.cancel();
    co_await asking_tasks.join();
    EXPECT_EQ(text(co_await lv::with_deadline(2ms, names.resolve("held.test", "80", lv::address_family::v4))), "timed out");
    from->release();  // late answers to nobody
    EXPECT_EQ(text(co_await names.resolve("held.test", "81", lv::address_family::v4)), "127.0.0.1:81");
  }, asking(server), &server);
}

TEST(resolver, cancellation_racing_the_answer_gives_one_of_the_two) {
  name_server server({{"four.test", {{"127.0.0.1"}, {}}}});
  run_tasks(2, [](lv::resolver_options options) -> lv::task<> {
    lv::resolver names{options};
    const auto ask = [](lv::resolver* by, int* answers) -> lv::task<> {
      const std::string got = text(co_await by->resolve("four.test", "80", lv::address_family::v4));
      EXPECT_TRUE(got == "127.0.0.1:80" || got == "cancelled") << got;
      if (got != "cancelled") ++*answers;
    };
    int answers = 0;
    lv::rng random(11);
    for (int i = 0; i < 2000 / slow_build_factor; i++) {
      lv::scope one;
      one.spawn(ask, &names, &answers);
      const auto pause = std::chrono::microseconds(random.below(300));
      for (const auto until = lv::clock::now() + pause; lv::clock::now() < until;) co_await lv::yield();
      if (i % 10 != 0) one.cancel();
      co_await one.join();
    }
    EXPECT_GT(answers, 0);
  }, asking(server));
}

TEST(resolver, answers_that_come_before_the_wait_are_whole) {
  name_server server({});
  run_tasks(2, [](lv::resolver_options options) -> lv::task<> {
    lv::resolver names{options};
    // No name is so long: the thread answers at once, now and then before the task waits.
    const auto ask = [](lv::resolver* by) -> lv::task<> {
      for (int i = 0; i < 1000; i++) {
        const auto got = co_await by->resolve(std::string(400, 'a'), "80");
        EXPECT_FALSE(got);
      }
    };
    lv::scope asking_tasks;
    for (int i = 0; i < 8; i++) asking_tasks.spawn(ask, &names);
    co_await asking_tasks.join();
  }, asking(server));
}

TEST(resolver, ends_with_queries_in_flight) {
  name_server server({{"held.test", {{"127.0.0.1"}, {}, manner::held, manner::held}}});
  run_tasks(2, [](lv::resolver_options options, name_server* from) -> lv::task<> {
    for (int i = 1; i <= 3; i++) {
      auto names = std::make_unique<lv::resolver>(options);
      const auto ask = [](lv::resolver* by) -> lv::task<> {
        EXPECT_EQ(text(co_await by->resolve("held.test", "80", lv::address_family::v4)), "cancelled");
      };
      lv::scope asking_tasks;
      asking_tasks.spawn(ask, names.get());
      while (from->queries() < i) co_await lv::sleep(1ms);
      names.reset();
      co_await asking_tasks.join();
    }
  }, asking(server), &server);
}
