#pragma once

#include <cstdint>
#include <string_view>

namespace levity::inline v0::http {

/// Status codes that have a name here; any other number from 100 to 599 can be cast to one.
enum class status : std::uint16_t {
  continue_ = 100,               ///< the head is accepted, send the body
  switching_protocols = 101,     ///< the connection speaks another protocol from here on
  ok = 200,                      ///< it worked
  created = 201,                 ///< a resource was made; Location names it
  accepted = 202,                ///< taken, not done yet
  no_content = 204,              ///< it worked, and there is nothing to send
  reset_content = 205,           ///< it worked, clear the form
  partial_content = 206,         ///< the ranges that were asked for
  moved_permanently = 301,       ///< it is elsewhere for good; clients may turn POST into GET
  found = 302,                   ///< it is elsewhere for now; clients may turn POST into GET
  see_other = 303,               ///< look at the answer elsewhere, with GET
  not_modified = 304,            ///< what the client has is current
  temporary_redirect = 307,      ///< it is elsewhere for now; same method
  permanent_redirect = 308,      ///< it is elsewhere for good; same method
  bad_request = 400,             ///< the request cannot be understood
  unauthorized = 401,            ///< say who you are; WWW-Authenticate says how
  forbidden = 403,               ///< understood, and refused
  not_found = 404,               ///< nothing is there, or nobody will say
  method_not_allowed = 405,      ///< not with this method; Allow names those that work
  not_acceptable = 406,          ///< no form of it that the client takes
  request_timeout = 408,         ///< the request took too long to come
  conflict = 409,                ///< the state of the resource does not allow it
  gone = 410,                    ///< it was there and will not come back
  length_required = 411,         ///< send Content-Length
  precondition_failed = 412,     ///< an If- field of the request does not hold
  content_too_large = 413,       ///< the body is beyond the limit
  uri_too_long = 414,            ///< the target is beyond the limit
  unsupported_media_type = 415,  ///< the body's type or coding is not taken
  range_not_satisfiable = 416,   ///< no byte of the ranges is there
  expectation_failed = 417,      ///< what Expect asks for cannot be met
  unprocessable_content = 422,   ///< well formed, but what it says makes no sense
  precondition_required = 428,   ///< send an If-Match or its like
  too_many_requests = 429,       ///< slow down; Retry-After may say how much
  fields_too_large = 431,        ///< the fields are beyond the limit
  internal_server_error = 500,   ///< the server failed
  not_implemented = 501,         ///< the server does not know the method or coding
  bad_gateway = 502,             ///< a server behind this one answered badly
  service_unavailable = 503,     ///< not now; overload or a time limit
  gateway_timeout = 504,         ///< a server behind this one did not answer in time
  version_not_supported = 505,   ///< not this version of HTTP
  insufficient_storage = 507,    ///< there is no room to store it
};

/// The three digits.
[[nodiscard]] constexpr unsigned code(status which) noexcept { return static_cast<unsigned>(which); }

/// The reason phrase ("Not Found"), or the phrase of its class ("Client Error") for a code without a name. Never empty.
[[nodiscard]] std::string_view reason(status which) noexcept;

/// Whether an answer with this status never has a body: 1xx, 204, 304.
[[nodiscard]] constexpr bool has_no_body(status which) noexcept {
  return code(which) < 200 || which == status::no_content || which == status::not_modified;
}

}  // namespace levity::http
