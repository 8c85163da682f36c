// One scenario for two networks: a server, and clients that connect and ask for small and large answers. On sockets of the kernel,
// with whatever `tc` has put between the two, and in a simulated world with links of the same numbers; against_kernel.py compares.
//
//     network_scenario serve ADDRESS                        until it is killed
//     network_scenario ask ADDRESS PLAN...                  against such a server
//     network_scenario simulate SEED LINK... PLAN...        both, and the network
//
//     PLAN  connections, milliseconds between them, small requests of each, large ones, milliseconds that they rest after each;
//           with a rest a connection is asked again and again for seven seconds
//     LINK  latency and jitter on top of it in microseconds, lost packets of a million, bytes a second (0: no limit), milliseconds
//           without a network, from 1.5 s on (0: none)
//
// Prints the latencies in microseconds, in JSON: "connect", "small", "large"; of a plan with a rest "slowest", the slowest request
// of each connection.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sim/world.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t request_bytes = 64;
constexpr std::size_t small_bytes = 64;
constexpr std::size_t large_bytes = std::size_t{64} * 1024;
constexpr lv::duration rests_for = 7s;
constexpr lv::duration parted_after = 1500ms;

// Neither kernel nor world shall cut an answer by how much it takes at a time.
constexpr int send_buffer_bytes = 256 * 1024;

struct plan {
  int connections = 0;
  lv::duration apart{};
  int small = 0;
  int large = 0;
  lv::duration rest{};
};

struct link {
  lv::duration latency{};
  lv::duration jitter{};
  double loss = 0;
  std::uint64_t bytes_per_second = 0;
  lv::duration parted{};
};

struct latencies {
  std::vector<lv::duration> connect;
  std::vector<lv::duration> small;
  std::vector<lv::duration> large;
  std::vector<lv::duration> slowest;
  int failed = 0;
};

// ---- the server ------------------------------------------------------------------------------------------------------

lv::task<> answer(lv::tcp_stream peer) {
  if (!peer.set_send_buffer(send_buffer_bytes)) co_return;
  const std::string text(large_bytes, 'x');
  std::size_t asked = 0;  // bytes of the request that is coming
  bool is_large = false;
  for (;;) {
    const auto chunk = co_await peer.read_some();
    if (!chunk) co_return;
    for (const std::byte each : *chunk) {
      if (asked == 0) is_large = each == std::byte{'l'};
      if (++asked < request_bytes) continue;
      asked = 0;
      const auto told = co_await peer.write_all(std::string_view(text).substr(0, is_large ? large_bytes : small_bytes));
      if (!told) co_return;
    }
  }
}

lv::task<int> serve(lv::address at) {
  auto listener = lv::tcp_listener::bind(at);
  if (!listener) co_return 1;
  lv::scope connections{lv::on_failure::report};
  for (;;) {
    auto peer = co_await listener->accept();
    if (!peer) break;
    connections.spawn("connection", answer, std::move(*peer));
  }
  co_await connections.join();
  co_return 0;
}

// ---- the clients -----------------------------------------------------------------------------------------------------

// How long it took; nothing if it failed. Of an answer the last byte counts.
lv::task<std::optional<lv::duration>> request(lv::tcp_stream* by, bool is_large) {
  const lv::time_point begun = lv::clock::now();
  const std::string text(request_bytes, is_large ? 'l' : 's');
  const auto sent = co_await by->write_all(text);
  if (!sent) co_return std::nullopt;
  for (std::size_t left = is_large ? large_bytes : small_bytes; left > 0;) {
    const auto chunk = co_await by->read_some();
    if (!chunk) co_return std::nullopt;
    left -= std::min(left, chunk->size());
  }
  co_return lv::clock::now() - begun;
}

lv::task<> converse(lv::address at, plan how, lv::duration wait, latencies* into) {
  const lv::time_point born = lv::clock::now();
  co_await lv::sleep(wait);
  const lv::time_point begun = lv::clock::now();
  auto stream = co_await lv::tcp_stream::connect(at);
  if (!stream) {
    into->failed++;
    co_return;
  }
  into->connect.push_back(lv::clock::now() - begun);
  lv::duration slowest{};
  for (int i = 0; how.rest > 0s ? lv::clock::now() - born < rests_for : i < how.small + how.large; i++) {
    const bool is_large = i % (how.small + how.large) >= how.small;
    const auto took = co_await request(&*stream, is_large);
    if (!took) {
      into->failed++;
      co_return;
    }
    (is_large ? into->large : into->small).push_back(*took);
    slowest = std::max(slowest, *took);
    if (how.rest > 0s) co_await lv::sleep(how.rest);
  }
  if (how.rest > 0s) into->slowest.push_back(slowest);
}

