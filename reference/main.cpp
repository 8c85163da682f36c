// orders — the reference service: orders are created, read, changed and listed over HTTP, and survive.
//
//   orders [--listen ADDRESS] [--data DIRECTORY] [--compact-at BYTES] [--cut-damage]
//
//   --compact-at   the size of the log from which on a snapshot replaces it; 64 MiB
//   --cut-damage   starts on files that break a promise, giving up what comes after the damage (kept beside as *.damaged)

#include <levity/http/server.hpp>
#include <levity/levity.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "reference/recovery.hpp"
#include "reference/service.hpp"
#include "reference/store.hpp"

namespace lv = levity;
namespace http = levity::http;

namespace {

struct settings {
  std::string listen = "127.0.0.1:7070";
  std::string data = "orders-data";
  bool cut_damage = false;
  orders::store_options store;
};

bool read_number(const char* text, std::uint64_t& into) {
  const char* const end = text + std::strlen(text);
  return text != end && std::from_chars(text, end, into).ptr == end;
}

// Carries an answer of the service over to HTTP. The body stays where the service wrote it.
void send(http::response& to, const orders::answer& from) {
  to.set_status(static_cast<http::status>(from.status));
  to.set("Content-Type", from.is_problem ? "application/problem+json" : "application/json");
  if (!from.location.empty()) to.set("Location", from.location);
  if (from.retry_later) to.set("Retry-After", "1");
  to.set_body(from.body);
}

void add_routes(http::server& server, orders::service& service) {
  using http::method;
  using http::request;
  using http::response;
  using http::route_match;
  orders::service* const serves = &service;
  server.route(method::post, "/orders", [serves](const request& asked, const route_match&, response& to) {
    return [](orders::service* does, const request* wanted, response* out) -> lv::task<> {
      orders::answer answer;
      co_await does->place(wanted->body(), wanted->find("Idempotency-Key").value_or(""), answer);
      send(*out, answer);
    }(serves, &asked, &to);
  });
  server.route(method::get, "/orders", [serves](const request& asked, const route_match&, response& to) {
    return [](orders::service* does, const request* wanted, response* out) -> lv::task<> {
      orders::answer answer;
      co_await does->list(wanted->query(), answer);
      send(*out, answer);
    }(serves, &asked, &to);
  });
  server.route(method::get, "/orders/{id}", [serves](const request&, const route_match& found, response& to) {
    return [](orders::service* does, const route_match* match, response* out) -> lv::task<> {
      orders::answer answer;
      co_await does->find(match->parameter("id"), answer);
      send(*out, answer);
    }(serves, &found, &to);
  });
  server.route(method::patch, "/orders/{id}", [serves](const request& asked, const route_match& found, response& to) {
    return [](orders::service* does, const request* wanted, const route_match* match, response* out) -> lv::task<> {
      orders::answer answer;
      co_await does->change(match->parameter("id"), wanted->body(), answer);
      send(*out, answer);
    }(serves, &asked, &found, &to);
  });
  server.route(method::get, "/healthz", [serves, &server](const request&, const route_match&, response& to) {
    serves->connections.store(static_cast<std::int64_t>(server.look().connections), std::memory_order_relaxed);
    return [](orders::service* does, response* out) -> lv::task<> {
      orders::answer answer;
      does->health(answer);
      send(*out, answer);
      co_return;
    }(serves, &to);
  });
}

// The server first, then the store: what was accepted is written before the process ends.
lv::task<> serve(lv::tcp_listener* listener, orders::store* store) {
  orders::service service{*store};
  http::server server;
  add_routes(server, service);
  lv::scope parts;
  parts.spawn("order store", [](orders::store* keeps) { return keeps->run(); }, store);
  co_await server.serve(std::move(*listener));
  store->stop();
  co_await parts.join();
}

bool read_settings(int argc, char** argv, settings& wanted) {
  for (int i = 1; i < argc; i++) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--listen") == 0 && has_value) {
      wanted.listen = argv[++i];
    } else if (std::strcmp(argv[i], "--data") == 0 && has_value) {
      wanted.data = argv[++i];
    } else if (std::strcmp(argv[i], "--compact-at") == 0 && has_value &&
               read_number(argv[i + 1], wanted.store.compact_log_size_min)) {
      i++;
    } else if (std::strcmp(argv[i], "--cut-damage") == 0) {
      wanted.cut_damage = true;
    } else {
      std::fprintf(stderr, "orders: \"%s\" is no option, or its value is missing; use [--listen 127.0.0.1:7070] "
                           "[--data DIRECTORY] [--compact-at BYTES] [--cut-damage]\n", argv[i]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  settings wanted;
  if (!read_settings(argc, argv, wanted)) return 2;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  auto recovered = orders::recover(
      wanted.data, {wanted.cut_damage, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()});
  if (!recovered) {
    std::fprintf(stderr, "orders: %s\n", recovered.error().c_str());
    return 1;
  }
  for (const std::string& warning : recovered->warnings) std::fprintf(stderr, "orders: %s\n", warning.c_str());
  auto listener = lv::tcp_listener::bind(wanted.listen);
  if (!listener) {
    std::fprintf(stderr, "orders: cannot listen at %s: %s\n", wanted.listen.c_str(), listener.error().message().c_str());
    return 1;
  }
  std::fprintf(stderr, "orders: %llu orders from \"%s\"; listening at http://%s\n",
               static_cast<unsigned long long>(recovered->orders.size()), wanted.data.c_str(),
               listener->local_address().to_string().c_str());
  orders::store store{std::move(*recovered), wanted.data, wanted.store};
  return lv::run(serve, &*listener, &store);
}
