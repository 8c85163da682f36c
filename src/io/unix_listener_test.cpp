// Unix listeners: names, files that come and go, who may connect, and that no connection is lost.

#include "levity/io/unix_listener.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/wait_seen.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::open_descriptors;
using levity::test::run_tasks;
using levity::test::temporary_folder;

namespace {

constexpr unsigned worker_counts[] = {1, 2, 4};

bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

// As a killed process leaves it behind.
void leave_stale(const std::string& path, int type = SOCK_STREAM) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ::close(fd);
}

lv::task<> echo(lv::unix_stream peer) {
  for (;;) {
    const auto chunk = co_await peer.read_some();
    if (!chunk) co_return;
    const auto sent = co_await peer.write_all(*chunk);
    if (!sent) co_return;
  }
}

lv::task<> serve(lv::unix_listener* listener) {
  lv::scope connections;
  for (;;) {
    auto peer = co_await listener->accept();
    if (!peer) break;
    connections.spawn(echo, std::move(*peer));
  }
  co_await connections.join();
}

lv::task<> ask(lv::unix_address to, int number) {
  auto peer = co_await lv::unix_stream::connect(to);
  EXPECT_TRUE(peer) << peer.error().message();
  if (!peer) co_return;
  const std::string said = "this is " + std::to_string(number);
  EXPECT_TRUE(co_await peer->write_all(said));
  std::string heard;
  while (heard.size() < said.size()) {
    const auto chunk = co_await peer->read_some();
    EXPECT_TRUE(chunk);
    if (!chunk) co_return;
    heard.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
  }
  EXPECT_EQ(heard, said);
}

}  // namespace

TEST(unix_address, is_read_as_it_is_written) {
  EXPECT_TRUE(lv::unix_address::parse("/run/a.sock")->is_path());
  EXPECT_TRUE(lv::unix_address::parse("@a")->is_abstract());
  EXPECT_EQ(lv::unix_address::parse("@a")->name(), "a");
  EXPECT_EQ(lv::unix_address::parse("@a")->to_string(), "@a");
  EXPECT_EQ(lv::unix_address::path("@a")->to_string(), "./@a");
  EXPECT_EQ(lv::unix_address::abstract(std::string_view("a\0\x1b", 3))->to_string(), "@a??");
  EXPECT_NE(*lv::unix_address::path("a"), *lv::unix_address::abstract("a"));
  EXPECT_TRUE(lv::unix_address{}.is_empty());
  EXPECT_TRUE(lv::unix_address::path(std::string(107, 'x')));
  EXPECT_FALSE(lv::unix_address::path(std::string(108, 'x')));
  EXPECT_FALSE(lv::unix_address::parse(""));
  EXPECT_FALSE(lv::unix_address::parse("@"));
  EXPECT_FALSE(lv::unix_address::path(std::string_view("a\0b", 3)));
  EXPECT_NE(lv::unix_address::parse(std::string(200, 'x')).error().find("200 bytes"), std::string::npos);
}

TEST(unix_listener, serves_by_path_and_by_abstract_name_bound_inside_and_before) {
  const temporary_folder folder;
  for (const unsigned workers : worker_counts) {
    const std::string abstract = "@levity-test-" + std::to_string(::getpid());
    for (const std::string& name : {folder.file("a.sock"), abstract}) {
      for (const bool early : {false, true}) {
        lv::unix_listener before;
        if (early) before = lv::unix_listener::bind(name).value();
        run_tasks(workers, [](lv::unix_listener given, std::string at) -> lv::task<> {
          lv::unix_listener listener = given.is_open() ? std::move(given) : lv::unix_listener::bind(at).value();
          const lv::unix_address where = listener.local_address();
          EXPECT_EQ(where.to_string(), at);
          lv::scope serving;
          serving.spawn(serve, &listener);
          lv::scope asking;
          for (int i = 0; i < 50; i++) asking.spawn(ask, where, i);
          co_await asking.join();
          serving.cancel();
          co_await serving.join();
        }, std::move(before), name);
        EXPECT_FALSE(exists(name));
      }
    }
  }
}