lv::task<> ask(lv::address at, plan how, latencies* into) {
  std::vector<latencies> found(static_cast<std::size_t>(how.connections));  // of each its own: they run on several workers
  lv::scope clients{lv::on_failure::report};
  for (int i = 0; i < how.connections; i++) {
    clients.spawn("client", converse, at, how, i * how.apart, &found[static_cast<std::size_t>(i)]);
  }
  co_await clients.join();
  for (const latencies& each : found) {
    for (const auto of : {&latencies::connect, &latencies::small, &latencies::large, &latencies::slowest}) {
      (into->*of).insert((into->*of).end(), (each.*of).begin(), (each.*of).end());
    }
    into->failed += each.failed;
  }
}

void print(const latencies& of) {
  const auto list = [](const char* name, const std::vector<lv::duration>& all) {
    std::printf("\"%s\": [", name);
    for (std::size_t i = 0; i < all.size(); i++) {
      std::printf("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(all[i] / 1us));
    }
    std::printf("], ");
  };
  std::printf("{");
  list("connect", of.connect);
  list("small", of.small);
  list("large", of.large);
  list("slowest", of.slowest);
  std::printf("\"failed\": %d}\n", of.failed);
}

// ---- the world -------------------------------------------------------------------------------------------------------

lv::task<> part(lv::sim::world* in, lv::sim::host* from, lv::duration how_long) {
  co_await lv::sleep(parted_after);
  in->part(in->here(), *from);
  co_await lv::sleep(how_long);
  in->heal();
}

lv::task<> ask_in_world(lv::sim::world* in, lv::sim::host* server, lv::address at, link by, plan how, latencies* into) {
  lv::scope beside{lv::on_failure::report};
  if (by.parted > 0s) beside.spawn("partition", part, in, server, by.parted);
  co_await ask(at, how, into);
  co_await beside.join();
}

int simulate(std::uint64_t seed, const link& by, const plan& how) {
  lv::sim::world world(seed);
  lv::sim::host& server = world.add_host("server", "10.0.0.2");
  const lv::sim::link_options options{
      .latency = by.latency, .jitter = by.jitter, .bytes_per_second = by.bytes_per_second, .loss = by.loss};
  world.set_link(world.here(), server, options);
  world.set_link(server, world.here(), options);
  const lv::address at = *lv::address::parse("10.0.0.2:7000");
  server.start([at] { return lv::run(serve, at); });
  latencies found;
  const int code = world.play(ask_in_world, &world, &server, at, by, how, &found);
  print(found);
  return code;
}

// ---- words -----------------------------------------------------------------------------------------------------------

long number(char** words) { return std::strtol(*words, nullptr, 10); }

plan plan_of(char** words) {
  return {.connections = static_cast<int>(number(words)),
          .apart = number(words + 1) * 1ms,
          .small = static_cast<int>(number(words + 2)),
          .large = static_cast<int>(number(words + 3)),
          .rest = number(words + 4) * 1ms};
}

link link_of(char** words) {
  return {.latency = number(words) * 1us,
          .jitter = number(words + 1) * 1us,
          .loss = static_cast<double>(number(words + 2)) / 1e6,
          .bytes_per_second = static_cast<std::uint64_t>(number(words + 3)),
          .parted = number(words + 4) * 1ms};
}

lv::task<int> ask_and_print(lv::address at, plan how) {
  latencies found;
  co_await ask(at, how, &found);
  print(found);
  co_return 0;
}

int usage() {
  std::fprintf(stderr, "usage: network_scenario serve ADDRESS | ask ADDRESS PLAN... | simulate SEED LINK... PLAN...\n");
  return 2;
}

}  // namespace

int main(int count, char** words) {
  const std::string_view what = count > 1 ? words[1] : "";
  if (what == "simulate" && count == 13) {
    return simulate(static_cast<std::uint64_t>(number(words + 2)), link_of(words + 3), plan_of(words + 8));
  }
  const auto at = lv::address::parse(count > 2 ? words[2] : "");
  if (!at) return usage();
  if (what == "serve" && count == 3) return lv::run(serve, *at);
  if (what == "ask" && count == 8) return lv::run(ask_and_print, *at, plan_of(words + 3));
  return usage();
}
