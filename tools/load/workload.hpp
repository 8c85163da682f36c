// workload.hpp -- what is sent, and what becomes of it: the face the engine shows to those who drive mixed traffic.
#pragma once

#include "load/response_reader.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace levity::load {

using request_id = std::uint64_t;

/// How a request ended. Order and names are those of the reports.
enum class failure : std::uint8_t {
  none,
  refused,       ///< no connection could be opened to carry it
  reset,         ///< the connection broke under it
  eof,           ///< the peer closed before the whole answer was there
  timeout,       ///< sent, no whole answer in time
  unsent,        ///< waited for a free connection until its time was over
  bad_response,  ///< the answer is no HTTP/1.1, or more came than was asked for
  status_4xx,
  status_5xx,
  mismatch,  ///< the answer is well formed and wrong
};
inline constexpr std::size_t failure_kinds = 10;
inline constexpr std::array<std::string_view, failure_kinds> failure_names{
    "none", "refused", "reset", "eof", "timeout", "unsent", "bad_response", "status_4xx", "status_5xx", "mismatch"};

struct request_out {
  std::string& bytes;    ///< append the whole request; empty on entry
  bool to_head = false;  ///< set it when the method is HEAD
};

struct response_view {
  failure outcome = failure::none;           ///< none: `message` holds a whole answer, of any status
  const response_reader* message = nullptr;  ///< valid during the call only
  std::int64_t corrected_ns = 0;             ///< since the intended send time
  std::int64_t service_ns = 0;               ///< since the first byte was handed to the kernel

  [[nodiscard]] int status() const { return message == nullptr ? 0 : message->status(); }
  [[nodiscard]] std::string_view body() const { return message == nullptr ? std::string_view{} : message->body(); }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const {
    return message == nullptr ? std::nullopt : message->header(name);
  }
};

[[nodiscard]] constexpr failure by_status(int status) {
  return status >= 500 ? failure::status_5xx : status >= 400 ? failure::status_4xx : failure::none;
}

/// One workload serves one engine thread; no call overlaps another. Both calls lie on the path that is measured: what they
/// cost delays the requests that follow, and shows as send lag.
class workload {
public:
  virtual ~workload() = default;

  /// Writes request `id` (0, 1, 2, ... in the order of sending). False: there is nothing more to send, the run ends.
  virtual bool next(request_id id, request_out& out) = 0;

  /// Request `id` has ended, well or not; called exactly once for each that next() has written, except for those that a
  /// stopped run gives up. Returns what it counts as.
  virtual failure answered(request_id id, const response_view& answer) {
    static_cast<void>(id);
    return answer.outcome == failure::none ? by_status(answer.status()) : answer.outcome;
  }

  /// A request of the schedule has ended without having been written: no connection was free, or none could be opened.
  virtual void unwritten(std::int64_t intended_ns, std::int64_t end_ns, failure why) {
    static_cast<void>(intended_ns);
    static_cast<void>(end_ns);
    static_cast<void>(why);
  }
};

}  // namespace levity::load
