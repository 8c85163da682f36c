// sim_world WHAT COUNT - simulated worlds of no particular service.
//   idle_hours COUNT   hours in which nothing happens, one after the other
//   pingpong COUNT     a message of 64 bytes from one host to another and back, so often
#include <levity/levity.hpp>
#include <levity/sim/world.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cpu_time.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view message = "the same sixty-four bytes each time, whichever way they are sent";
static_assert(message.size() == 64);

lv::task<bool> take_one(lv::tcp_stream* from) {
  std::size_t got = 0;
  while (got < message.size()) {
    const auto part = co_await from->read_some();
    if (!part) co_return false;
    got += part->size();
  }
  co_return true;
}

lv::task<int> answer_each() {
  auto listener = lv::tcp_listener::bind(":7000");
  if (!listener) co_return 1;
  auto peer = co_await listener->accept();
  if (!peer) co_return 1;
  for (;;) {
    const bool came = co_await take_one(&*peer);
    if (!came) co_return 0;
    const auto sent = co_await peer->write_all(message);
    if (!sent) co_return 0;
  }
}

int run_answers() { return lv::run(answer_each); }

struct spent {
  std::int64_t from_cpu_ns = cpu_ns();
  std::chrono::steady_clock::time_point from = std::chrono::steady_clock::now();

  void print(std::uint64_t count, std::uint64_t events) const {
    const std::int64_t cpu = cpu_ns() - from_cpu_ns;
    const std::chrono::nanoseconds wall = std::chrono::steady_clock::now() - from;
    std::printf("{\"count\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld, \"events\": %llu}\n",
                static_cast<unsigned long long>(count), static_cast<long long>(wall.count()), static_cast<long long>(cpu),
                static_cast<unsigned long long>(events));
  }
};

lv::task<int> sleep_for_hours(lv::sim::world* in, std::uint64_t count) {
  const std::uint64_t before = in->events();
  const spent since;
  for (std::uint64_t i = 0; i < count; i++) co_await lv::sleep(1h);
  since.print(count, in->events() - before);
  co_return 0;
}

lv::task<int> send_and_take(lv::sim::world* in, std::uint64_t count) {
  const lv::address at = *lv::address::parse("10.0.0.1:7000");
  auto stream = co_await lv::tcp_stream::connect(at);
  while (!stream) {
    co_await lv::sleep(1ms);
    stream = co_await lv::tcp_stream::connect(at);
  }
  const std::uint64_t before = in->events();
  const spent since;
  for (std::uint64_t i = 0; i < count; i++) {
    const auto sent = co_await stream->write_all(message);
    const bool came = sent && co_await take_one(&*stream);
    if (!came) co_return 1;
  }
  since.print(count, in->events() - before);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const std::uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (count == 0 || (what != "idle_hours" && what != "pingpong")) {
    std::fprintf(stderr, "usage: sim_world idle_hours|pingpong COUNT\n");
    return 2;
  }
  lv::sim::world world(1);
  if (what == "idle_hours") return world.play(sleep_for_hours, &world, count);
  world.add_host("other", "10.0.0.1").start(run_answers);
  return world.play(send_and_take, &world, count);
}
