#include "reference/payment/payment.hpp"

#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "reference/downstream/serve.hpp"
#include "reference/payment/charges.hpp"

namespace http = levity::http;

namespace orders {
namespace {

struct payment {
  payment(weather_options pace, std::string path, std::uint64_t size) : common(pace, std::move(path), size) {}
  downstream common;
  std::mutex lock;  // never held over an await
  charge_book book;
};

levity::task<> place(payment* at, const http::request* asked, http::response* out) {
  const auto wanted = parse_charge_request(asked->body());
  if (!wanted) {
    send_problem(*out, wanted.error());
    co_return;
  }
  std::string body;
  bool repeated = false;
  journal::ticket kept;
  {
    const std::lock_guard guard{at->lock};
    auto decided = at->book.decide(*wanted, asked->find("Idempotency-Key").value_or(""));
    if (!decided) {
      send_problem(*out, decided.error());
      co_return;
    }
    repeated = decided->repeated;
    write_charge(body, decided->made);
    // A repeat waits, too: the first of its key may be on its way to the disk.
    kept = repeated ? at->common.log.all_so_far() : at->common.log.append(charge_book::line_of(decided->made));
    if (!repeated) at->book.apply(std::move(decided->made));
  }
  const bool durable = co_await journal::durable(kept);
  if (!durable) {
    http::write_problem(*out, http::status::service_unavailable, "The charge could not be written.");
    co_return;
  }
  send_json(*out, repeated ? http::status::ok : http::status::created, body);
}

levity::task<> tell(payment* at, const http::route_match* found, http::response* out) {
  std::string body;
  {
    const std::lock_guard guard{at->lock};
    write_charges(body, found->parameter("order"), at->book.of_order(found->parameter("order")));
  }
  send_json(*out, http::status::ok, body);
  co_return;
}

void add_routes(http::server& server, payment* at) {
  server.route(http::method::post, "/charges", [at](const http::request& asked, const http::route_match&, http::response& out) {
    return serve_request(&at->common, [at, &asked, &out] { return place(at, &asked, &out); }, &out);
  });
  server.route(http::method::get, "/charges/{order}",
               [at](const http::request&, const http::route_match& found, http::response& out) { return tell(at, &found, &out); });
  server.route(http::method::get, "/healthz", [](const http::request&, const http::route_match&, http::response& out) {
    return [](http::response* answer) -> levity::task<> {
      send_json(*answer, http::status::ok, R"({"status":"ok"})");
      co_return;
    }(&out);
  });
}

levity::task<int> serve_charges(downstream_options options) {
  const std::string path = options.data + "/charges.log";
  const auto start = co_await open_downstream("payment", options.data, path);
  if (!start) co_return start.error();
  payment at{options.pace, path, start->size};
  for (const std::string& line : start->lines) {
    auto made = charge_book::read_line(line);
    if (!made) {
      std::fprintf(stderr, "payment: a line of %s %s; move the file away\n", path.c_str(), made.error().c_str());
      co_return 1;
    }
    at.book.apply(std::move(*made));
  }
  if (start->cut_bytes > 0) {
    std::fprintf(stderr, "payment: %llu bytes at the end of %s were promised to nobody and are cut\n",
                 static_cast<unsigned long long>(start->cut_bytes), path.c_str());
  }
  std::fprintf(stderr, "payment: %llu charges from \"%s\"\n", static_cast<unsigned long long>(at.book.size()), path.c_str());
  http::server server;
  add_routes(server, &at);
  co_return co_await serve_downstream("payment", options, at.common, server);
}

}  // namespace

int run_payment(int argc, char** argv) {
  const auto options = read_downstream_options(argc, argv, "payment", {"127.0.0.1:7071", "127.0.0.1:7171", "payment-data", {}});
  if (!options) return 2;
  return levity::run(serve_charges, *options);
}

}  // namespace orders
