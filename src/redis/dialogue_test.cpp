// The client against redis-server itself, where it is installed: both protocols, ten thousand commands of a hundred tasks, a server
// that is killed and comes back, transactions, messages. Each test starts a server of its own, at a Unix socket in a folder of its
// own.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/redis/client.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

namespace lv = levity;
namespace redis = levity::redis;
using namespace std::chrono_literals;
using lv::io_failure;
using lv::test::run_tasks;
using redis::failure;

// redis-tools has the server's program, too, under the name of one of the things that it can do besides: that package starts no
// service on the machine.
std::string find_program() {
  for (const char* path : {"/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/redis-check-rdb"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return {};
}

// One redis-server. Started before the runtime, by fork: there are no threads yet.
class real_server {
public:
  explicit real_server(std::vector<std::string> more = {}) : more_(std::move(more)) { start(); }
  real_server(const real_server&) = delete;
  real_server& operator=(const real_server&) = delete;
  ~real_server() { kill(); }

  [[nodiscard]] std::string at() const { return folder_.file("redis.sock"); }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  void start() {
    const std::string program = find_program();
    std::vector<std::string> words{"redis-server",  "--port", "0",  "--unixsocket", at(),        "--save", "", "--appendonly",
                                   "no",     "--dir",  folder_.path(), "--daemonize", "no", "--loglevel", "warning",
                                   "--logfile", folder_.file("log")};
    words.insert(words.end(), more_.begin(), more_.end());
    std::vector<char*> arguments;
    for (std::string& each : words) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    ::unlink(at().c_str());
    pid_ = ::vfork();
    if (pid_ == 0) {
      ::execv(program.c_str(), arguments.data());
      ::_exit(127);
    }
    bool there = false;
    for (int i = 0; i < 20'000 && !there; i++) {
      there = answers();
      if (!there) ::usleep(1000);
    }
    EXPECT_TRUE(there) << "redis-server does not listen after 20 s";
  }

private:
  // Its file is there a moment before it listens.
  [[nodiscard]] bool answers() const {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, at().c_str(), sizeof to.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    ::close(fd);
    return connected;
  }

  lv::test::temporary_folder folder_;
  std::vector<std::string> more_;
  pid_t pid_ = -1;
};

#define NEEDS_REDIS_SERVER() \
  if (find_program().empty()) GTEST_SKIP() << "redis-server is not installed; apt-get install redis-tools"

// A machine that runs other tests may be slow: what is said here does not depend on half a second.
redis::options patient(const std::string& at) {
  redis::options how;
  how.address = at;
  how.deadline = 20s;
  how.connect_timeout = 10s;
  how.backoff_first = 5ms;
  how.backoff_max = 50ms;
  return how;
}

lv::task<> with_client(lv::task<> (*talks)(redis::client*, real_server*), redis::options how, real_server* server) {
  redis::client client(std::move(how));
  co_await talks(&client, server);
}

}  // namespace

TEST(redis_server, answers_the_helpers_over_both_protocols) {
  NEEDS_REDIS_SERVER();
  for (const bool resp3 : {true, false}) {
    SCOPED_TRACE(resp3 ? "RESP3" : "RESP2");
    real_server server;
    redis::options how = patient(server.at());
    how.resp3 = resp3;
    EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
      EXPECT_TRUE((co_await client->ping()).has_value());
      const auto nothing = co_await client->get("a");
      EXPECT_TRUE(nothing && !*nothing);
      EXPECT_TRUE((co_await client->set("a", std::string_view("\0\r\n1", 4))).has_value());
      const auto a = co_await client->get("a");
      EXPECT_TRUE(a && *a == std::string("\0\r\n1", 4));
      EXPECT_TRUE((co_await client->set("b", "2", 60s)).has_value());
      const auto left = co_await client->command("PTTL", "b");
      EXPECT_TRUE(left && left->to_integer() > 0 && left->to_integer() <= 60'000);
      EXPECT_EQ((co_await client->set_if_absent("b", "3")).value_or(true), false);
      EXPECT_EQ((co_await client->set_if_absent("c", "3", 60s)).value_or(false), true);
      EXPECT_EQ((co_await client->exists("c")).value_or(false), true);
      EXPECT_EQ((co_await client->incr("c")).value_or(0), 4);
      EXPECT_EQ((co_await client->incr("c", -10)).value_or(0), -6);
      EXPECT_EQ((co_await client->expire("c", 1h)).value_or(false), true);
      EXPECT_EQ((co_await client->expire("nothing", 1h)).value_or(true), false);
      const std::string_view keys[] = {"b", "nothing", "c"};
      const auto all = co_await client->mget(keys);
      EXPECT_TRUE(all && all->size() == 3 && (*all)[0] == "2" && !(*all)[1] && (*all)[2] == "-6");
      EXPECT_EQ((co_await client->del(keys)).value_or(0), 2);
      EXPECT_EQ((co_await client->del("a")).value_or(0), 1);
      const std::string_view key[] = {"k"};
      const std::string_view arguments[] = {"x", "y"};
      const auto ran = co_await client->eval("return {KEYS[1], ARGV[2], 3, {err='CUSTOM no'}, false}", key, arguments);
      EXPECT_TRUE(ran && ran->elements().size() == 5);
      EXPECT_EQ(ran ? ran->to_string() : ran.error().message(), "[\"k\", \"y\", 3, error \"CUSTOM no\", null]");
      const auto wrong = co_await client->command("LPUSH", "k", "x");
      EXPECT_TRUE(wrong);
      const auto type = co_await client->get("k");
      EXPECT_EQ(type.error(), failure::server);
      EXPECT_EQ(type.error().code(), "WRONGTYPE");
      const auto unknown = co_await client->command("NOSUCH");
      EXPECT_EQ(unknown.error().code(), "ERR");
    }, how, &server), 0);
  }
}

