// http_dead_service PER_SECOND MILLISECONDS with|without - calls to a service that takes requests and answers none: so many a
// second for so long, through pipeline and fallback, with a breaker or without. Before it dies it answers as many for as long;
// then one caller asks it alone, one call after the other, until the breaker opens.
#include <levity/http/client.hpp>
#include <levity/http/server.hpp>
#include <levity/levity.hpp>
#include <levity/resilience/breaker.hpp>
#include <levity/resilience/fallback.hpp>
#include <levity/resilience/pipeline.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;

namespace {

constexpr lv::duration attempt_most = 100ms;
constexpr lv::duration deadline = 500ms;

struct service {
  lv::atomic<bool> dead{false};
  lv::atomic<std::uint64_t> arrived{0};
};

lv::task<> serve_one(service* of, http::response* out) {
  of->arrived.fetch_add(1, std::memory_order_relaxed);
  if (of->dead.load(std::memory_order_relaxed)) co_await lv::sleep(1h);
  out->set_body("well");
}

using answer = std::expected<http::answer, http::client_error>;

struct seen {
  lv::atomic<std::uint64_t> calls{0};
  lv::atomic<std::uint64_t> unanswered{0};
  lv::atomic<std::uint64_t> unmarked{0};
  lv::atomic<std::int64_t> slowest_ns{0};
};

lv::task<answer> fetch(http::client* client, const std::string* url) { co_return co_await client->get(*url); }

// The callers' side: everything between a customer's wish and his answer.
template <class Pipeline>
lv::task<> call(Pipeline* calls, http::client* client, const std::string* url, bool expects_mark, seen* into) {
  auto chain = lv::fallback(
      lv::rung{"service", [=](int) { return calls->run(lv::repeatable::yes, [=] { return fetch(client, url); }); }},
      lv::constant_rung("static", http::answer{}));
  const lv::time_point began = lv::clock::now();
  const auto got = co_await lv::with_timeout(deadline, chain.run(0));
  const std::int64_t took = (lv::clock::now() - began).count();
  into->calls.fetch_add(1, std::memory_order_relaxed);
  if (!got) into->unanswered.fetch_add(1, std::memory_order_relaxed);
  else if (expects_mark && !(*got)->is_degraded()) into->unmarked.fetch_add(1, std::memory_order_relaxed);
  std::int64_t slowest = into->slowest_ns.load(std::memory_order_relaxed);
  while (took > slowest && !into->slowest_ns.compare_exchange_weak(slowest, took, std::memory_order_relaxed)) {
  }
}

template <class Pipeline>
lv::task<> load(Pipeline* calls, http::client* client, const std::string* url, std::uint64_t per_second, lv::duration time,
                bool expects_mark, seen* into) {
  lv::scope callers{lv::on_failure::keep_going};
  const auto each = std::chrono::nanoseconds(1'000'000'000 / per_second);
  const lv::time_point begin = lv::clock::now();
  for (lv::time_point due = begin; due < begin + time; due += each) {
    co_await lv::sleep_until(due);
    callers.spawn(call<Pipeline>, calls, client, url, expects_mark, into);
  }
  co_await callers.join();
}

template <class... Breaker>
lv::task<> tell(service* of, const std::string* url, std::uint64_t per_second, lv::duration time, Breaker&... breaker) {
  lv::retry_policy policy;
  lv::retry_budget budget;
  http::client_options wide;
  wide.pool.per_host = wide.pool.idle_max = wide.pool.idle_per_host = 2000;
  http::client client{wide};
  auto calls = lv::pipeline(lv::total_timeout{deadline}, lv::retrying{policy, budget}, breaker...,
                            lv::attempt_timeout{attempt_most});
  seen well;
  seen dead;
  co_await load(&calls, &client, url, per_second, time, false, &well);
  of->dead.store(true, std::memory_order_relaxed);
  const std::uint64_t before = of->arrived.load(std::memory_order_relaxed);
  const auto well_calls = static_cast<long long>(well.calls.load(std::memory_order_relaxed));
  co_await load(&calls, &client, url, per_second, time, true, &dead);
  const std::uint64_t arrived = of->arrived.load(std::memory_order_relaxed) - before;
  long alone = -1;
  if constexpr (sizeof...(Breaker) > 0) {
    // A breaker that has seen ten good calls, and one caller.
    (breaker.force_closed(lv::clock::now()), ...);
    (breaker.automatic(lv::clock::now()), ...);
    of->dead.store(false, std::memory_order_relaxed);
    for (int i = 0; i < 10; i++) co_await call(&calls, &client, url, false, &well);
    of->dead.store(true, std::memory_order_relaxed);
    const std::uint64_t from = of->arrived.load(std::memory_order_relaxed);
    seen one_by_one;
    while (((breaker.look().state == lv::breaker_state::closed) && ...) && one_by_one.calls.load(std::memory_order_relaxed) < 50)
      co_await call(&calls, &client, url, true, &one_by_one);
    alone = static_cast<long>(of->arrived.load(std::memory_order_relaxed) - from);
  }
  const auto number = [](auto& of_it) { return static_cast<long long>(of_it.load(std::memory_order_relaxed)); };
  std::printf("{\"well_calls\":%lld,\"well_arrived\":%llu,\"well_unanswered\":%lld,\"calls\":%lld,\"arrived\":%llu,"
              "\"unanswered\":%lld,\"unmarked\":%lld,\"slowest_ms\":%.3f,\"deadline_ms\":%lld,\"opened_after\":%ld}\n",
              well_calls, static_cast<unsigned long long>(before), number(well.unanswered), number(dead.calls),
              static_cast<unsigned long long>(arrived), number(dead.unanswered), number(dead.unmarked),
              static_cast<double>(number(dead.slowest_ns)) / 1e6, static_cast<long long>(deadline / 1ms), alone);
}

lv::task<int> run(std::uint64_t per_second, lv::duration time, bool with_breaker) {
  service of;
  http::server_options open;
  open.connections_max = 5000;
  http::server server{open};
  server.route(http::method::get, "/", [&of](const http::request&, const http::route_match&, http::response& out) {
    return serve_one(&of, &out);
  });
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  const std::string url = "http://" + listener.local_address().to_string() + "/";
  lv::scope serving{lv::on_failure::keep_going};
  serving.spawn([](http::server* serves, lv::tcp_listener* at) { return serves->serve(std::move(*at)); }, &server, &listener);
  if (with_breaker) {
    lv::breaker breaker(lv::breaker_settings::article());
    co_await tell(&of, &url, per_second, time, breaker);
  } else {
    co_await tell(&of, &url, per_second, time);
  }
  std::fflush(stdout);
  std::_Exit(0);  // the dead ones sleep for an hour
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::uint64_t per_second = std::strtoull(argv[1], nullptr, 10);
  if (per_second == 0) return 2;
  return lv::run(run, per_second, std::chrono::milliseconds(std::strtoll(argv[2], nullptr, 10)), std::strcmp(argv[3], "with") == 0);
}
