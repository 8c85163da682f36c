#pragma once

// virtual_service: an Istio VirtualService as a value, for a program that routes by the file that the mesh routes by.
//
// What of networking.istio.io (v1, v1beta1, v1alpha3) is understood, and how:
//
//   metadata              name, namespace; the rest says nothing about routes
//   spec.hosts            kept; spec.gateways, spec.exportTo: which proxies a mesh tells, read over
//   spec.http[]           in order; the first whose match holds is taken, one without match always holds
//     name
//     match[]             any of them; within one all that is said:
//       headers           exact, prefix, regex; {} alone: it is there. Names without regard to case
//       withoutHeaders    the same, and does not hold
//       uri, method       exact, prefix, regex; uri is the path, without the query
//       ignoreUriCase     for exact and prefix
//     route[]             destination.host, .subset, .port.number; weight, a part of the sum of all
//     timeout             "2s", "1m30s"
//     retries             attempts, perTryTimeout, retryOn
//     mirror, mirrorPercentage
//     fault               delay.fixedDelay, abort.httpStatus, each with percentage.value
//
// Everything else is refused: what Istio knows, with the reason; what it does not, with what was probably meant. A file that is
// half understood would send traffic where nobody wanted it. Regular expressions are RE2's, as in Istio, and must match the whole
// text.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"

namespace levity::inline v0::service {

/// What a text must be like.
struct text_match {
  /// In which way.
  enum class kind : std::uint8_t {
    present,  ///< be there, whatever it is
    exact,    ///< be equal
    prefix,   ///< begin with it
    regex,    ///< match as a whole; RE2's syntax
  };
  kind how = kind::present;  ///< in which way
  std::string text;          ///< like what

  friend bool operator==(const text_match&, const text_match&) = default;
};

/// What one header field of a request must be like.
struct header_match {
  std::string name;     ///< of the field; case is ignored
  text_match value;     ///< what it must be like
  bool absent = false;  ///< or must not: withoutHeaders

  friend bool operator==(const header_match&, const header_match&) = default;
};

/// One entry of `match`: holds when all of it does.
struct request_match {
  std::vector<header_match> headers;  ///< each of them
  std::optional<text_match> uri;      ///< of the path
  std::optional<text_match> method;   ///< of the method
  bool ignore_uri_case = false;       ///< for exact and prefix

  friend bool operator==(const request_match&, const request_match&) = default;
};

/// Where a request may go.
struct destination {
  std::string host;                   ///< the service
  std::string subset;                 ///< the version of it; may be empty
  std::optional<std::uint16_t> port;  ///< of the service

  friend bool operator==(const destination&, const destination&) = default;
};

/// A destination and its part of the traffic.
struct weighted_destination {
  destination to;            ///< where
  std::uint32_t weight = 0;  ///< how much, by the sum of all weights of the rule

  friend bool operator==(const weighted_destination&, const weighted_destination&) = default;
};

/// How often a call is repeated.
struct retry_rule {
  unsigned attempts = 0;                    ///< beside the first
  std::optional<duration> per_try_timeout;  ///< for each
  std::string retry_on;                     ///< Envoy's words for when; as it was written

  friend bool operator==(const retry_rule&, const retry_rule&) = default;
};

/// Faults that are to be injected, to try out what is done about them.
struct fault_rule {
  double delay_percent = 0;                 ///< of requests
  duration delay{};                         ///< by which they are held up
  double abort_percent = 0;                 ///< of requests
  std::optional<std::uint16_t> abort_status;  ///< with which they are answered instead

  friend bool operator==(const fault_rule&, const fault_rule&) = default;
};

/// Where a copy of the requests goes, whose answer nobody waits for.
struct mirror_rule {
  destination to;        ///< where
  double percent = 100;  ///< of requests

  friend bool operator==(const mirror_rule&, const mirror_rule&) = default;
};

/// One entry of `http`.
struct http_rule {
  std::string name;                                ///< may be empty
  std::vector<request_match> any_of;               ///< empty: holds for every request
  std::vector<weighted_destination> destinations;  ///< at least one
  std::optional<duration> timeout;                 ///< of the whole call; none: Istio has none either
  std::optional<retry_rule> retries;               ///< none is said
  std::optional<mirror_rule> mirror;               ///< none
  std::optional<fault_rule> fault;                 ///< none

  friend bool operator==(const http_rule&, const http_rule&) = default;
};

/// A VirtualService that was read and judged. A value.
struct virtual_service {
  std::string name;                ///< of its metadata
  std::string name_space;          ///< of its metadata; may be empty
  std::vector<std::string> hosts;  ///< for whose traffic it is meant
  std::vector<http_rule> rules;    ///< at least one, in order
  /// Sentences about what is allowed and probably not meant, such as a rule that is never reached.
  std::vector<std::string> remarks;

  /// Reads the one VirtualService in a YAML text, which may hold other documents (a DestinationRule, for one) beside it. The error
  /// is one sentence that begins with `file:line:`; `file` is for it alone. Throws std::bad_alloc.
  static std::expected<virtual_service, std::string> parse(std::string_view yaml, std::string_view file);

  friend bool operator==(const virtual_service&, const virtual_service&) = default;
};

}  // namespace levity::service