TEST(unix_listener, a_taken_path_is_refused_with_the_remedy_and_a_stale_one_is_replaced_if_asked) {
  const temporary_folder folder;
  const std::string path = folder.file("a.sock");
  leave_stale(path);
  const auto refused = lv::unix_listener::bind(path);
  ASSERT_TRUE(!refused && refused.error() == io_failure::address_in_use);
  EXPECT_NE(refused.error().message().find("replace_stale"), std::string::npos) << refused.error().message();
  EXPECT_NE(refused.error().message().find(path), std::string::npos) << refused.error().message();
  EXPECT_TRUE(exists(path));
  lv::unix_listen_options replace;
  replace.bind.replace_stale = true;
  auto taken = lv::unix_listener::bind(path, replace);
  ASSERT_TRUE(taken) << taken.error().message();
  // One that answers is never replaced, nor is what is no socket.
  const auto second = lv::unix_listener::bind(path, replace);
  EXPECT_TRUE(!second && second.error() == io_failure::address_in_use);
  run_tasks(1, [](lv::unix_listener listener) -> lv::task<> {
    auto both = co_await lv::when_all(lv::unix_stream::connect(listener.local_address()), listener.accept());
    EXPECT_TRUE(std::get<0>(both) && std::get<1>(both));
  }, std::move(*taken));
  EXPECT_FALSE(exists(path));
  std::ofstream(path) << "a file";
  const auto over_file = lv::unix_listener::bind(path, replace);
  EXPECT_TRUE(!over_file && over_file.error() == io_failure::address_in_use);
  EXPECT_TRUE(exists(path));
}

TEST(unix_listener, of_many_that_replace_a_stale_file_at_the_same_time_one_listens) {
  const temporary_folder folder;
  const std::string path = folder.file("a.sock");
  for (int round = 0; round < 20; round++) {
    leave_stale(path);
    int ready[2];
    int results[2];
    int over[2];
    ASSERT_EQ(::pipe(ready) | ::pipe(results) | ::pipe(over), 0);
    constexpr std::size_t rivals = 4;
    pid_t children[rivals];
    for (pid_t& child : children) {
      if (child = ::fork(); child != 0) continue;
      ::close(ready[1]);
      ::close(over[1]);
      char byte;
      [[maybe_unused]] ssize_t moved = ::read(ready[0], &byte, 1);  // ends when all are there
      lv::unix_listen_options replace;
      replace.bind.replace_stale = true;
      auto listener = lv::unix_listener::bind(path, replace);
      byte = listener ? '1' : listener.error() == io_failure::address_in_use ? '0' : 'x';
      moved = ::write(results[1], &byte, 1);
      moved = ::read(over[0], &byte, 1);  // ends when all have tried
      ::_exit(0);
    }
    for (const int each : {ready[0], ready[1], results[1], over[0]}) ::close(each);
    std::string seen;
    for (char byte; seen.size() < rivals && ::read(results[0], &byte, 1) == 1;) seen += byte;
    EXPECT_EQ(seen.size(), rivals);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), '1'), 1) << seen;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 'x'), 0) << seen;
    ::close(results[0]);
    ::close(over[1]);
    for (const pid_t child : children) EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    ::unlink(path.c_str());
  }
}

TEST(unix_listener, removes_the_file_it_made_and_no_other) {
  const temporary_folder folder;
  const std::string path = folder.file("a.sock");
  auto first = lv::unix_listener::bind(path).value();
  EXPECT_TRUE(exists(path));
  ASSERT_EQ(::unlink(path.c_str()), 0);
  auto second = lv::unix_listener::bind(path).value();
  first.close();
  EXPECT_TRUE(exists(path));
  lv::unix_listener moved = std::move(second);
  EXPECT_FALSE(second.is_open());
  EXPECT_TRUE(exists(path));
  moved.close();
  moved.close();
  EXPECT_FALSE(exists(path));
}

