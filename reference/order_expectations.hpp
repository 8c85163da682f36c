// order_expectations: what must hold of the order service and its neighbours in a simulated world once all is well again. Each says
// so by sim::always(); the sentences are what the planted bugs of tests/sim/planted are found by.
#pragma once

#include <charconv>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/sim/properties.hpp>

#include "reference/order_customer.hpp"
#include "reference/order_world.hpp"

namespace orders::test {

/// Longer than an idle connection lives, with a client (30 s) or a server (75 s).
inline constexpr levity::duration calm = std::chrono::seconds(80);

inline std::size_t times_in(std::string_view text, std::string_view what) {
  std::size_t times = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) times++;
  return times;
}

/// The number of that name in a JSON text; -1: there is none.
inline std::int64_t number_in(std::string_view json, std::string_view name) {
  const std::string before = "\"" + std::string(name) + "\":";
  const std::size_t at = json.find(before);
  std::int64_t number = -1;
  if (at != std::string_view::npos) std::from_chars(json.data() + at + before.size(), json.data() + json.size(), number);
  return number;
}

/// The body of a good answer, asked for until there is one, for some seconds; empty: there was none.
inline levity::task<std::string> ask_until_told(levity::http::client* with, std::string url) {
  for (int i = 0; i < 50; i++) {
    const auto got = co_await with->get(url);
    if (got && got->ok()) co_return std::string(got->body());
    co_await levity::sleep(std::chrono::milliseconds(100));
  }
  co_return std::string();
}

/// What is held while nobody wants anything.
struct standing {
  std::int64_t tasks = 0;        ///< of the order service; a connection is one, too
  std::uint64_t frame_bytes = 0;  ///< of the tasks of all hosts: they live in one process
};

/// After a calm. What belongs to the process that simulates is not asked for over the network: a seed would not be one world.
inline levity::task<standing> look_around(levity::http::client* with) {
  const std::string told = co_await ask_until_told(with, std::string(shop) + "/stats");
  co_return standing{number_in(told, "tasks"), levity::frame_statistics().bytes_in_use};
}

/// After as long a calm as before.
inline levity::task<> expect_nothing_left(levity::http::client* with, standing before) {
  constexpr std::uint64_t frame_bytes_more_max = 64 * 1024;
  const standing now = co_await look_around(with);
  levity::sim::always(before.tasks > 0 && now.tasks > 0, "the service tells how many tasks it has");
  levity::sim::always(now.tasks <= before.tasks, "no task and no connection is left of what is over");
  levity::sim::always(now.frame_bytes <= before.frame_bytes + frame_bytes_more_max, "no memory of tasks is left of what is over");
}

/// Until it is cancelled: a program that was killed starts again, and none ends by itself.
inline levity::task<> watch_starts(order_hosts* w) {
  constexpr int killed = 128 + SIGKILL;
  for (;;) {
    for (const levity::sim::host* each : {&w->orders, &w->payment, &w->inventory}) {
      const std::optional<int> code = each->exit_code();
      levity::sim::always(!code || *code == killed, "a service that was killed, or lost its power, starts again");
    }
    co_await levity::sleep(std::chrono::milliseconds(50));
  }
}

/// Many customers at the same moment, at a service that stood still for as long as they took to come. Nothing is wrong otherwise.
inline levity::task<> rush(order_hosts* w, levity::http::client* with, ledger* told) {
  constexpr int customers = 10;
  w->orders.pause();
  levity::scope all;
  for (int i = 0; i < customers; i++) {
    all.spawn("customer", order_patiently, with, "rush-" + std::to_string(i), told, manners{});
  }
  co_await levity::sleep(std::chrono::milliseconds(20));
  w->orders.resume();
  co_await all.join();
  const bool is_well = told->failures == 0 && told->acknowledged.size() == customers;
  levity::sim::always(is_well, "in fair weather an order is taken at the first attempt");
}

/// By the service's own figures.
inline levity::task<> expect_settled(levity::http::client* with) {
  bool is_settled = false;
  for (int i = 0; i < 600 && !is_settled; i++) {
    const auto got = co_await with->get(std::string(shop) + "/stats");
    is_settled = got && got->ok() && times_in(got->body(), R"("outstanding":0,)") == 2;
    if (!is_settled) co_await levity::sleep(std::chrono::milliseconds(100));
  }
  levity::sim::always(is_settled, "what is owed is settled within a minute of the last fault");
}

