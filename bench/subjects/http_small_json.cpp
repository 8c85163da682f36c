// http_small_json PORT - a service that answers GET /orders/{id} with a small JSON document, no option set.
#include <levity/http/server.hpp>
#include <levity/levity.hpp>

#include <cstdio>
#include <string>

namespace lv = levity;

namespace {

lv::task<> order(const lv::http::request&, const lv::http::route_match& route, lv::http::response& answer) {
  answer.set("Content-Type", "application/json");
  std::string& body = answer.body_buffer();
  body += "{\"id\":\"";
  body += route.parameter("id");
  body += "\",\"customer\":\"c-7\",\"status\":\"paid\",\"total_cents\":1999}";
  co_return;
}

lv::task<> serve(lv::tcp_listener listener) {
  lv::http::server service;
  service.route(lv::http::method::get, "/orders/{id}", order);
  co_await service.serve(std::move(listener));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: http_small_json PORT\n", stderr);
    return 2;
  }
  return lv::run(serve, lv::tcp_listener::bind(std::string("127.0.0.1:") + argv[1]).value());
}