TEST(unix_listener, the_permissions_are_those_asked_for_whatever_the_umask) {
  const temporary_folder folder;
  const std::string path = folder.file("a.sock");
  const mode_t before = ::umask(0077);
  for (const unsigned mode : {0600u, 0660u, 0777u, 0000u}) {
    auto listener = lv::unix_listener::bind(path, {.bind = {.mode = mode}});
    EXPECT_TRUE(listener);
    struct stat status;
    EXPECT_EQ(::lstat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode);
  }
  auto usual = lv::unix_listener::bind(path);
  struct stat status;
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ::umask(before);
}

TEST(unix_listener, says_what_is_wrong) {
  const temporary_folder folder;
  EXPECT_EQ(lv::unix_listener::bind("").error(), io_failure::invalid);
  const lv::io_error too_long = lv::unix_listener::bind("/run/" + std::string(200, 'x')).error();
  EXPECT_EQ(too_long, io_failure::invalid);
  EXPECT_NE(too_long.message().find("\"/run/xxx"), std::string::npos) << too_long.message();
  EXPECT_NE(too_long.message().find("has 205 bytes"), std::string::npos) << too_long.message();
  EXPECT_EQ(lv::unix_listener::bind(folder.file("no/folder")).error(), io_failure::not_found);
  EXPECT_EQ(lv::unix_listener::adopt(-1).error(), io_failure::closed);
  EXPECT_EQ(lv::unix_listener::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)).error(), io_failure::invalid);
  leave_stale(folder.file("stale"));
  run_tasks(1, [](std::string in) -> lv::task<> {
    EXPECT_EQ((co_await lv::unix_stream::connect(in + "/none")).error(), io_failure::not_found);
    EXPECT_EQ((co_await lv::unix_stream::connect(in + "/stale")).error(), io_failure::refused);
    EXPECT_EQ((co_await lv::unix_stream::connect("")).error(), io_failure::invalid);
    lv::unix_listener closed;
    EXPECT_EQ((co_await closed.accept()).error(), io_failure::closed);
  }, folder.path());
}

TEST(unix_listener, a_connect_waits_for_room_in_the_backlog_and_answers_cancellation) {
  const temporary_folder folder;
  run_tasks(2, [](std::string path) -> lv::task<> {
    auto listener = lv::unix_listener::bind(path, {.backlog = 1}).value();
    std::vector<lv::unix_stream> queued;
    const auto try_connect = [](std::string to) -> lv::task<lv::io_result<lv::unix_stream>> {
      co_return co_await lv::unix_stream::connect(to);
    };
    for (;;) {
      auto peer = co_await lv::with_deadline(20ms, try_connect(path));
      if (!peer) {
        EXPECT_EQ(peer.error(), io_failure::timed_out);
        break;
      }
      queued.push_back(std::move(*peer));
    }
    EXPECT_GE(queued.size(), 1u);
    const auto connect = [](std::string to, lv::io_result<lv::unix_stream>* into, levity::test::task_place* self) -> lv::task<> {
      levity::test::be_seen(*self);
      *into = co_await lv::unix_stream::connect(to);
    };
    lv::io_result<lv::unix_stream> outcome;
    levity::test::task_place record{nullptr};
    lv::scope given_up;
    given_up.spawn(connect, path, &outcome, &record);
    EXPECT_EQ(co_await levity::test::wait_seen(&record), "unix connect (" + path + ")");
    given_up.cancel();
    co_await given_up.join();
    EXPECT_TRUE(!outcome && outcome.error() == io_failure::cancelled);
    lv::scope late;
    late.spawn(connect, path, &outcome, &record);
    co_await lv::sleep(1ms);
    for (std::size_t i = 0; i < queued.size(); i++) EXPECT_TRUE(co_await listener.accept());
    auto last = co_await listener.accept();
    co_await late.join();
    EXPECT_TRUE(last && outcome);
    const auto who = last->peer_credentials();
    EXPECT_TRUE(who && who->pid == ::getpid() && who->uid == ::getuid() && who->gid == ::getgid());
  }, folder.file("a.sock"));
}

