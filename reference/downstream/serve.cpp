#include "reference/downstream/serve.hpp"

#include <charconv>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "reference/named_file.hpp"

namespace http = levity::http;

namespace orders {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& into) {
  return !text.empty() && std::from_chars(text.data(), text.data() + text.size(), into).ptr == text.data() + text.size();
}

bool read_milliseconds(std::string_view text, levity::duration& into) {
  double count = 0;
  if (!read_number(text, count) || !(count >= 0) || count > 60'000) return false;
  into = std::chrono::duration_cast<levity::duration>(std::chrono::duration<double, std::milli>(count));
  return true;
}

void tell_fault(downstream* at, http::response& out) {
  const fault now = at->sky.look(levity::clock::now());
  const char* name = "none";
  switch (now.what) {
    case fault::kind::none: break;
    case fault::kind::slow: name = "slow"; break;
    case fault::kind::dead: name = "dead"; break;
    case fault::kind::refusing: name = "refusing"; break;
  }
  const double slow_ms = std::chrono::duration<double, std::milli>(now.slow).count();
  send_json(out, http::status::ok, fmt::format(R"({{"fault":"{}","slow_ms":{:g}}})", name, slow_ms));
}

void add_operator(http::server& server, downstream* at) {
  server.route(http::method::post, "/fault", [at](const http::request& asked, const http::route_match&, http::response& out) {
    return [](downstream* to, const http::request* wanted, http::response* answer) -> levity::task<> {
      const auto told = parse_fault(wanted->body());
      if (!told) {
        http::write_problem(*answer, http::status::unprocessable_content, told.error());
        co_return;
      }
      to->sky.set(*told, levity::clock::now());
      tell_fault(to, *answer);
    }(at, &asked, &out);
  });
  server.route(http::method::get, "/fault", [at](const http::request&, const http::route_match&, http::response& out) {
    return [](downstream* of, http::response* answer) -> levity::task<> {
      tell_fault(of, *answer);
      co_return;
    }(at, &out);
  });
}

// Whoever is held by an outage is let go when the service is told to end.
levity::task<> clear_up_at_the_end(weather* sky) {
  levity::event never;
  try {
    co_await never.wait();
  } catch (const levity::cancelled&) {
    sky->set({}, levity::clock::now());
  }
}

// The servers first, then the journal: what was accepted is written before the process ends.
levity::task<> serve_all(levity::tcp_listener* customers, levity::tcp_listener* operators, downstream* at, http::server* routes) {
  http::server faults;
  add_operator(faults, at);
  levity::scope keepers;
  keepers.spawn("journal", [](downstream* keeps) { return keeps->log.run(); }, at);
  const auto serve = [](http::server* serves, levity::tcp_listener* from) { return serves->serve(std::move(*from)); };
  levity::scope servers;
  servers.spawn("customers", serve, routes, customers);
  servers.spawn("operator", serve, &faults, operators);
  servers.spawn("end of the weather", clear_up_at_the_end, &at->sky);
  co_await servers.join();
  at->log.stop();
  co_await keepers.join();
}

}  // namespace

std::optional<downstream_options> read_downstream_options(int argc, char** argv, const char* name, downstream_options defaults) {
  downstream_options wanted = std::move(defaults);
  for (int i = 1; i < argc; i += 2) {
    const std::string_view word = argv[i];
    const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
    bool known = !value.empty();
    if (word == "--listen") wanted.listen = value;
    else if (word == "--operate") wanted.operate = value;
    else if (word == "--data") wanted.data = value;
    else if (word == "--service-time") known = read_milliseconds(value, wanted.pace.service_time);
    else if (word == "--jitter") known = read_milliseconds(value, wanted.pace.jitter);
    else if (word == "--seed") known = read_number(value, wanted.pace.seed);
    else known = false;
    if (!known) {
      std::fprintf(stderr, "%s: \"%s\" is no option, or its value is missing or malformed; use [--listen %s] [--operate %s] "
                           "[--data DIRECTORY] [--service-time MS] [--jitter MS] [--seed N]\n",
                   name, argv[i], wanted.listen.c_str(), wanted.operate.c_str());
      return std::nullopt;
    }
  }
  return wanted;
}

levity::task<std::expected<journal_start, int>> open_downstream(const char* name, std::string data, std::string path) {
  const auto made = co_await make_directories(data);
  if (!made) {
    std::fprintf(stderr, "%s: cannot make the directory \"%s\": %s\n", name, data.c_str(), cause_of(made.error()).c_str());
    co_return std::unexpected(2);
  }
  auto start = co_await open_journal(path);
  if (!start) {
    std::fprintf(stderr, "%s: %s\n", name, start.error().c_str());
    co_return std::unexpected(1);
  }
  co_return std::move(*start);
}

void send_problem(http::response& out, const problem& what) {
  std::string body;
  write_problem(body, what);
  out.set_status(static_cast<http::status>(what.status));
  out.set("Content-Type", "application/problem+json");
  out.set_body(body);
}

void send_json(http::response& out, http::status status, std::string_view body) {
  out.set_status(status);
  out.set("Content-Type", "application/json");
  out.set_body(body);
}

levity::task<int> serve_downstream(const char* name, const downstream_options& options, downstream& at, http::server& routes) {
  auto customers = levity::tcp_listener::bind(options.listen);
  auto operators = levity::tcp_listener::bind(options.operate);
  if (!customers || !operators) {
    const std::string& where = !customers ? options.listen : options.operate;
    const auto& error = !customers ? customers.error() : operators.error();
    std::fprintf(stderr, "%s: cannot listen at %s: %s\n", name, where.c_str(), error.message().c_str());
    co_return 1;
  }
  std::fprintf(stderr, "%s: the operator is listened to at http://%s\n", name, operators->local_address().to_string().c_str());
  std::fprintf(stderr, "%s: listening at http://%s\n", name, customers->local_address().to_string().c_str());
  co_await serve_all(&*customers, &*operators, &at, &routes);
  co_return 0;
}

}  // namespace orders
