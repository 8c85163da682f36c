#include "reference/settings.hpp"

#include <algorithm>
#include <utility>

#include <levity/redis/options.hpp>

namespace orders {
namespace {

using levity::service::config_description;
using levity::service::log_level;
using outcome = std::expected<void, std::string>;

outcome check_url(const std::string& text) {
  if (text.empty()) return {};
  if (auto read = levity::http::url::parse(text); !read) return std::unexpected(read.error());
  return {};
}

outcome check_redis(const std::string& text) {
  if (text.empty()) return {};
  if (auto read = levity::redis::options::parse(text); !read) return std::unexpected(read.error());
  return {};
}

config_description<settings> describe() {
  const auto calls =
      config_description<outside_options>()
          .field("call_time_max", &outside_options::call_time_max,
                 {.doc = "how long a customer waits for a booking",
                  .min = std::chrono::milliseconds(1),
                  .max = std::chrono::seconds(10)})
          .field("concurrent_max", &outside_options::concurrent_max,
                 {.doc = "calls at once that customers wait for, to each service", .unit = "calls", .min = 1, .max = 10'000})
          .field("place_wait_max", &outside_options::place_wait_max,
                 {.doc = "how long one waits to be among them", .max = std::chrono::seconds(10)})
          .field("open_min", &outside_options::open_min,
                 {.doc = "how long a breaker is open at first", .min = std::chrono::milliseconds(2), .max = std::chrono::hours(1)})
          .field("open_max", &outside_options::open_max,
                 {.doc = "and at most", .min = std::chrono::milliseconds(2), .max = std::chrono::hours(1)});
  const auto cache =
      config_description<order_cache_options>()
          .field("capacity", &order_cache_options::capacity, {.doc = "of the cache", .unit = "orders", .min = 1})
          .field("ttl", &order_cache_options::ttl,
                 {.doc = "how long an order counts in the cache", .min = std::chrono::milliseconds(1)})
          .field("stale_max", &order_cache_options::stale_max, {.doc = "how long past its time it is better than nothing"})
          .field("get_time_max", &order_cache_options::get_time_max,
                 {.doc = "for all that is tried to read an order", .min = std::chrono::milliseconds(1)});
  return config_description<settings>("orders", "takes orders, and never loses one")
      .field("listen", &settings::listen, {.doc = "where it listens"})
      .field("data", &settings::data, {.doc = "the directory of the orders"})
      .field("compact_at", &settings::compact_at,
             {.doc = "the size of the log from which on a snapshot replaces it", .unit = "bytes"})
      .field("cut_damage", &settings::cut_damage,
             {.doc = "starts on files that break a promise, giving up what comes after the damage (kept beside as *.damaged)"})
      .field("payment", &settings::payment,
             {.doc = "where orders are charged: http://host:port; empty: nowhere", .check = check_url})
      .field("inventory", &settings::inventory,
             {.doc = "where goods are put aside: http://host:port; empty: nowhere", .check = check_url})
      .field("redis", &settings::redis,
             {.doc = "a copy for readers beside: unix:///path, redis://host:port; empty: none", .check = check_redis})
      .field("canary", &settings::canary,
             {.doc = "a file with an Istio VirtualService, whose subset `canary` gets the new "
                     "version of GET /orders/{id}; empty: none. Read again at a reload"})
      .choice("log_level", &settings::log_level,
              {{"debug", log_level::debug}, {"info", log_level::info}, {"warn", log_level::warn}, {"error", log_level::error}},
              {.doc = "lines below it are not written", .run_time = true})
      .field(
          "orders_at_once", &settings::orders_at_once,
          {.doc = "new orders that are worked at; more wait for a moment, or are told to come later", .unit = "orders", .min = 1})
      .field("drain_notice", &settings::drain_notice,
             {.doc = "how long it still accepts after SIGTERM, unready and with last answers; twice the probe's period"})
      .field("drain_bound", &settings::drain_bound, {.doc = "how long the end may take"})
      .section("outside", &settings::outside, calls)
      .section("cache", &settings::cache, cache)
      .check([](const settings& all) -> outcome {
        if (all.outside.open_max < all.outside.open_min)
          return std::unexpected("outside.open_max is shorter than outside.open_min");
        return {};
      });
}

}  // namespace

levity::task<std::expected<settings_in_force, levity::service::config_end>> read_settings(int argc, char** argv) {
  auto from = levity::service::config_sources::of_process(argc, argv, "ORDERS_");
  for (std::string& word : from.arguments) {
    if (word.starts_with("--") && word != "--print-config")
      std::replace(word.begin() + 2, word.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size())), '-', '_');
  }
  co_return co_await levity::service::config<settings>::load_inside(describe(), std::move(from));
}

booking_options booking_options_of(const settings& from) {
  booking_options made;
  if (!from.payment.empty()) made.payment = levity::http::url::parse(from.payment).value();
  if (!from.inventory.empty()) made.inventory = levity::http::url::parse(from.inventory).value();
  made.outside = from.outside;
  made.settlement.seed = static_cast<std::uint64_t>(levity::clock::now().time_since_epoch().count());
  return made;
}

}  // namespace orders