TEST(unix_listener, an_accept_that_is_cancelled_before_while_or_at_the_same_time_loses_no_connection) {
  const temporary_folder folder;
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, [](std::string path) -> lv::task<> {
      auto listener = lv::unix_listener::bind(path).value();
      const auto accept = [](lv::unix_listener* from, lv::unix_stream* into) -> lv::task<> {
        auto peer = co_await from->accept();
        if (peer) {
          *into = std::move(*peer);
        } else {
          EXPECT_EQ(peer.error(), io_failure::cancelled);
        }
      };
      for (int i = 0; i < 1000 / levity::test::slow_build_factor + 3; i++) {
        lv::unix_stream accepted;
        lv::scope accepting;
        if (i == 0) accepting.cancel();
        accepting.spawn(accept, &listener, &accepted);
        if (i == 1) co_await lv::sleep(1ms);
        if (i == 1) accepting.cancel();
        auto client = co_await lv::unix_stream::connect(path);
        EXPECT_TRUE(client);
        accepting.cancel();
        co_await accepting.join();
        if (i < 2) {
          EXPECT_FALSE(accepted.is_open());
        }
        if (!accepted.is_open()) accepted = (co_await listener.accept()).value();
        EXPECT_TRUE(co_await client->write_all("x"));
        EXPECT_TRUE(co_await accepted.read_some());
      }
      const auto timed = [](lv::unix_listener* from) -> lv::task<io_failure> {
        const auto peer = co_await from->accept();
        co_return peer ? io_failure::other : peer.error().failure();
      };
      EXPECT_EQ(co_await lv::with_deadline(1ms, timed(&listener)), io_failure::timed_out);
    }, folder.file("a.sock"));
  }
}

TEST(unix_listener, one_that_was_stopped_refuses_new_connections_and_gives_out_those_that_wait) {
  const temporary_folder folder;
  const int before = open_descriptors();
  run_tasks(2, [](std::string path) -> lv::task<> {
    for (const std::string& name : {path, std::string("@levity-test-stop-") + std::to_string(::getpid())}) {
      auto listener = lv::unix_listener::bind(name).value();
      std::vector<lv::unix_stream> clients;
      for (int i = 0; i < 3; i++) clients.push_back((co_await lv::unix_stream::connect(name)).value());
      listener.stop();
      listener.stop();
      EXPECT_FALSE(exists(path));
      EXPECT_FALSE(co_await lv::unix_stream::connect(name));
      for (lv::unix_stream& client : clients) {
        auto peer = co_await listener.accept();
        EXPECT_TRUE(peer);
        if (!peer) co_return;
        EXPECT_TRUE(co_await peer->write_all("you were not forgotten"));
        EXPECT_TRUE(co_await client.read_some());
      }
      EXPECT_EQ((co_await listener.accept()).error(), io_failure::closed);
      EXPECT_EQ(listener.try_accept().error(), io_failure::closed);
    }
  }, folder.file("a.sock"));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(unix_listener, one_that_waits_is_told_when_it_is_stopped) {
  run_tasks(2, []() -> lv::task<> {
    auto listener = lv::unix_listener::bind("@levity-test-told-" + std::to_string(::getpid())).value();
    const auto accept = [](lv::unix_listener* from, levity::test::task_place* self) -> lv::task<> {
      levity::test::be_seen(*self);
      EXPECT_EQ((co_await from->accept()).error(), io_failure::closed);
    };
    levity::test::task_place record{nullptr};
    lv::scope waiting;
    waiting.spawn(accept, &listener, &record);
    (void)co_await levity::test::wait_seen(&record);
    listener.stop();
    co_await waiting.join();
  });
}
