// orders_payment — a payment service that the order service calls: it takes money once for each Idempotency-Key.
//
//   orders_payment [--listen ADDRESS] [--operate ADDRESS] [--data DIRECTORY] [--service-time MS] [--jitter MS] [--seed N]
//
//   POST /charges           {"order":"ord_...","amount":1200}: 201; 200 for a repeat under the same Idempotency-Key, which is
//                           optional
//   GET  /charges/{order}   every charge of that order
//   GET  /healthz           200
//   POST /fault             at the operator's address; weather.hpp says what it takes
//
// A charge is answered when it is on the disk.

#include <cstdio>
#include <mutex>

#include <fmt/format.h>

#include "reference/downstream/serve.hpp"
#include "reference/payment/charges.hpp"

namespace http = levity::http;

namespace {

struct payment {
  payment(orders::weather_options pace, std::string path, std::uint64_t size) : common(pace, std::move(path), size) {}
  orders::downstream common;
  std::mutex lock;  // never held over an await
  orders::charge_book book;
};

levity::task<> place(payment* at, const http::request* asked, http::response* out) {
  const auto wanted = orders::parse_charge_request(asked->body());
  if (!wanted) {
    orders::send_problem(*out, wanted.error());
    co_return;
  }
  std::string body;
  bool repeated = false;
  orders::journal::ticket kept;
  {
    const std::lock_guard guard{at->lock};
    auto decided = at->book.decide(*wanted, asked->find("Idempotency-Key").value_or(""));
    if (!decided) {
      orders::send_problem(*out, decided.error());
      co_return;
    }
    repeated = decided->repeated;
    orders::write_charge(body, decided->made);
    // A repeat waits, too: the first of its key may be on its way to the disk.
    kept = repeated ? at->common.log.all_so_far() : at->common.log.append(orders::charge_book::line_of(decided->made));
    if (!repeated) at->book.apply(std::move(decided->made));
  }
  const bool durable = co_await orders::journal::durable(kept);
  if (!durable) {
    http::write_problem(*out, http::status::service_unavailable, "The charge could not be written.");
    co_return;
  }
  orders::send_json(*out, repeated ? http::status::ok : http::status::created, body);
}

levity::task<> tell(payment* at, const http::route_match* found, http::response* out) {
  std::string body;
  {
    const std::lock_guard guard{at->lock};
    orders::write_charges(body, found->parameter("order"), at->book.of_order(found->parameter("order")));
  }
  orders::send_json(*out, http::status::ok, body);
  co_return;
}

void add_routes(http::server& server, payment* at) {
  server.route(http::method::post, "/charges", [at](const http::request& asked, const http::route_match&, http::response& out) {
    return orders::serve_request(&at->common, [at, &asked, &out] { return place(at, &asked, &out); }, &out);
  });
  server.route(http::method::get, "/charges/{order}",
               [at](const http::request&, const http::route_match& found, http::response& out) { return tell(at, &found, &out); });
  server.route(http::method::get, "/healthz", [](const http::request&, const http::route_match&, http::response& out) {
    return [](http::response* answer) -> levity::task<> {
      orders::send_json(*answer, http::status::ok, R"({"status":"ok"})");
      co_return;
    }(&out);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const auto options =
      orders::read_downstream_options(argc, argv, "payment", {"127.0.0.1:7071", "127.0.0.1:7171", "payment-data", {}});
  if (!options) return 2;
  const std::string path = options->data + "/charges.log";
  auto start = orders::open_journal(path);
  if (!start) {
    std::fprintf(stderr, "payment: %s\n", start.error().c_str());
    return 1;
  }
  payment at{options->pace, path, start->size};
  for (const std::string& line : start->lines) {
    auto made = orders::charge_book::read_line(line);
    if (!made) {
      std::fprintf(stderr, "payment: a line of %s %s; move the file away\n", path.c_str(), made.error().c_str());
      return 1;
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
  return orders::serve_downstream("payment", *options, at.common, server);
}
