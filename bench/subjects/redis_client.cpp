// What a command costs the client: CPU time of this process, beside a redis-server in another.
//
//   redis_client SOCKET pipelined|get COMMANDS
//
// pipelined: 100 tasks over one connection, each asks for its key again and again. get: one task, one command at a time.
#include <levity/levity.hpp>
#include <levity/redis/client.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "cpu_time.hpp"

namespace {

namespace lv = levity;
namespace redis = levity::redis;
using namespace std::chrono_literals;

constexpr int tasks = 100;

lv::task<> ask(redis::client* client, int who, long commands, long* good) {
  const std::string key = "key:" + std::to_string(who);
  for (long i = 0; i < commands; i++) {
    const auto got = co_await client->get(key);
    if (got && *got && **got == "value:" + key) ++*good;
  }
}

lv::task<int> measure(std::string socket, std::string mode, long commands) {
  redis::options how;
  how.address = socket;
  how.deadline = 30s;
  redis::client client(std::move(how));
  for (int i = 0; i < tasks; i++) {
    const std::string key = "key:" + std::to_string(i);
    const auto set = co_await client.set(key, "value:" + key);
    if (!set) {
      std::fprintf(stderr, "%s\n", set.error().message().c_str());
      co_return 1;
    }
  }
  const int callers = mode == "get" ? 1 : tasks;
  std::vector<long> good(tasks);
  const redis::figures before = client.look();
  const auto cpu = cpu_ns();
  const auto began = lv::clock::now();
  lv::scope all;
  for (int i = 0; i < callers; i++) all.spawn(ask, &client, i, commands / callers, &good[static_cast<std::size_t>(i)]);
  co_await all.join();
  const auto wall_ns = (lv::clock::now() - began).count();
  const auto used_ns = cpu_ns() - cpu;
  const redis::figures after = client.look();
  long answered = 0;
  for (const long each : good) answered += each;
  std::printf("{\"commands\": %ld, \"cpu_ns\": %lld, \"wall_ns\": %lld, \"writes\": %llu}\n", answered,
              static_cast<long long>(used_ns), static_cast<long long>(wall_ns),
              static_cast<unsigned long long>(after.writes - before.writes));
  co_return answered == commands / callers * callers ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  return lv::run(measure, std::string(words[1]), std::string(words[2]), std::atol(words[3]));
}
