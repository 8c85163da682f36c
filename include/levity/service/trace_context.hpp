#pragma once

// trace_context: which trace a request belongs to, as W3C Trace Context (level 1, 2021) has it in the field traceparent:
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   version, trace id, parent's span id, flags; lower-case hexadecimal
//
// What cannot be read is treated as absent: whoever gets it begins a trace of its own.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levity/base/rng.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/task_local.hpp"

namespace levity::inline v0::service {

/// Where one piece of work stands in a trace. A value of 25 bytes.
struct trace_context {
  std::array<std::uint8_t, 16> trace{};  ///< the whole trace; never all zero in one that was read or made
  std::array<std::uint8_t, 8> span{};    ///< this piece of work; never all zero
  std::uint8_t flags = 0;                ///< bit 0: somebody records this trace

  /// Reads a traceparent strictly: version 00 with nothing behind it; a later version, but for ff, by what 00 has in common with
  /// it. Upper-case digits, zero ids and other lengths are refused.
  static std::optional<trace_context> parse(std::string_view traceparent) noexcept;

  /// A new trace with a first span. `flags` 1: recorded.
  static trace_context begin(rng& chance, std::uint8_t flags = 1) noexcept;

  /// A piece of work within this one: the same trace and flags, a span of its own.
  [[nodiscard]] trace_context child(rng& chance) const noexcept;

  /// Whether somebody records it.
  [[nodiscard]] bool sampled() const noexcept { return (flags & 1) != 0; }

  /// The traceparent to send on, of version 00. Allocates.
  [[nodiscard]] std::string traceparent() const;
  /// The trace's id as 32 digits.
  [[nodiscard]] std::array<char, 32> trace_text() const noexcept;
  /// The span's id as 16 digits.
  [[nodiscard]] std::array<char, 16> span_text() const noexcept;

  friend bool operator==(const trace_context&, const trace_context&) noexcept = default;
};

/// The context of the request that the running task is at; inherited by what it spawns. A log writes it into its lines.
extern const task_local<trace_context> current_trace;

/// The id of the request that the running task is at; inherited by what it spawns. A log writes it into its lines.
extern const task_local<std::string> current_request_id;

/// Whether what a peer sent in X-Request-Id can be taken over: 1 to 128 letters, digits, and - _ . : / + = @, so that it does no
/// harm in a log or a header field.
[[nodiscard]] bool is_request_id(std::string_view text) noexcept;

/// Where ids of requests, traces and spans come from. Any thread; a lock for a few instructions.
class id_source {
public:
  /// From a seed: the same ids again, for tests and simulations.
  explicit id_source(std::uint64_t seed) noexcept : chance_(seed) {}
  /// From lv::random_seed(): unlike those of any other process; in a simulated run, from its seed.
  id_source();

  /// An id for a request: 32 hexadecimal digits.
  [[nodiscard]] std::string request_id();
  /// As trace_context::begin().
  [[nodiscard]] trace_context begin_trace(std::uint8_t flags = 1) noexcept;
  /// The context of a request that came with this traceparent: a child of it, or a trace of its own.
  [[nodiscard]] trace_context follow(std::string_view traceparent) noexcept;

private:
  levity::detail::spin_lock lock_;
  rng chance_;  // guarded by lock_
};

}  // namespace levity::service
