// settings: what the order service can be told, by flags, by ORDERS_ variables, by a file of TOML, in this order.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include <levity/levity.hpp>
#include <levity/service/config.hpp>
#include <levity/service/log.hpp>

#include "reference/bookings.hpp"
#include "reference/order_cache.hpp"

namespace orders {

struct settings {
  std::string listen = "127.0.0.1:7070";
  std::string data = "orders-data";
  std::uint64_t compact_at = std::uint64_t{64} << 20;
  bool cut_damage = false;
  std::string payment;
  std::string inventory;
  std::string redis;
  std::string canary;
  levity::service::log_level log_level = levity::service::log_level::info;
  std::uint32_t orders_at_once = 1'024;
  levity::duration drain_notice = std::chrono::milliseconds(500);
  levity::duration drain_bound = std::chrono::seconds(30);
  outside_options outside;
  order_cache_options cache;
};

using settings_in_force = std::unique_ptr<levity::service::config<settings>>;

/// Those of this process. Flags may be written with hyphens: --compact-at is compact_at.
levity::task<std::expected<settings_in_force, levity::service::config_end>> read_settings(int argc, char** argv);

/// What follows from them for the bookings. Addresses have been checked.
booking_options booking_options_of(const settings& from);

}  // namespace orders
