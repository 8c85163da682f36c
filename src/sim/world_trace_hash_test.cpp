// The trace hash: one altered choice, byte, timer or effect makes another one, and what is not altered is the same by every
// compiler and build.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "levity/resolve/resolver.hpp"
#include "levity/sim/fault_plan.hpp"
#include "levity/sim/world.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "runtime/runtime_core.hpp"
#include "sim/disk.hpp"

namespace levity::inline v0::sim {
namespace {

// What one of two scenarios has another way.
struct altered {
  char sent = 's';
  char written = 'w';
  duration pause = 10ms;
  duration limit = 5s;   // never passes
  duration moved = 2ms;  // to where a timer is moved
  std::string name = "alpha";
  std::vector<std::string> addresses{"10.0.0.1"};
  int signal = SIGWINCH;  // of which nobody takes notice
  duration ahead = 1s;
  duration latency = 100us;
  std::uint64_t bytes_per_second = 0;
  bool draws = false;
  bool pauses = false;
  bool hangs = false;
  bool has_another_task = false;
};

template <class Stream>
task<> echoes(Stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

task<> gives_way_often() {
  for (int i = 0; i < 20; i++) co_await yield();
}

template <class Stream>
task<bool> is_answered(Stream* stream, std::string_view text) {
  if (!co_await stream->write_all(text)) co_return false;
  std::string got;
  while (got.size() < text.size()) {
    const auto part = co_await stream->read_some();
    if (!part) co_return false;
    got.append(reinterpret_cast<const char*>(part->data()), part->size());
  }
  co_return got == text;
}

task<tcp_stream> connected(address to) {
  for (;;) {
    auto stream = co_await tcp_stream::connect(to);
    if (stream) co_return std::move(*stream);
    co_await sleep(1ms);
  }
}

task<> writes_lines(file* into, const altered* how) {
  for (int i = 0; i < 10; i++) {
    const std::string line(100, i == 5 ? how->written : 'w');
    const auto done = co_await into->append(line);
    if (!done) co_return;
    co_await sleep(3ms);
  }
}

task<int> serves(const altered* how) {
  auto lines = co_await file::open("/lines", {.write = true, .create = true, .append = true});
  auto listener = tcp_listener::bind(":7000");
  if (!lines || !listener) co_return 70;
  scope parts{on_failure::report};
  parts.spawn("lines", writes_lines, &*lines, how);
  while (auto peer = co_await listener->accept()) parts.spawn("echo", echoes<tcp_stream>, std::move(*peer));
  co_await parts.join();
  co_return 0;
}

task<int> asks(const altered* how) {
  const auto found = co_await resolve(how->name, "7000");
  if (!found || found->empty()) co_return 71;
  tcp_stream stream = co_await connected(found->front());
  if (how->draws) static_cast<void>(random_seed());
  scope beside;
  for (int i = 0; i < (how->has_another_task ? 6 : 5); i++) beside.spawn("busy", gives_way_often);
  bool all = true;
  for (int i = 0; i < 10; i++) {
    const std::string text(60, i == 5 ? how->sent : 's');
    const auto said = co_await with_timeout(how->limit, is_answered(&stream, text));
    all = all && said && *said;
    co_await sleep(how->pause);
  }
  timer last;
  last.arm(1ms);
  last.arm(how->moved);
  co_await last.wait();
  co_await beside.join();
  co_return all ? 0 : 72;
}

std::uint64_t hash_of(const altered& how) {
  world in(11);
  host& server = in.add_host("server", "10.0.0.1");
  host& client = in.add_host("client", "10.0.0.2");
  for (const char* each : {"alpha", "gamma"}) in.set_name(each, how.addresses);
  in.set_links({.latency = how.latency, .bytes_per_second = how.bytes_per_second});
  server.start([of = &how] { return run(serves, of); });
  client.start([of = &how] { return run(asks, of); });
  in.play([&]() -> task<> {
    co_await sleep(5ms);
    server.signal(how.signal);
    server.set_clock(how.ahead);
    if (how.pauses) {
      server.pause();
      server.resume();
    }
    if (how.hangs) {
      server.freeze_disk();
      server.thaw_disk();
    }
    EXPECT_EQ(co_await client.ended(), 0);
    server.signal(SIGTERM);
    EXPECT_EQ(co_await server.ended(), 0);
  });
  return in.trace_hash();
}

}  // namespace

TEST(trace_hash, changes_with_each_single_thing_that_is_altered) {
  const std::vector<std::pair<const char*, altered>> all{
      {"nothing", {}},
      {"a byte that is sent", {.sent = 't'}},
      {"a byte that is written to a file", {.written = 'x'}},
      {"a timer that fires, by a nanosecond", {.pause = 10ms + 1ns}},
      {"a timer that is taken back, by a nanosecond", {.limit = 5s + 1ns}},
      {"a timer that was moved, by a nanosecond", {.moved = 2ms + 1ns}},
      {"a name that is looked up", {.name = "gamma"}},
      {"an address that is answered, and not used", {.addresses = {"10.0.0.1", "10.0.0.9"}}},
      {"a signal of which nobody takes notice", {.signal = SIGURG}},
      {"a step of a wall clock that nobody reads", {.ahead = 1s + 1ns}},
      {"when a packet arrives, by a nanosecond", {.latency = 100us + 1ns}},
      {"how fast packets are sent", {.bytes_per_second = 1'000'000}},
      {"a number that is drawn, and not used", {.draws = true}},
      {"a pause of no time", {.pauses = true}},
      {"a disk that hangs for no time", {.hangs = true}},
      {"a task more", {.has_another_task = true}},
  };
  std::map<std::uint64_t, const char*> seen;
  for (const auto& [what, how] : all) {
    const std::uint64_t hash = hash_of(how);
    EXPECT_EQ(hash, hash_of(how)) << what << ": the same once more";
    const auto [place, is_new] = seen.emplace(hash, what);
    EXPECT_TRUE(is_new) << what << " cannot be told from: " << place->second;
  }
}

namespace {

task<> says_its_number(std::vector<int>* ran, int number) {
  ran->push_back(number);
  co_return;
}

task<> four_of_them(std::vector<int>* ran) {
  scope all;
  for (int i = 0; i < 4; i++) all.spawn("one", says_its_number, ran, i);
  co_await all.join();
}

// In which order four tasks run that have nothing to do with each other, nor with anything else.
std::vector<int> order_of(std::uint64_t seed, std::uint64_t& hash) {
  std::vector<int> ran;
  detail::sim_network network(5);
  const detail::sim_network::site_number site = network.add_site({});
  {
    detail::runtime_core core(detail::simulated_parts{.home = std::make_unique<detail::sim_reactor>(network, site), .seed = seed});
    core.runs.turn_here(0);
    auto frame = four_of_them(&ran).release_frame();
    core.runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
    while (!core.runs.turn_here(64)) {
    }
  }
  hash = network.trace_hash();
  return ran;
}

}  // namespace

TEST(trace_hash, tells_which_of_the_ready_tasks_ran_first) {
  std::map<std::vector<int>, std::uint64_t> orders;
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 100; seed += 2) {
    std::uint64_t hash = 0;
    const std::vector<int> ran = order_of(seed, hash);
    ASSERT_EQ(ran.size(), 4u);
    EXPECT_EQ(orders.emplace(ran, hash).first->second, hash) << "nothing but the order is another one";
    hashes.insert(hash);
  }
  EXPECT_GT(orders.size(), 10u);
  EXPECT_EQ(hashes.size(), orders.size());
}

namespace {

using detail::file_operation;

std::int64_t do_on(disk& one, file_operation::kind what, const char* path, std::int64_t fd, int flags, char* bytes,
                   std::size_t size) {
  file_operation operation;
  operation.what = what;
  operation.path = path;
  operation.fd = static_cast<std::int32_t>(fd);
  operation.flags = flags;
  operation.bytes = reinterpret_cast<std::byte*>(bytes);
  operation.size = size;
  return one.perform(operation);
}

}  // namespace

TEST(trace_hash, tells_what_a_loss_of_power_has_left_of_a_file) {
  std::map<std::vector<std::uint64_t>, std::string> left;
  std::set<std::string> contents;
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    std::vector<std::uint64_t> told;
    disk one(seed, [&told](std::uint64_t word) { told.push_back(word); });
    one.install("/file", std::string(1024, 'a'));
    std::string after(1024, 'b');
    const std::int64_t fd = do_on(one, file_operation::kind::open, "/file", -1, O_WRONLY, nullptr, 0);
    ASSERT_EQ(do_on(one, file_operation::kind::write, nullptr, fd, 0, after.data(), after.size()), 1024);
    one.crash();
    const std::string now = one.contents("/file").value_or("");
    ASSERT_EQ(now.size(), 1024u);
    const std::string sectors{now[0], now[512]};
    EXPECT_EQ(left.emplace(told, sectors).first->second, sectors) << "seed " << seed;
    contents.insert(sectors);
  }
  EXPECT_EQ(contents.size(), 4u);
}

