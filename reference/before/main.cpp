// orders_before — the order service before anybody has thought of bad days: what a team writes in a week and runs for a year.
//
//   orders_before [--listen ADDRESS] [--data DIRECTORY] [--payment ADDRESS] [--inventory ADDRESS]
//
// The routes and the store are those of `orders`; each new order is paid for and its goods are put aside before it is answered.
// It works, tests pass, and three decisions in it wait for a slow neighbour: one lock around the cache (order_cache.hpp); calls
// without pool, limit of time or key, tried again beside themselves (outside_call.hpp); no bound on what is under way.
//
//   GET /stats
//   {"tasks":..,"cache_gets":..,"cache_get_p99_us":..,"outside_calls":..,"outside_failures":..,"rss_bytes":..,"breakers":{}}

#include <levity/http/problem.hpp>
#include <levity/http/server.hpp>
#include <levity/levity.hpp>

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "reference/before/order_cache.hpp"
#include "reference/before/outside_call.hpp"
#include "reference/recovery.hpp"
#include "reference/service.hpp"
#include "reference/store.hpp"
#include "reference/wall_time.hpp"

namespace http = levity::http;

namespace {

struct settings {
  std::string listen = "127.0.0.1:7070";
  std::string data = "orders-data";
  std::string payment = "127.0.0.1:7071";
  std::string inventory = "127.0.0.1:7072";
};

struct service {
  service(orders::store& kept, const settings& wanted, levity::scope& attempts)
      : store(kept),
        cache(kept),
        payment(wanted.payment, figures, attempts),
        inventory(wanted.inventory, figures, attempts),
        common(kept) {}