TEST(redis_server, says_maps_doubles_and_the_like_over_resp3_and_their_kin_over_resp2) {
  NEEDS_REDIS_SERVER();
  for (const bool resp3 : {true, false}) {
    SCOPED_TRACE(resp3 ? "RESP3" : "RESP2");
    real_server server({"--enable-debug-command", "yes"});
    redis::options how = patient(server.at());
    how.resp3 = resp3;
    how.name = resp3 ? "three" : "two";
    EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
      const auto name = co_await client->command("CLIENT", "GETNAME");
      const bool three = name && name->text() == "three";
      (void)co_await client->command("HSET", "h", "a", 1, "b", 2);
      const auto map = co_await client->command("HGETALL", "h");
      EXPECT_TRUE(map && map->kind() == (three ? redis::value_kind::map : redis::value_kind::array));
      EXPECT_TRUE(map && map->find("b") != nullptr && map->find("b")->to_integer() == 2) << "read alike";
      (void)co_await client->command("ZADD", "z", 1.5, "a", "+inf", "b");
      const auto score = co_await client->command("ZSCORE", "z", "a");
      EXPECT_TRUE(score && score->kind() == (three ? redis::value_kind::real : redis::value_kind::text) && score->to_real() == 1.5);
      const auto endless = co_await client->command("ZSCORE", "z", "b");
      EXPECT_TRUE(endless && endless->to_real() == INFINITY);
      (void)co_await client->command("SADD", "s", "x");
      const auto set = co_await client->command("SMEMBERS", "s");
      EXPECT_TRUE(set && set->kind() == (three ? redis::value_kind::set : redis::value_kind::array));
      for (const char* type :
           {"string", "integer", "double", "null", "array", "set", "map", "bignum", "true", "false", "verbatim", "attrib"}) {
        const auto got = co_await client->command("DEBUG", "PROTOCOL", type);
        EXPECT_TRUE(got) << type << ": " << got.error().message();
        if (!got || !three) continue;
        const std::string_view which = type;
        EXPECT_TRUE(which != "bignum" || got->kind() == redis::value_kind::big_number);
        EXPECT_TRUE(which != "true" || got->to_boolean() == true);
        EXPECT_TRUE(which != "verbatim" || got->format() == "txt");
        EXPECT_TRUE(which != "attrib" || !got->attributes().empty());
        EXPECT_TRUE(which != "map" || got->elements().size() == 6);
      }
    }, how, &server), 0);
  }
}

TEST(redis_server, answers_ten_thousand_commands_of_a_hundred_tasks_each_its_own) {
  NEEDS_REDIS_SERVER();
  real_server server;
  EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
    struct asks {
      static lv::task<> hundred(redis::client* of, int who) {
        for (int i = 0; i < 100; i++) {
          const std::string text =
              std::to_string(who) + "." + std::to_string(i) + std::string(static_cast<std::size_t>(who) * 7, 'x');
          const auto got = co_await of->command("ECHO", text);
          EXPECT_TRUE(got && got->text() == text) << (got ? std::string(got->text()) : got.error().message());
        }
      }
    };
    lv::scope callers;
    for (int i = 0; i < 100; i++) callers.spawn(asks::hundred, client, i);
    co_await callers.join();
    const redis::figures seen = client->look();
    EXPECT_EQ(seen.commands, 10'000U);
    EXPECT_EQ(seen.connects, 1U);
    EXPECT_LE(seen.writes, 10'000U);
  }, patient(server.at()), &server), 0);
}

