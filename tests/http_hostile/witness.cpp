// witness: says what levity's server and client made of the bytes that others sent them. Driven by the tests beside it.
//
//   witness serve [PATIENCE_MS]   a server on a free port, told on the first line. Whoever is let in, by any method and path, is
//                                 answered by the field `Saw`: the method, the target, the host, and how long the body was and what
//                                 it said. The body is empty, so that the answer to HEAD looks like the others. PATIENCE_MS bounds
//                                 a head, and a request.
//   witness ask                   reads lines "METHOD URL" to the end, then asks each by one client, one after the other, and
//                                 prints a line for each: `answer STATUS LENGTH:BODY`, or `failed FAILURE REFUSAL`.

#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "levity/http/client.hpp"
#include "levity/http/server.hpp"
#include "levity/levity.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;

// As long as it is, and the first bytes of it, the odd ones as dots.
std::string body_text(std::string_view body) {
  constexpr std::size_t shown_max = 24;
  std::string text = std::to_string(body.size()) + ":";
  for (const char c : body.substr(0, shown_max)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    text.push_back(plain ? c : '.');
  }
  return text;
}

lv::task<> tell(const http::request& asked, const http::route_match&, http::response& to) {
  std::string saw(to_string(asked.method()));
  saw.append(" ").append(asked.target()).append(" ").append(asked.host().empty() ? "-" : asked.host());
  saw.append(" ").append(body_text(asked.body()));
  to.set("Saw", saw);
  co_return;
}

lv::task<> serve(lv::tcp_listener listener, http::server_options options) {
  http::server server{options};
  using http::method;
  for (const method which : {method::get, method::head, method::post, method::put, method::delete_, method::options, method::trace,
                             method::patch}) {
    std::string pattern = "/";
    server.route(which, pattern, tell);
    for (std::size_t segment = 0; segment < http::route_match::parameters_max; ++segment) {
      pattern.append(segment == 0 ? "{" : "/{").append(1, static_cast<char>('a' + segment)).append("}");
      server.route(which, pattern, tell);
    }
  }
  co_await server.serve(std::move(listener));
}

lv::task<> ask(std::vector<std::string> lines) {
  http::client client;
  for (const std::string& line : lines) {
    const std::size_t space = line.find(' ');
    const auto which = http::method_from(std::string_view(line).substr(0, space));
    http::outgoing asked{which.value_or(http::method::get), line.substr(space + 1)};
    const auto got = co_await client.send(std::move(asked));
    std::string said;
    if (got) {
      said = "answer " + std::to_string(code(got->status())) + " " + body_text(got->body());
    } else {
      said = "failed " + std::string(to_string(got.error().failure())) + " " + std::string(to_string(got.error().refused()));
    }
    std::puts(said.c_str());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view role = count > 1 ? arguments[1] : "";
  if (role == "serve") {
    http::server_options options;
    if (count > 2) {
      const std::string_view text = arguments[2];
      unsigned ms = 0;
      std::from_chars(text.data(), text.data() + text.size(), ms);
      options.head_timeout = options.request_timeout = std::chrono::milliseconds(ms);
    }
    auto listener = lv::tcp_listener::bind("127.0.0.1:0");
    if (!listener) return std::puts(listener.error().message().c_str()), 1;
    std::puts(listener->local_address().to_string().c_str());
    std::fflush(stdout);
    return lv::run(serve, std::move(*listener), options);
  }
  if (role == "ask") {
    std::vector<std::string> lines;
    for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
    return lv::run(ask, std::move(lines));
  }
  std::fputs("usage: witness serve [PATIENCE_MS] | witness ask\n", stderr);
  return 2;
}
