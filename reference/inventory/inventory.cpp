#include "reference/inventory/inventory.hpp"

#include <cstdio>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "reference/downstream/serve.hpp"
#include "reference/inventory/stock.hpp"

namespace http = levity::http;

namespace orders {
namespace {

constexpr std::uint64_t stock_at_start = 1'000'000;

struct inventory {
  inventory(weather_options pace, std::string path, std::uint64_t size) : common(pace, std::move(path), size) {}
  downstream common;
  std::mutex lock;  // never held over an await
  stock_book book{stock_at_start};
};

levity::task<> answer_when_durable(journal::ticket kept, http::status status, std::string body, http::response* out) {
  const bool durable = co_await journal::durable(std::move(kept));
  if (durable) send_json(*out, status, body);
  else http::write_problem(*out, http::status::service_unavailable, "The change could not be written.");
}

levity::task<> place(inventory* at, const http::request* asked, http::response* out) {
  const auto wanted = parse_reservation_request(asked->body());
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
    write_reservation(body, decided->made);
    // A repeat waits, too: the first of its key may be on its way to the disk.
    kept = repeated ? at->common.log.all_so_far() : at->common.log.append(stock_book::line_of(decided->made));
    if (!repeated) at->book.apply(std::move(decided->made));
  }
  co_await answer_when_durable(std::move(kept), repeated ? http::status::ok : http::status::created, std::move(body), out);
}

levity::task<> release(inventory* at, const http::route_match* found, http::response* out) {
  const std::string_view order = found->parameter("order");
  std::size_t released = 0;
  journal::ticket kept;
  {
    const std::lock_guard guard{at->lock};
    released = at->book.release(order);
    kept = released == 0 ? at->common.log.all_so_far() : at->common.log.append(stock_book::line_of_release(order));
  }
  co_await answer_when_durable(std::move(kept), http::status::ok, fmt::format(R"({{"released":{}}})", released), out);
}

levity::task<> tell_reservations(inventory* at, const http::route_match* found, http::response* out) {
  std::string body;
  {
    const std::lock_guard guard{at->lock};
    write_reservations(body, found->parameter("order"), at->book.of_order(found->parameter("order")));
  }
  send_json(*out, http::status::ok, body);
  co_return;
}

levity::task<> tell_stock(inventory* at, const http::route_match* found, http::response* out) {
  const std::string_view sku = found->parameter("sku");
  std::string body = R"({"sku":)";
  write_string(body, sku);
  {
    const std::lock_guard guard{at->lock};
    fmt::format_to(std::back_inserter(body), R"(,"free":{},"held":{}}})", at->book.free(sku), at->book.held(sku));
  }
  send_json(*out, http::status::ok, body);
  co_return;
}

void add_routes(http::server& server, inventory* at) {
  using http::method;
  using http::request;
  using http::response;
  using http::route_match;
  server.route(method::post, "/reservations", [at](const request& asked, const route_match&, response& out) {
    return serve_request(&at->common, [at, &asked, &out] { return place(at, &asked, &out); }, &out);
  });
  server.route(method::delete_, "/reservations/{order}", [at](const request&, const route_match& found, response& out) {
    return serve_request(&at->common, [at, &found, &out] { return release(at, &found, &out); }, &out);
  });
  server.route(method::get, "/reservations/{order}", [at](const request&, const route_match& found, response& out) {
    return tell_reservations(at, &found, &out);
  });
  server.route(method::get, "/stock/{sku}", [at](const request&, const route_match& found, response& out) {
    return serve_request(&at->common, [at, &found, &out] { return tell_stock(at, &found, &out); }, &out);
  });
  server.route(method::get, "/healthz", [](const request&, const route_match&, response& out) {
    return [](response* answer) -> levity::task<> {
      send_json(*answer, http::status::ok, R"({"status":"ok"})");
      co_return;
    }(&out);
  });
}

levity::task<int> serve_stock(downstream_options options) {
  const std::string path = options.data + "/reservations.log";
  const auto start = co_await open_downstream("inventory", options.data, path);
  if (!start) co_return start.error();
  inventory at{options.pace, path, start->size};
  for (const std::string& line : start->lines) {
    if (const auto replayed = at.book.replay(line); !replayed) {
      std::fprintf(stderr, "inventory: a line of %s %s; move the file away\n", path.c_str(), replayed.error().c_str());
      co_return 1;
    }
  }
  if (start->cut_bytes > 0) {
    std::fprintf(stderr, "inventory: %llu bytes at the end of %s were promised to nobody and are cut\n",
                 static_cast<unsigned long long>(start->cut_bytes), path.c_str());
  }
  std::fprintf(stderr, "inventory: %llu reservations from \"%s\"\n", static_cast<unsigned long long>(at.book.size()), path.c_str());
  http::server server;
  add_routes(server, &at);
  co_return co_await serve_downstream("inventory", options, at.common, server);
}

}  // namespace

int run_inventory(int argc, char** argv) {
  const auto options =
      read_downstream_options(argc, argv, "inventory", {"127.0.0.1:7072", "127.0.0.1:7172", "inventory-data", {}});
  if (!options) return 2;
  return levity::run(serve_stock, *options);
}

}  // namespace orders