TEST(trace_hash, tells_in_which_order_a_directory_was_listed) {
  std::map<std::vector<std::uint64_t>, std::string> lists;
  std::set<std::string> orders;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    std::vector<std::uint64_t> told;
    disk one(seed, [&told](std::uint64_t word) { told.push_back(word); });
    for (const char* each : {"/d/a", "/d/b", "/d/c"}) one.install(each, "text");
    std::string room(4096, '\0');
    const std::int64_t fd = do_on(one, file_operation::kind::open, "/d", -1, O_RDONLY | O_DIRECTORY, nullptr, 0);
    const std::int64_t got = do_on(one, file_operation::kind::list, nullptr, fd, 0, room.data(), room.size());
    ASSERT_GT(got, 0);
    std::string names;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      const auto* each = reinterpret_cast<const dirent64*>(room.data() + at);
      if (each->d_name[0] != '.') names += each->d_name;
      at += each->d_reclen;
    }
    EXPECT_EQ(lists.emplace(told, names).first->second, names) << "seed " << seed;
    orders.insert(names);
  }
  EXPECT_EQ(orders.size(), 6u);
}

namespace {

task<> writes_durably(file* into) {
  rng chance(random_seed());
  for (;;) {
    const std::string line(1 + chance.below(3000), 'd');
    const auto done = co_await into->append_durably(line);
    if (!done) co_return;
    co_await sleep(4ms);
  }
}

task<int> serves_durably() {
  auto lines = co_await file::open("/lines", {.write = true, .create = true, .append = true});
  const auto named = co_await sync_directory("/");
  auto listener = tcp_listener::bind(":7000");
  if (!lines || !named || !listener) co_return 70;
  scope parts{on_failure::report};
  parts.spawn("lines", writes_durably, &*lines);
  while (auto peer = co_await listener->accept()) parts.spawn("echo", echoes<tcp_stream>, std::move(*peer));
  co_await parts.join();
  co_return 0;
}

task<> asks_for_ever(int number) {
  rng chance(random_seed());
  for (;;) {
    const auto found = co_await resolve("alpha", "7000");
    const auto nobody = co_await resolve("omega", "7000");
    if (!found || nobody) co_return;
    auto stream = co_await tcp_stream::connect(found->front());
    while (stream) {
      const std::string text(1 + chance.below(5000), static_cast<char>('a' + number));
      const auto said = co_await with_timeout(100ms, is_answered(&*stream, text));
      if (!said || !*said) break;
      co_await sleep(2ms + chance.below(1000) * 1us);
    }
    co_await sleep(5ms);
  }
}

task<> three_ask() {
  scope all;
  for (int i = 0; i < 3; i++) all.spawn("asks", asks_for_ever, i);
  co_await all.join();
}

// Every kind of fault once, at a fixed moment, and then as they are drawn.
constexpr std::string_view one_of_each =
    "20ms pause server 15ms; 50ms cut client server 40ms; 100ms slow server client 60ms 5ms; 180ms lose server client 50ms 20%; "
    "240ms narrow server client 40ms 20000B/s; 300ms kill server 30ms; 350ms jump server 40ms -300ms; "
    "400ms drift client 50ms 200ppm; 460ms power server 30ms; 500ms slowdisk server 30ms 2ms; 550ms part server client 30ms; "
    "600ms kill client 20ms; 650ms power client 20ms";

std::uint64_t hash_of_everything(std::uint64_t seed) {
  world in(seed);
  host& server = in.add_host("server", "10.0.0.1");
  host& client = in.add_host("client", "10.0.0.2");
  in.set_name("alpha", {"10.0.0.1"});
  in.fail_name("omega", io_failure::timed_out, 20ms);
  in.set_links({.latency = 300us, .jitter = 200us, .bytes_per_second = 10'000'000, .loss = 0.01});
  server.install_file("/settings/of/server", "something");
  server.start([] { return run(serves_durably); });
  client.start([] { return run(three_ask); });
  const auto fixed = fault_plan::parse(one_of_each);
  EXPECT_TRUE(fixed) << fixed.error();
  if (!fixed) return 0;
  const fault_plan drawn = fault_plan::draw(in, {.from = 700ms, .horizon = 3s, .mean_gap = 100ms, .longest = 300ms});
  in.play([&]() -> task<> {
    scope faults;
    faults.spawn("fixed", follow, std::ref(in), *fixed);
    faults.spawn("drawn", follow, std::ref(in), drawn);
    co_await faults.join();
    co_await sleep(std::chrono::microseconds(in.draw(1000)));
    server.signal(SIGTERM);
    (void)co_await server.ended();
  });
  return in.trace_hash();
}

constexpr const char* neighbour = "/run/neighbour";

task<> answers_datagrams(udp_socket* at) {
  std::vector<std::byte> room(2048);
  for (;;) {
    const auto got = co_await at->receive_from(room);
    if (!got && got.error() == io_failure::cancelled) co_return;
    if (got) (void)co_await at->send_to(got->bytes, got->from);
  }
}

// Over a Unix socket, until it is cancelled.
task<> talks_to_neighbour() {
  rng chance(random_seed());
  for (;;) {
    auto stream = co_await unix_stream::connect(neighbour);
    while (stream) {
      const std::string text(1 + chance.below(20'000), 'u');
      const auto said = co_await with_timeout(10ms, is_answered(&*stream, text));
      if (!said || !*said) break;
      co_await sleep(3ms);
    }
    co_await sleep(5ms);
  }
}

task<int> serves_datagrams_and_neighbours() {
  (void)co_await make_directory("/run");
  auto datagrams = udp_socket::bind(":7001");
  auto listener = unix_listener::bind(neighbour, {.bind = {.replace_stale = true}});
  if (!datagrams || !listener) co_return 70;
  scope parts{on_failure::report};
  parts.spawn("datagrams", answers_datagrams, &*datagrams);
  parts.spawn("neighbour", talks_to_neighbour);
  while (auto peer = co_await listener->accept()) parts.spawn("echo", echoes<unix_stream>, std::move(*peer));
  co_await parts.join();
  co_return 0;
}

task<bool> is_answered_by_datagram(udp_socket* by, std::string_view text) {
  std::byte room[2048];
  if (!co_await by->send(text)) co_return false;
  co_return (co_await by->receive(room)).has_value();
}

task<> asks_by_datagrams() {
  rng chance(random_seed());
  for (;;) {
    auto mine = udp_socket::bind(":0");
    if (!mine || !mine->connect("10.0.0.1:7001")) co_return;
    for (int i = 0; i < 20; i++) {
      const std::string text(1 + chance.below(1400), 'g');
      (void)co_await with_timeout(5ms, is_answered_by_datagram(&*mine, text));
      co_await sleep(1ms);
    }
  }
}

std::uint64_t hash_of_datagrams_and_neighbours(std::uint64_t seed) {
  constexpr std::string_view faults =
      "20ms duplicate server client 60ms 30%; 100ms reorder client server 60ms 30%; 180ms lose server client 50ms 20%; "
      "240ms narrow server client 40ms 20000B/s; 300ms kill server 30ms; 360ms cut client server 40ms; 460ms power server 30ms; "
      "520ms part server client 30ms; 600ms pause server 20ms; 650ms kill client 20ms";
  world in(seed);
  host& server = in.add_host("server", "10.0.0.1");
  host& client = in.add_host("client", "10.0.0.2");
  in.set_links({.latency = 300us, .jitter = 200us, .loss = 0.01});
  server.start([] { return run(serves_datagrams_and_neighbours); });
  client.start([] { return run(asks_by_datagrams); });
  const auto plan = fault_plan::parse(faults);
  EXPECT_TRUE(plan) << plan.error();
  if (!plan) return 0;
  in.play([&]() -> task<> {
    co_await follow(in, *plan);
    co_await sleep(50ms);
    EXPECT_TRUE(server.is_running() && client.is_running());
  });
  return in.trace_hash();
}

}  // namespace

// Compilers may choose how long a frame is, in which order they evaluate arguments, how they hash strings and round: none of it may
// be seen. So every build comes to this number, and only a change of the simulation itself, or of what a stream, file or timer does
// in it, makes it another one. Then it is written here anew, after a look at why.
TEST(trace_hash, is_the_same_by_every_compiler_and_build) {
  constexpr std::uint64_t expected = 0x953f1d954410131f;
  EXPECT_EQ(hash_of_everything(20), expected) << std::hex << hash_of_everything(20);
}

TEST(trace_hash, of_datagrams_and_unix_sockets_is_the_same_by_every_compiler_and_build) {
  constexpr std::uint64_t expected = 0xa6c0ae77796d32fb;
  EXPECT_EQ(hash_of_datagrams_and_neighbours(21), expected) << std::hex << hash_of_datagrams_and_neighbours(21);
}

}  // namespace levity::sim
