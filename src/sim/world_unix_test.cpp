// Unix sockets of the hosts of a world: names that outlive a killed program, and do not outlive the power.

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>

#include "levity/levity.hpp"
#include "levity/sim/world.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr const char* name = "/run/a.sock";
constexpr int taken_code = 98;

task<> echo_one(unix_stream peer) {
  while (auto part = co_await peer.read_some()) {
    const auto sent = co_await peer.write_all(*part);
    if (!sent) co_return;
  }
}

// Serves until it is killed; ends at once where its name is taken.
task<int> serve_at(unix_bind_options how, bool removes) {
  (void)co_await make_directory("/run");
  if (removes) (void)co_await remove_file(name);
  auto listener = unix_listener::bind(name, {.bind = how});
  if (!listener) co_return listener.error() == io_failure::address_in_use ? taken_code : 1;
  const auto durable = co_await sync_directory("/run");
  if (!durable) co_return 2;
  scope connections{on_failure::report};
  while (auto peer = co_await listener->accept()) connections.spawn("echo", echo_one, std::move(*peer));
  co_await connections.join();
  co_return 0;
}

int run_plainly() { return run(serve_at, unix_bind_options{}, false); }
int run_and_replace() { return run(serve_at, unix_bind_options{.replace_stale = true}, false); }
int run_and_remove() { return run(serve_at, unix_bind_options{}, true); }

}  // namespace

TEST(world_unix, a_killed_program_leaves_its_name_behind_and_the_next_one_must_see_to_it) {
  for (const auto program : {run_plainly, run_and_replace, run_and_remove}) {
    world in(1);
    host& server = in.add_host("server", "10.0.0.1");
    server.start(program);
    in.play([&]() -> task<> {
      co_await sleep(1s);
      EXPECT_TRUE(server.is_running());
      server.kill();
      server.restart();
      co_await sleep(1s);
      EXPECT_EQ(server.is_running(), program != run_plainly);
      if (program == run_plainly) {
        EXPECT_EQ(server.exit_code(), taken_code);
      }
    });
  }
}

TEST(world_unix, a_program_that_ends_by_itself_takes_its_name_away) {
  world in(2);
  host& server = in.add_host("server", "10.0.0.1");
  server.start(run_plainly);
  in.play([&]() -> task<> {
    for (int i = 0; i < 3; i++) {
      co_await sleep(1s);
      EXPECT_TRUE(server.is_running());
      server.signal(SIGTERM);
      EXPECT_EQ(co_await server.ended(), 0);
      server.restart();
    }
  });
}

TEST(world_unix, a_loss_of_power_takes_the_name_although_its_directory_was_synced) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    world in(seed);
    host& server = in.add_host("server", "10.0.0.1");
    server.start(run_plainly);
    in.play([&]() -> task<> {
      for (int i = 0; i < 3; i++) {
        co_await sleep(1s);
        EXPECT_TRUE(server.is_running()) << "seed " << seed;
        server.cut_power();
        server.restart();
      }
    });
  }
}

TEST(world_unix, a_program_speaks_with_itself_and_the_name_is_a_file_of_its_host) {
  world in(3);
  host& server = in.add_host("server", "10.0.0.1");
  host& other = in.add_host("other", "10.0.0.2");
  const auto program = [] {
    auto early = unix_listener::bind("@early");  // before lv::run
    if (!early) return 70;
    return run(
        [](unix_listener* before) -> task<int> {
          auto client = co_await unix_stream::connect("@early");
          auto accepted = co_await before->accept();
          if (!client || !accepted) co_return 1;
          const auto missing = unix_listener::bind(name);
          if (missing || missing.error() != io_failure::not_found) co_return 2;  // its directory is not there
          (void)co_await make_directory("/run");
          auto listener = unix_listener::bind(name, {.bind = {.mode = 0600}});
          if (!listener) co_return 3;
          const auto opened = co_await file::open(name, {.read = true});
          if (opened || opened.error().code() != ENXIO) co_return 4;
          scope connections{on_failure::report};
          auto stream = co_await unix_stream::connect(name);
          auto peer = co_await listener->accept();
          if (!stream || !peer) co_return 5;
          connections.spawn("echo", echo_one, std::move(*peer));
          const auto sent = co_await stream->write_all("hello");
          std::string got;
          while (sent && got.size() < 5) {
            const auto part = co_await stream->read_some();
            if (!part) co_return 6;
            got.append(reinterpret_cast<const char*>(part->data()), part->size());
          }
          stream->close();
          co_await connections.join();
          const auto removed = co_await remove_file(name);
          const auto again = co_await unix_stream::connect(name);
          if (!removed || again || again.error() != io_failure::not_found) co_return 7;  // it listens, and nobody finds it
          co_return got == "hello" ? 0 : 8;
        },
        &*early);
  };
  server.start(program);
  other.start(program);
  in.play([&]() -> task<> {
    EXPECT_EQ(co_await server.ended(), 0);
    EXPECT_EQ(co_await other.ended(), 0);
  });
  EXPECT_FALSE(server.read_file(name));
}

// As a kernel does: by its number, whatever lies at the path by then.
TEST(world_unix, who_closes_removes_the_file_that_he_made_and_no_other) {
  world in(4);
  host& server = in.add_host("server", "10.0.0.1");
  server.start([] {
    return run([]() -> task<int> {
      (void)co_await make_directory("/run");
      auto first = unix_listener::bind(name);
      const auto removed = co_await remove_file(name);
      auto second = unix_listener::bind(name);
      if (!first || !removed || !second) co_return 1;
      first->close();
      if (!co_await unix_stream::connect(name)) co_return 2;
      second->close();
      const auto gone = co_await unix_stream::connect(name);
      co_return !gone && gone.error() == io_failure::not_found ? 0 : 3;
    });
  });
  in.play([&]() -> task<> { EXPECT_EQ(co_await server.ended(), 0); });
}

TEST(world_unix, a_link_leads_to_a_socket_and_is_never_a_stale_one) {
  world in(5);
  host& server = in.add_host("server", "10.0.0.1");
  server.start([] {
    return run([]() -> task<int> {
      constexpr const char* link = "/run/link.sock";
      (void)co_await make_directory("/run");
      (void)co_await make_symlink("a.sock", link);
      auto listener = unix_listener::bind(name, {.bind = {.replace_stale = true}});
      if (!listener) co_return 3;
      if (!co_await unix_stream::connect(link)) co_return 1;
      co_await sleep(1h);
      co_return 2;
    });
  });
  in.play([&]() -> task<> {
    co_await sleep(1s);
    EXPECT_TRUE(server.is_running());
    server.kill();
    server.start([] {
      return run([]() -> task<int> {
        constexpr const char* link = "/run/link.sock";
        const auto dead = co_await unix_stream::connect(link);
        if (dead || dead.error() != io_failure::refused) co_return 1;
        const auto replaced = unix_listener::bind(link, {.bind = {.replace_stale = true}});
        if (replaced || replaced.error() != io_failure::address_in_use) co_return 2;
        co_return unix_listener::bind(name, {.bind = {.replace_stale = true}}) ? 0 : 3;
      });
    });
    EXPECT_EQ(co_await server.ended(), 0);
  });
}

}  // namespace levity::sim