/// A breaker needs calls to learn that all is well, and is half open for some of them: orders come, and soon nothing of them is
/// left for later, and the breakers are closed.
inline levity::task<> expect_calls_go_through(levity::http::client* with, ledger* told) {
  bool is_booked = false;
  bool is_closed = false;
  for (int i = 0; i < 40 && !(is_booked && is_closed); i++) {
    const std::uint64_t before = told->degraded;
    co_await order_patiently(with, "after-" + std::to_string(i), told, manners{});
    is_booked = told->degraded == before;
    const std::string stats = co_await ask_until_told(with, std::string(shop) + "/stats");
    is_closed = times_in(stats, R"("state":"closed")") == 2;
    if (!is_booked || !is_closed) co_await levity::sleep(std::chrono::milliseconds(500));
  }
  levity::sim::always(is_booked, "orders are booked while their customers wait, within 20 s of the last fault");
  levity::sim::always(is_closed, "the breakers are closed again");
}

/// Each order that was acknowledged is there, its customer has that one and no other, and readers were told the truth.
inline levity::task<> expect_kept(levity::http::client* with, const ledger* told) {
  for (const auto& [key, place] : told->acknowledged) {
    const auto got = co_await with->get(shop + place);
    const bool is_there = got && got->ok() && got->body().find("\"customer\":\"c-" + key + "\"") != std::string_view::npos;
    levity::sim::always(is_there, "an order that was acknowledged is there");
  }
  for (const auto& [key, place] : told->acknowledged) {
    const auto all = co_await with->get(std::string(shop) + "/orders?customer=c-" + key);
    levity::sim::always(all && all->ok(), "a list can be had when all is well");
    levity::sim::always(all && times_in(all->body(), "\"id\":") == 1, "each key makes one order");
  }
  for (const auto& [place, order] : told->shown) {
    const auto got = co_await with->get(shop + place);
    levity::sim::always(got && got->body() == order, "what a reader was shown stays so");
  }
}

/// By the books of those who book: the orders there are, each once.
inline levity::task<> expect_booked(order_hosts* w, levity::http::client* with, const ledger* told) {
  for (const auto& [key, place] : told->acknowledged) {
    const std::string order = place.substr(place.rfind('/') + 1);
    const std::string charges = co_await ask_until_told(with, "http://payment:7071/charges/" + order);
    const std::string reservations = co_await ask_until_told(with, "http://inventory:7072/reservations/" + order);
    const std::size_t charged = times_in(charges, R"("charge":"ch_)");
    const std::size_t reserved = times_in(reservations, R"("reservation":"res_)");
    levity::sim::always(charged <= 1 && reserved <= 1, "no order is charged or put aside twice");
    levity::sim::always(charged == 1 && reserved == 1, "what was ordered is charged and put aside");
  }
  // A line for each, whosesoever it is.
  const std::size_t charges = times_in(w->payment.read_file("/data/charges.log").value_or(""), "\n");
  const std::size_t reservations = times_in(w->inventory.read_file("/data/reservations.log").value_or(""), "\n");
  const std::size_t orders = told->acknowledged.size();
  levity::sim::always(charges == orders && reservations == orders, "nothing is booked but what was ordered");
}

/// Requests at the same moment, over as many connections; each is answered at the first attempt.
inline levity::task<> ask_at_once(levity::http::client* with, const char* expectation) {
  levity::scope all;
  for (int i = 0; i < 5; i++) {
    all.spawn("asks", [](levity::http::client* by, const char* what) -> levity::task<> {
      const auto got = co_await by->get(std::string(shop) + "/healthz/live");
      levity::sim::always(got && got->ok(), what);
    }, with, expectation);
  }
  co_await all.join();
}

/// Told to end, it ends, whoever keeps a connection that he does not use.
inline levity::task<> expect_end(order_hosts* w, levity::http::client* with) {
  constexpr levity::duration end_max = std::chrono::seconds(5);  // half a second of notice, a second for last words
  co_await ask_at_once(with, "the service tells that it lives");
  w->orders.signal(SIGTERM);
  const auto code = co_await levity::with_timeout(end_max, w->orders.ended());
  levity::sim::always(code.has_value(), "the service ends in time, whoever keeps a connection");
  levity::sim::always(code && *code == 0, "the service ends in order");
}

/// After expect_end(): it starts again, and of the connections that it has ended nobody notices anything.
inline levity::task<> expect_new_start(order_hosts* w, levity::http::client* with) {
  constexpr levity::duration start_max = std::chrono::seconds(5);
  if (w->orders.is_running()) co_return;  // which has been told
  w->orders.restart();
  co_await levity::sleep(start_max);
  co_await ask_at_once(with, "who asks over connections that a restart has ended is answered at the first attempt");
}

/// How often the log was begun anew, by the number of the newest one; of the first hundred.
inline unsigned rotations_of(const levity::sim::host& orders) {
  unsigned newest = 1;
  for (unsigned each = 2; each <= 100; each++) {
    const std::string digits = std::to_string(each);
    const std::string path = "/data/orders." + std::string(10 - digits.size(), '0') + digits + ".log";
    if (orders.read_file(path)) newest = each;
  }
  return newest - 1;
}

}  // namespace orders::test
