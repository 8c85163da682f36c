// probe.hpp -- looks at the service ten times a second: GET /stats, its memory and its processor time from /proc.
//
// A look that the service does not answer stays empty: that it does not answer is the news. What /proc says is there all the same.
#pragma once

#include "load/target.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace levity::story {

/// What GET /stats told.
struct stats {
  std::uint64_t tasks = 0;
  std::uint64_t cache_get_p99_us = 0;
  std::uint64_t outside_calls = 0;
  std::uint64_t outside_failures = 0;
  nlohmann::ordered_json breakers = nlohmann::ordered_json::object();
  /// By service, the bookings that it has still to make: bookings.SERVICE.outstanding. Empty of a version that makes none later.
  std::optional<std::map<std::string, std::uint64_t>> owed;
};

/// Reads the body of GET /stats; empty when a field is missing or of the wrong type.
[[nodiscard]] std::optional<stats> read_stats(std::string_view body);

struct look {
  double at_s = 0;
  std::optional<stats> told;
  std::uint64_t rss_bytes = 0;
  double cpu_share = 0;            ///< of one processor, since the look before
  double generator_cpu_share = 0;  ///< of the generator, the same
};

/// Looks from the start of the load until it is asked to stop. One thread's work.
[[nodiscard]] std::vector<look> watch_service(const std::stop_token& ends, const load::target& where, int pid,
                                              std::shared_future<std::int64_t> started);

}  // namespace levity::story