// Callers that leave at random moments, over real sockets and two workers.
TEST(redis_server, callers_that_leave_shift_no_reply) {
  NEEDS_REDIS_SERVER();
  real_server server;
  EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
    struct asks {
      static lv::task<> some(redis::client* of, int who) {
        lv::rng random(static_cast<std::uint64_t>(who));
        for (int i = 0; i < 200 / lv::test::slow_build_factor + 5; i++) {
          const std::string text = std::to_string(who) + "." + std::to_string(i);
          const auto got = co_await of->command(redis::within(std::chrono::microseconds(random.below(2000))), "ECHO", text);
          EXPECT_TRUE(got ? got->text() == text : got.error() == io_failure::timed_out) << text;
        }
      }
    };
    lv::scope callers;
    for (int i = 0; i < 50; i++) callers.spawn(asks::some, client, i);
    co_await callers.join();
    const auto last = co_await client->command("ECHO", "last");
    EXPECT_TRUE(last && last->text() == "last");
    EXPECT_EQ(client->look().connects, 1U);
  }, patient(server.at()), &server), 0);
}

TEST(redis_server, takes_user_and_password_and_refuses_who_has_none) {
  NEEDS_REDIS_SERVER();
  for (const bool resp3 : {true, false}) {
    SCOPED_TRACE(resp3 ? "RESP3" : "RESP2");
    real_server server({"--requirepass", "secret", "--user", "me", "on", ">other", "~*", "+@all"});
    redis::options how = patient(server.at());
    how.resp3 = resp3;
    const auto ping = [](redis::client* client, real_server*) -> lv::task<> {
      const auto got = co_await client->ping();
      EXPECT_TRUE(got) << got.error().message();
      const auto database = co_await client->command("CLIENT", "INFO");
      EXPECT_TRUE(database && database->text().find("db=2") != std::string_view::npos);
    };
    how.database = 2;
    how.password = "secret";
    EXPECT_EQ(run_tasks(1, with_client, +ping, how, &server), 0);
    how.user = "me";
    how.password = "other";
    EXPECT_EQ(run_tasks(1, with_client, +ping, how, &server), 0);
    how.password = "wrong";
    EXPECT_EQ(run_tasks(1, with_client, [](redis::client* client, real_server*) -> lv::task<> {
      const auto got = co_await client->ping();
      EXPECT_EQ(got.error(), failure::server);
      EXPECT_EQ(got.error().code(), "WRONGPASS");
    }, how, &server), 0);
    how.database = 0;
    how.user = how.password = "";
    EXPECT_EQ(run_tasks(1, with_client, [](redis::client* client, real_server*) -> lv::task<> {
      const auto got = co_await client->ping();
      EXPECT_EQ(got.error(), failure::server);
      EXPECT_EQ(got.error().code(), "NOAUTH");
    }, how, &server), 0);
  }
}

TEST(redis_server, killed_and_started_again_is_found_again) {
  NEEDS_REDIS_SERVER();
  real_server server;
  EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server* to) -> lv::task<> {
    EXPECT_TRUE((co_await client->set("a", "1")).has_value());
    struct waits {
      static lv::task<> for_long(redis::client* of, bool* told) {
        const auto got = co_await of->command(redis::no_deadline, "EVAL", "while true do end", 0);
        EXPECT_FALSE(got);
        EXPECT_TRUE(got.error().was_sent());
        EXPECT_TRUE(got.error() == io_failure::eof || got.error() == io_failure::reset) << got.error().message();
        *told = true;
      }
    };
    bool told = false;
    lv::scope callers;
    callers.spawn(waits::for_long, client, &told);
    co_await lv::sleep(50ms);
    to->kill();
    co_await callers.join();
    EXPECT_TRUE(told);
    // Down: it fails at once, as often as it is asked.
    bool refused = false;
    for (int i = 0; i < 1000 && !refused; i++) {
      const auto got = co_await client->get("a");
      EXPECT_FALSE(got);
      refused = got.error() == io_failure::refused && !got.error().was_sent();
      co_await lv::sleep(1ms);
    }
    EXPECT_TRUE(refused);
    to->start();
    bool back = false;
    for (int i = 0; i < 5000 && !back; i++) {
      const auto got = co_await client->get("a");
      back = got.has_value();
      EXPECT_FALSE(got && got->has_value()) << "it kept nothing";
      co_await lv::sleep(1ms);
    }
    EXPECT_TRUE(back);
    EXPECT_GE(client->look().connects, 2U);
    EXPECT_GE(client->look().failed_connects, 1U);
  }, patient(server.at()), &server), 0);
}

