#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/http/request.hpp"
#include "levity/http/status.hpp"

namespace levity::inline v0::http {

namespace detail {

// What of an answer outlives the reading: pieces lie in the text beside them. Reused.
struct kept_answer {
  response_head head;
  std::string head_text;
  std::vector<field_pieces> trailers;
  std::string trailer_text;

  void clear() noexcept;
};

class talk;

}  // namespace detail

/// Where the time of a request went. Of redirects, the last one; `total` is of all.
struct phase_timings {
  duration queue{};       ///< until there was a place among the connections to the host
  duration dns{};         ///< the look-up; 0 on a kept connection
  duration connect{};     ///< until a connection stood; 0 on a kept one
  duration first_byte{};  ///< from there to the first byte of the answer: sending, the server's work, the way back
  duration total{};       ///< from the call to the last byte of the answer
};

/// What a server answered. Meant to be reused: a client that is given one reuses its memory. Holds its own bytes; not thread-safe,
/// as any value.
class answer {
public:
  /// The status.
  [[nodiscard]] http::status status() const noexcept { return static_cast<http::status>(kept_.head.code); }
  /// Whether the status is from 200 to 299.
  [[nodiscard]] bool ok() const noexcept { return kept_.head.code >= 200 && kept_.head.code < 300; }
  /// The version of its first line.
  [[nodiscard]] http::version version() const noexcept { return kept_.head.version; }
  /// The header fields, in the order of the wire; views that live as long as this, and until it is changed or moved.
  [[nodiscard]] field_list fields() const noexcept { return {kept_.head_text.data(), kept_.head.fields}; }
  /// The value of the first field of that name; case is ignored. O(number of fields).
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept { return fields().find(name); }
  /// Fields after a chunked body, without those that must not stand there.
  [[nodiscard]] field_list trailers() const noexcept { return {kept_.trailer_text.data(), kept_.trailers}; }
  /// The whole body; empty where it is streamed.
  [[nodiscard]] std::string_view body() const noexcept { return body_; }
  /// Moves the body out.
  [[nodiscard]] std::string take_body() noexcept { return std::exchange(body_, {}); }
  /// What Content-Length said, which for HEAD and 304 is the length of what was not sent.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept { return kept_.head.content_length; }
  /// Where the time went.
  [[nodiscard]] const phase_timings& timings() const noexcept { return timings_; }
  /// How many redirects were followed.
  [[nodiscard]] unsigned redirects() const noexcept { return redirects_; }
  /// Whether the connection had been used before.
  [[nodiscard]] bool over_kept_connection() const noexcept { return kept_connection_; }

  /// As new; keeps memory.
  void clear() noexcept;

private:
  friend class detail::talk;

  detail::kept_answer kept_;
  std::string body_;
  phase_timings timings_;
  unsigned redirects_ = 0;
  bool kept_connection_ = false;
};

}  // namespace levity::http
