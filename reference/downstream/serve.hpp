// serve.hpp — what both downstreams have in common around their state: options, weather, an operator's port, an end in order.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <levity/http/problem.hpp>
#include <levity/http/server.hpp>
#include <levity/levity.hpp>

#include "reference/downstream/journal.hpp"
#include "reference/downstream/weather.hpp"
#include "reference/order.hpp"

namespace orders {

struct downstream_options {
  std::string listen;
  std::string operate;  ///< where the operator is listened to
  std::string data;
  weather_options pace;
};

/// --listen, --operate, --data, --service-time MS, --jitter MS, --seed N; a complaint on standard error and nothing otherwise.
std::optional<downstream_options> read_downstream_options(int argc, char** argv, const char* name, downstream_options defaults);

/// Makes the directory of the options and opens the journal `path` in it. Otherwise a complaint on standard error, and the error is
/// the exit code.
levity::task<std::expected<journal_start, int>> open_downstream(const char* name, std::string data, std::string path);

/// What a downstream is, apart from what it keeps.
struct downstream {
  downstream(weather_options pace, std::string path, std::uint64_t size) : sky(pace), log(std::move(path), size) {}
  weather sky;
  journal log;
};

/// One request's way: the weather, the work (which fills `out`), the answer or none.
/// `work` is called once at most, and what it returns is awaited before the handler ends.
template <class Work>
levity::task<> serve_request(downstream* at, Work work, levity::http::response* out) {
  const weather::fate fate = co_await at->sky.meet();
  if (fate.works && !fate.refused) co_await work();
  if (fate.unanswered) co_await weather::outlast(fate.unanswered);
  if (fate.refused || fate.unanswered) {
    out->clear();
    levity::http::write_problem(*out, levity::http::status::service_unavailable, "The service is down.");
    if (fate.unanswered) out->close();
  }
}

/// An answer that is a problem of `what`'s status.
void send_problem(levity::http::response& out, const problem& what);
/// An answer of JSON.
void send_json(levity::http::response& out, levity::http::status status, std::string_view body);

/// Opens both ports, says so on standard error, serves until it is told to end. The exit code.
levity::task<int> serve_downstream(const char* name, const downstream_options& options, downstream& at,
                                   levity::http::server& routes);

}  // namespace orders
