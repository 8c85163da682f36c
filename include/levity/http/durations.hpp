#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "levity/http/method.hpp"

namespace levity::inline v0::http {

/// The upper ends, in seconds, of the buckets of http.client.request.duration and http.server.request.duration: those that
/// OpenTelemetry's semantic conventions advise. A duration that equals an end is counted below it.
inline constexpr std::array<double, 14> duration_bounds{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                                        0.5,   0.75, 1,     2.5,  5,     7.5, 10};

/// The durations of all requests that have these attributes in common. A copy.
struct duration_series {
  http::method method = http::method::get;  ///< http.request.method
  unsigned status = 0;                      ///< http.response.status_code; 0: there was none
  std::string error_type;                   ///< error.type; empty: it went well. A failure's name, or a status of 500 and above
  std::string server_address;               ///< server.address, of clients
  std::uint16_t server_port = 0;            ///< server.port, of clients
  std::string route;                        ///< http.route, of servers; empty: no route matched
  bool overflow = false;                    ///< otel.metric.overflow: all that found no place among the other series

  std::array<std::uint64_t, duration_bounds.size() + 1> buckets{};  ///< not cumulative; the last one is above all bounds
  std::uint64_t count = 0;                                          ///< the sum of all buckets
  double sum = 0;                                                   ///< of the durations, in seconds
};

/// The bucket for a duration in seconds.
[[nodiscard]] constexpr std::size_t duration_bucket(double seconds) noexcept {
  std::size_t at = 0;
  while (at < duration_bounds.size() && seconds > duration_bounds[at]) ++at;
  return at;
}

}  // namespace levity::http