  orders::store& store;
  orders::before::order_cache cache;
  orders::before::outside_figures figures;
  orders::before::outside payment;
  orders::before::outside inventory;
  orders::service common;  // lists and health
};

std::string charge_of(const orders::order_view& order) {
  std::uint64_t pieces = 0;
  for (const orders::order_item& item : order.contents) pieces += item.quantity;
  return fmt::format(R"({{"order":"{}","amount":{}}})", orders::order_id_text(order.id), pieces * 100);
}

std::string reservation_of(const orders::order_view& order) {
  std::string text = fmt::format(R"({{"order":"{}","items":[)", orders::order_id_text(order.id));
  bool first = true;
  for (const orders::order_item& item : order.contents) {
    fmt::format_to(std::back_inserter(text), R"({}{{"sku":"{}","quantity":{}}})", first ? "" : ",", item.sku, item.quantity);
    first = false;
  }
  return text + "]}";
}

void send(http::response& to, const orders::answer& from) {
  to.set_status(static_cast<http::status>(from.status));
  to.set("Content-Type", from.is_problem ? "application/problem+json" : "application/json");
  if (!from.location.empty()) to.set("Location", from.location);
  if (from.retry_later) to.set("Retry-After", "1");
  to.set_body(from.body);
}

void send(http::response& to, const orders::problem& what) {
  orders::answer answer;
  orders::tell(answer, what);
  send(to, answer);
}

levity::task<> place(service* does, const http::request* asked, http::response* out) {
  const auto wanted = orders::parse_new_order(asked->body());
  if (!wanted) {
    send(*out, wanted.error());
    co_return;
  }
  const auto placed = co_await does->store.place(*wanted, asked->find("Idempotency-Key").value_or(""));
  if (!placed) {
    send(*out, placed.error());
    co_return;
  }
  const orders::order_view& order = placed->order;
  if (!placed->repeated) {
    const auto paid = co_await does->payment.post("/charges", charge_of(order));
    if (!paid.good()) {
      http::write_problem(*out, http::status::bad_gateway, "The payment failed.");
      co_return;
    }
    const auto reserved = co_await does->inventory.post("/reservations", reservation_of(order));
    if (!reserved.good()) {
      http::write_problem(*out, http::status::bad_gateway, "The goods could not be put aside.");
      co_return;
    }
  }
  orders::answer answer;
  answer.status = placed->repeated ? 200 : 201;
  answer.location = "/orders/" + orders::order_id_text(order.id);
  orders::write_order(answer.body, order);
  if (!placed->repeated) co_await does->cache.put(orders::order_id_text(order.id), answer.body);
  send(*out, answer);
}

levity::task<> find(service* does, const http::route_match* found, http::response* out) {
  const auto json = co_await does->cache.get(std::string(found->parameter("id")));
  if (!json) {
    send(*out, json.error());
    co_return;
  }
  out->set("Content-Type", "application/json");
  out->set_body(*json);
}

levity::task<> change(service* does, const http::request* asked, const http::route_match* found, http::response* out) {
  orders::answer answer;
  const std::string id(found->parameter("id"));
  co_await does->common.change(id, asked->body(), answer);
  if (answer.status == 200) co_await does->cache.put(id, answer.body);
  send(*out, answer);
}

levity::task<> list(service* does, const http::request* asked, http::response* out) {
  orders::answer answer;
  co_await does->common.list(asked->query(), answer);
  send(*out, answer);
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

levity::task<> tell_stats(service* of, http::response* out) {
  const auto cache = of->cache.look();
  out->set("Content-Type", "application/json");
  out->set_body(fmt::format(R"({{"tasks":{},"cache_gets":{},"cache_get_p99_us":{},"outside_calls":{},"outside_failures":{},)"
                            R"("rss_bytes":{},"breakers":{{}}}})",
                            levity::live_tasks(), cache.gets, cache.get_p99_us, of->figures.calls.load(std::memory_order_relaxed),
                            of->figures.failures.load(std::memory_order_relaxed), resident_bytes()));
  co_return;
}

levity::task<> tell_health(service* of, http::response* out) {
  orders::answer answer;
  of->common.health(answer);
  send(*out, answer);
  co_return;
}

void add_routes(http::server& server, service* at) {
  using http::method;
  using http::request;
  using http::response;
  using http::route_match;
  server.route(method::post, "/orders",
               [at](const request& asked, const route_match&, response& to) { return place(at, &asked, &to); });
  server.route(method::get, "/orders",
               [at](const request& asked, const route_match&, response& to) { return list(at, &asked, &to); });
  server.route(method::get, "/orders/{id}",
               [at](const request&, const route_match& found, response& to) { return find(at, &found, &to); });
  server.route(method::patch, "/orders/{id}", [at](const request& asked, const route_match& found, response& to) {
    return change(at, &asked, &found, &to);
  });
  server.route(method::get, "/healthz", [at, &server](const request&, const route_match&, response& to) {
    at->common.connections.store(static_cast<std::int64_t>(server.look().connections), std::memory_order_relaxed);
    return tell_health(at, &to);
  });
  server.route(method::get, "/stats", [at](const request&, const route_match&, response& to) { return tell_stats(at, &to); });
}

levity::task<> serve(levity::tcp_listener* listener, orders::store* store, const settings* wanted) {
  levity::scope attempts{levity::on_failure::report};
  service does{*store, *wanted, attempts};
  http::server server;
  add_routes(server, &does);
  levity::scope parts;
  parts.spawn("order store", [](orders::store* keeps) { return keeps->run(); }, store);
  co_await server.serve(std::move(*listener));
  attempts.cancel();
  co_await attempts.join();
  store->stop();
  co_await parts.join();
}

std::string without_scheme(std::string_view address) {
  if (address.starts_with("http://")) address.remove_prefix(7);
  if (address.ends_with('/')) address.remove_suffix(1);
  return std::string(address);
}

bool read_settings(int argc, char** argv, settings& wanted) {
  for (int i = 1; i < argc; i++) {
    const std::string_view word = argv[i];
    std::string* into = nullptr;
    if (word == "--listen") into = &wanted.listen;
    else if (word == "--data") into = &wanted.data;
    else if (word == "--payment") into = &wanted.payment;
    else if (word == "--inventory") into = &wanted.inventory;
    if (into == nullptr || i + 1 == argc) {
      std::fprintf(stderr, "orders_before: \"%s\" is no option, or its value is missing; use [--listen 127.0.0.1:7070] "
                           "[--data DIRECTORY] [--payment 127.0.0.1:7071] [--inventory 127.0.0.1:7072]\n", argv[i]);
      return false;
    }
    *into = without_scheme(argv[++i]);
  }
  return true;
}

levity::task<int> live(const settings* wanted) {
  auto recovered = co_await orders::recover(wanted->data, {false, orders::wall_ns()});
  if (!recovered) {
    std::fprintf(stderr, "orders_before: %s\n", recovered.error().c_str());
    co_return 1;
  }
  for (const std::string& warning : recovered->warnings) std::fprintf(stderr, "orders_before: %s\n", warning.c_str());
  auto listener = levity::tcp_listener::bind(wanted->listen);
  if (!listener) {
    std::fprintf(stderr, "orders_before: cannot listen at %s: %s\n", wanted->listen.c_str(), listener.error().message().c_str());
    co_return 1;
  }
  std::fprintf(stderr, "orders_before: listening at http://%s\n", listener->local_address().to_string().c_str());
  orders::store store{std::move(*recovered), wanted->data};
  co_await serve(&*listener, &store, wanted);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  settings wanted;
  if (!read_settings(argc, argv, wanted)) return 2;
  return levity::run(live, &wanted);
}
