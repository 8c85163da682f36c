#include "reference/routes.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <levity/http/problem.hpp>
#include <levity/levity.hpp>

namespace http = levity::http;

namespace orders {
namespace {

// Carries an answer of the service over to HTTP. The body stays where the service wrote it.
void send(http::response& to, const answer& from) {
  to.set_status(static_cast<http::status>(from.status));
  to.set("Content-Type", from.is_problem ? "application/problem+json" : "application/json");
  if (!from.location.empty()) to.set("Location", from.location);
  if (!from.degraded.empty()) to.set("X-Levity-Degraded", from.degraded);
  if (from.retry_later) to.set("Retry-After", "1");
  to.set_body(from.body);
}

// The id that a request came with, or one of its own.
std::string id_of(const http::request& asked, levity::service::id_source& ids) {
  const std::string_view came = asked.find("X-Request-Id").value_or("");
  return levity::service::is_request_id(came) ? std::string(came) : ids.request_id();
}

levity::task<> place(served_by* by, const http::request* asked, http::response* out) {
  // Calls made for this request bear its id and belong to its trace.
  const auto id = levity::service::current_request_id.bind(id_of(*asked, by->ids));
  const auto trace = levity::service::current_trace.bind(by->ids.follow(asked->find("traceparent").value_or("")));
  out->set("X-Request-Id", *levity::service::current_request_id.get());
  auto inside = co_await by->door.admit();
  if (!inside) {
    http::write_problem(*out, http::status::service_unavailable, "More orders come than can be worked at; repeat it with its key.");
    out->set("Retry-After", "1");
    co_return;
  }
  answer made;
  co_await by->orders.place(asked->body(), asked->find("Idempotency-Key").value_or(""), made);
  inside->record(levity::verdict::success, levity::clock::now());
  send(*out, made);
}

levity::task<> list(served_by* by, const http::request* asked, http::response* out) {
  answer made;
  co_await by->orders.list(asked->query(), made);
  send(*out, made);
}

levity::task<> find(served_by* by, const http::request* asked, const http::route_match* match, http::response* out) {
  answer made;
  const levity::service::canary* const versions = by->figures.versions;
  if (versions == nullptr) {
    co_await by->orders.find(match->parameter("id"), made);
    send(*out, made);
    co_return;
  }
  const levity::time_point began = levity::clock::now();
  auto route = versions->route(*asked);
  co_await by->orders.find(match->parameter("id"), made, route.is_canary() ? rendering::with_pieces : rendering::plain);
  if (route) route.record(made.status < 500 ? levity::verdict::success : levity::verdict::failure, levity::clock::now() - began);
  out->set("X-Levity-Version", route.is_canary() ? "canary" : "stable");
  send(*out, made);
}

levity::task<> change(served_by* by, const http::request* asked, const http::route_match* match, http::response* out) {
  answer made;
  co_await by->orders.change(match->parameter("id"), asked->body(), made);
  send(*out, made);
}

levity::task<> health(served_by* by, const http::server* server, http::response* out) {
  by->orders.connections.store(static_cast<std::int64_t>(server->look().connections), std::memory_order_relaxed);
  answer made;
  by->orders.health(made);
  send(*out, made);
  co_return;
}

levity::task<> stats(served_by* by, http::response* out) {
  out->set("Content-Type", "application/json");
  co_await write_stats(out->body_buffer(), by->figures);
}

using probe = levity::service::health_answer (*)(served_by&);

levity::task<> tell_probe(served_by* by, probe asks, http::response* out) {
  const levity::service::health_answer said = asks(*by);
  if (said.good) {
    out->set("Content-Type", "application/json");
    out->set_body(R"({"status":"ok"})");
  } else {
    http::write_problem(*out, http::status::service_unavailable, said.why);
  }
  co_return;
}

void add_probe(http::server& server, served_by& by, std::string_view path, probe asks) {
  served_by* const at = &by;
  server.route(http::method::get, path, [at, asks](const http::request&, const http::route_match&, http::response& to) {
    return tell_probe(at, asks, &to);
  });
}

}  // namespace

void add_routes(http::server& server, served_by& by) {
  using http::method;
  using http::request;
  using http::response;
  using http::route_match;
  served_by* const at = &by;
  const http::server* const self = &server;
  server.route(method::post, "/orders",
               [at](const request& asked, const route_match&, response& to) { return place(at, &asked, &to); });
  server.route(method::get, "/orders",
               [at](const request& asked, const route_match&, response& to) { return list(at, &asked, &to); });
  server.route(method::get, "/orders/{id}", [at](const request& asked, const route_match& found, response& to) {
    return find(at, &asked, &found, &to);
  });
  server.route(method::patch, "/orders/{id}", [at](const request& asked, const route_match& found, response& to) {
    return change(at, &asked, &found, &to);
  });
  server.route(method::get, "/healthz",
               [at, self](const request&, const route_match&, response& to) { return health(at, self, &to); });
  server.route(method::get, "/stats", [at](const request&, const route_match&, response& to) { return stats(at, &to); });
  add_probe(server, by, "/healthz/live", [](served_by& of) { return of.probes.live(levity::clock::now()); });
  add_probe(server, by, "/healthz/ready", [](served_by& of) {
    of.probes.set(0, of.kept.look().failure.empty());
    return of.probes.ready(levity::clock::now());
  });
  add_probe(server, by, "/healthz/startup", [](served_by& of) { return of.probes.startup(); });
}

}  // namespace orders
