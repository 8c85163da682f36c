#pragma once

#include <cstdint>
#include <string_view>

namespace levity::inline v0::http {

/// Status codes that have a name here; any other number from 100 to 599 can be cast to one.
enum class status : std::uint16_t {
  continue_ = 100,
  switching_protocols = 101,
  ok = 200,
  created = 201,
  accepted = 202,
  no_content = 204,
  reset_content = 205,
  partial_content = 206,
  moved_permanently = 301,
  found = 302,
  see_other = 303,
  not_modified = 304,
  temporary_redirect = 307,
  permanent_redirect = 308,
  bad_request = 400,
  unauthorized = 401,
  forbidden = 403,
  not_found = 404,
  method_not_allowed = 405,
  not_acceptable = 406,
  request_timeout = 408,
  conflict = 409,
  gone = 410,
  length_required = 411,
  precondition_failed = 412,
  content_too_large = 413,
  uri_too_long = 414,
  unsupported_media_type = 415,
  range_not_satisfiable = 416,
  expectation_failed = 417,
  unprocessable_content = 422,
  precondition_required = 428,
  too_many_requests = 429,
  fields_too_large = 431,
  internal_server_error = 500,
  not_implemented = 501,
  bad_gateway = 502,
  service_unavailable = 503,
  gateway_timeout = 504,
  version_not_supported = 505,
  insufficient_storage = 507,
};

[[nodiscard]] constexpr unsigned code(status which) noexcept { return static_cast<unsigned>(which); }

/// The reason phrase ("Not Found"), or the phrase of its class ("Client Error") for a code without a name. Never empty.
[[nodiscard]] std::string_view reason(status which) noexcept;

/// Whether an answer with this status never has a body: 1xx, 204, 304.
[[nodiscard]] constexpr bool has_no_body(status which) noexcept {
  return code(which) < 200 || which == status::no_content || which == status::not_modified;
}

}  // namespace levity::http