TEST(redis_server, transactions_are_whole_or_nothing) {
  NEEDS_REDIS_SERVER();
  real_server server;
  EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
    auto held = co_await client->open_session();
    EXPECT_TRUE(held);
    if (!held) co_return;
    EXPECT_TRUE((co_await held->command("WATCH", "n")).has_value());
    std::vector<redis::request> commands;
    commands.emplace_back("INCRBY", "n", 2);
    commands.emplace_back("LPUSH", "n", "x");
    auto all = co_await held->transaction(commands);
    EXPECT_TRUE(all && *all);
    if (!all || !*all) co_return;
    EXPECT_EQ((**all)[0].to_integer(), 2);
    EXPECT_EQ((**all)[1].error_code(), "WRONGTYPE") << "an error as a value";
    EXPECT_TRUE((co_await held->command("WATCH", "n")).has_value());
    EXPECT_EQ((co_await client->incr("n")).value_or(0), 3);
    all = co_await held->transaction(commands);
    EXPECT_TRUE(all && !*all) << "it was changed meanwhile";
    EXPECT_EQ((co_await client->incr("n")).value_or(0), 4) << "nothing was carried out";
    std::vector<redis::request> wrong;
    wrong.emplace_back("SET", "n");
    wrong.emplace_back("SET", "n", "9");
    all = co_await held->transaction(wrong);
    EXPECT_EQ(all.error(), failure::server);
    EXPECT_EQ(all.error().code(), "ERR") << all.error().message();
    EXPECT_EQ((co_await client->incr("n")).value_or(0), 5) << "nothing was carried out";
    EXPECT_TRUE(held->is_open());
  }, patient(server.at()), &server), 0);
}

TEST(redis_server, what_blocks_waits_on_a_session_and_holds_up_nobody) {
  NEEDS_REDIS_SERVER();
  real_server server;
  EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
    struct pops {
      static lv::task<> one(redis::client* of, std::string* into) {
        auto held = co_await of->open_session();
        EXPECT_TRUE(held);
        const auto got = co_await held->command(redis::no_deadline, "BLPOP", "queue", 0);
        EXPECT_TRUE(got && got->elements().size() == 2);
        if (got) *into = got->elements()[1].text();
      }
    };
    std::string got;
    lv::scope callers;
    callers.spawn(pops::one, client, &got);
    for (int i = 0; i < 100; i++) EXPECT_TRUE((co_await client->ping()).has_value());
    EXPECT_TRUE((co_await client->command("RPUSH", "queue", "work")).has_value());
    co_await callers.join();
    EXPECT_EQ(got, "work");
  }, patient(server.at()), &server), 0);
}

TEST(redis_server, messages_come_by_name_and_pattern_and_a_gap_is_told) {
  NEEDS_REDIS_SERVER();
  for (const bool resp3 : {true, false}) {
    SCOPED_TRACE(resp3 ? "RESP3" : "RESP2");
    real_server server;
    redis::options how = patient(server.at());
    how.resp3 = resp3;
    EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server* to) -> lv::task<> {
      const redis::topics wanted{.channels = {"orders"}, .patterns = {"news.*"}};
      auto listener = co_await client->subscribe(wanted);
      EXPECT_TRUE(listener);
      if (!listener) co_return;
      EXPECT_EQ((co_await client->publish("orders", "one")).value_or(0), 1);
      EXPECT_EQ((co_await client->publish("news.today", "two")).value_or(0), 1);
      EXPECT_EQ((co_await client->publish("other", "none")).value_or(1), 0);
      auto got = co_await listener->next();
      EXPECT_TRUE(got && got->channel == "orders" && got->payload == "one" && got->pattern.empty());
      got = co_await listener->next();
      EXPECT_TRUE(got && got->channel == "news.today" && got->payload == "two" && got->pattern == "news.*");
      to->kill();
      to->start();
      got = co_await lv::with_deadline(20s, listener->next());
      EXPECT_TRUE(got && got->what == redis::message::kind::gap) << (got ? got->payload : got.error().message());
      // The client's own connection comes back by itself, too.
      bool sent = false;
      for (int i = 0; i < 5000 && !sent; i++) {
        const auto heard = co_await client->publish("orders", "three");
        sent = heard.value_or(0) == 1;
        co_await lv::sleep(1ms);
      }
      EXPECT_TRUE(sent);
      got = co_await listener->next();
      EXPECT_TRUE(got && got->payload == "three");
    }, how, &server), 0);
  }
}

#ifdef LEVITY_ASAN
// c-ares 1.18 forgets the name of each look-up of "localhost", ten bytes.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares.so"; }
#endif

TEST(redis_server, is_found_by_name_and_number_over_tcp) {
  NEEDS_REDIS_SERVER();
  // A port that was free a moment ago.
  std::uint16_t port = 0;
  {
    auto probe = lv::tcp_listener::bind("127.0.0.1:0");
    ASSERT_TRUE(probe);
    port = probe->local_address().port();
  }
  real_server server({"--port", std::to_string(port), "--bind", "127.0.0.1"});
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    EXPECT_EQ(run_tasks(2, with_client, [](redis::client* client, real_server*) -> lv::task<> {
      const auto got = co_await client->ping();
      EXPECT_TRUE(got) << got.error().message();
    }, patient(host + ":" + std::to_string(port)), &server), 0);
  }
}
