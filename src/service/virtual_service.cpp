#include "levity/service/virtual_service.hpp"

#include <fmt/format.h>
#include <re2/re2.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <initializer_list>
#include <sstream>
#include <utility>

#include "base/quoted_text.hpp"
#include "levity/http/field.hpp"
#include "levity/service/quantity.hpp"
#include "service/suggestion.hpp"

namespace levity::inline v0::service {
namespace {

using levity::detail::quoted_text;

// Thrown within this file alone.
struct refused {
  std::string sentence;
};

struct known_key {
  std::string_view name;
  std::function<void(const YAML::Node&)> read;
};

// Istio knows it, we do not carry it out.
struct foreign_key {
  std::string_view name;
  std::string_view why;
};

constexpr std::string_view not_by_us = "a mesh decides by it, and it is not known here; remove it, or leave this rule to the mesh";
constexpr std::string_view not_changed = "requests and answers are not changed here; do it in the handler";

class reader {
public:
  explicit reader(std::string_view file) : file_(file) {}

  virtual_service read(const YAML::Node& document) {
    read_map(document, "a VirtualService",
             {{"apiVersion", [&](const YAML::Node& at) { check_version(at); }},
              {"kind", [](const YAML::Node&) {}},
              {"metadata", [&](const YAML::Node& at) { read_metadata(at); }},
              {"spec", [&](const YAML::Node& at) { read_spec(at); }},
              {"status", [](const YAML::Node&) {}}});
    if (made_.rules.empty()) refuse(document, "spec.http has no rule; without one no request is routed");
    remark_what_is_never_reached();
    return std::move(made_);
  }

  [[noreturn]] void refuse(const YAML::Node& at, const std::string& why) const { refuse(at.Mark(), why); }
  [[noreturn]] void refuse(const YAML::Mark& at, const std::string& why) const {
    if (at.is_null()) throw refused{fmt::format("{}: {}", file_, why)};
    throw refused{fmt::format("{}:{}: {}", file_, at.line + 1, why)};
  }

private:
  void read_map(const YAML::Node& map, std::string_view what, std::initializer_list<known_key> known,
                std::initializer_list<foreign_key> foreign = {}) const {
    if (!map.IsMap()) refuse(map, fmt::format("{} must be a mapping of keys to values", what));
    std::vector<std::string_view> seen;
    std::vector<std::string_view> names;
    for (const known_key& each : known) names.push_back(each.name);
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) refuse(entry.first, fmt::format("a key of {} is no word", what));
      const std::string& key = entry.first.Scalar();
      if (std::ranges::find(seen, key) != seen.end()) refuse(entry.first, fmt::format("{} has {} twice", what, quoted_text(key)));
      const auto found = std::ranges::find(known, key, &known_key::name);
      if (found != known.end()) {
        seen.push_back(found->name);
        found->read(entry.second);
        continue;
      }
      const auto not_here = std::ranges::find(foreign, key, &foreign_key::name);
      if (not_here != foreign.end()) refuse(entry.first, fmt::format("{} of {} is not carried out: {}", key, what, not_here->why));
      refuse(entry.first, fmt::format("{} has no key {}{}", what, quoted_text(key), detail::suggestion(key, names)));
    }
  }

  const YAML::Node& a_list(const YAML::Node& node, std::string_view what) const {
    if (!node.IsSequence()) refuse(node, fmt::format("{} must be a list", what));
    return node;
  }

  std::string text(const YAML::Node& node, std::string_view what) const {
    if (!node.IsScalar()) refuse(node, fmt::format("{} must be a text", what));
    return node.Scalar();
  }

  std::uint32_t number(const YAML::Node& node, std::string_view what, std::uint32_t least, std::uint32_t most) const {
    std::uint32_t value = 0;
    const std::string& digits = node.IsScalar() ? node.Scalar() : std::string();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || value < least || value > most) {
      refuse(node, fmt::format("{} must be a whole number from {} to {}", what, least, most));
    }
    return value;
  }

  duration a_duration(const YAML::Node& node, std::string_view what) const {
    const auto read = parse_duration(text(node, what));
    if (!read) refuse(node, fmt::format("{}: {}", what, read.error()));
    if (*read < std::chrono::milliseconds(1)) refuse(node, fmt::format("{} must be at least 1ms", what));
    return *read;
  }

  double percentage(const YAML::Node& node, std::string_view what) const {
    double percent = -1;
    read_map(node, what, {{"value", [&](const YAML::Node& at) {
                             const std::string digits = text(at, what);
                             const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), percent);
                             if (error != std::errc() || end != digits.data() + digits.size()) percent = -1;
                             if (!(percent >= 0 && percent <= 100)) refuse(at, fmt::format("{} must be from 0 to 100", what));
                           }}});
    if (percent < 0) refuse(node, fmt::format("{} has no value", what));
    return percent;
  }

  void check_version(const YAML::Node& at) const {
    const std::string version = text(at, "apiVersion");
    for (const std::string_view each : {"v1", "v1beta1", "v1alpha3"}) {
      if (version == fmt::format("networking.istio.io/{}", each)) return;
    }
    refuse(at, fmt::format("apiVersion {} is none of networking.istio.io/v1, v1beta1, v1alpha3", quoted_text(version)));
  }

  void read_metadata(const YAML::Node& at) {
    if (!at.IsMap()) refuse(at, "metadata must be a mapping of keys to values");
    if (const YAML::Node name = at["name"]) made_.name = text(name, "metadata.name");
    if (const YAML::Node name = at["namespace"]) made_.name_space = text(name, "metadata.namespace");
  }

  void read_spec(const YAML::Node& at) {
    constexpr std::string_view http_alone = "only HTTP is routed here; give the other protocols a VirtualService of their own";
    read_map(at, "spec",
             {{"hosts", [&](const YAML::Node& list) {
                 for (const auto& host : a_list(list, "spec.hosts")) made_.hosts.push_back(text(host, "a host"));
               }},
              {"gateways", [](const YAML::Node&) {}},
              {"exportTo", [](const YAML::Node&) {}},
              {"http", [&](const YAML::Node& list) {
                 for (const auto& rule : a_list(list, "spec.http")) made_.rules.push_back(read_rule(rule));
               }}},
             {{"tcp", http_alone}, {"tls", http_alone}});
  }

  http_rule read_rule(const YAML::Node& at) const {
    http_rule rule;
    double mirror_percent = 100;
    bool has_percent = false;
    read_map(at, "a rule of spec.http",
             {{"name", [&](const YAML::Node& node) { rule.name = text(node, "name"); }},
              {"match", [&](const YAML::Node& list) {
                 for (const auto& each : a_list(list, "match")) rule.any_of.push_back(read_match(each));
                 if (rule.any_of.empty()) refuse(list, "match is empty; leave it out for a rule that holds for every request");
               }},
              {"route", [&](const YAML::Node& list) { read_routes(list, rule); }},
              {"timeout", [&](const YAML::Node& node) { rule.timeout = a_duration(node, "timeout"); }},
              {"retries", [&](const YAML::Node& node) { rule.retries = read_retries(node); }},
              {"mirror", [&](const YAML::Node& node) { rule.mirror = mirror_rule{read_destination(node, "mirror"), 100}; }},
              {"mirrorPercentage", [&](const YAML::Node& node) {
                 mirror_percent = percentage(node, "mirrorPercentage");
                 has_percent = true;
               }},
              {"fault", [&](const YAML::Node& node) { rule.fault = read_fault(node); }}},
             {{"redirect", "answer 301 or 302 in a handler"},
              {"directResponse", "answer in a handler"},
              {"delegate", "put the rules of the delegate here"},
              {"rewrite", not_changed},
              {"headers", not_changed},
              {"corsPolicy", "answer the browser's question in a handler"},
              {"mirrors", "there is one mirror; write mirror and mirrorPercentage"},
              {"mirrorPercent", "it is deprecated; write mirrorPercentage: {value: 5}"},
              {"mirror_percent", "it is deprecated; write mirrorPercentage: {value: 5}"}});
    if (rule.destinations.empty()) refuse(at, "a rule of spec.http has no route; name at least one destination");
    if (has_percent && !rule.mirror) refuse(at, "mirrorPercentage without mirror: name where the copies go");
    if (rule.mirror) rule.mirror->percent = mirror_percent;
    return rule;
  }

  request_match read_match(const YAML::Node& at) const {
    request_match match;
    read_map(at, "a match",
             {{"name", [](const YAML::Node&) {}},
              {"headers", [&](const YAML::Node& map) { read_headers(map, false, match.headers); }},
              {"withoutHeaders", [&](const YAML::Node& map) { read_headers(map, true, match.headers); }},
              {"uri", [&](const YAML::Node& node) { match.uri = read_text_match(node, "uri", false); }},
              {"method", [&](const YAML::Node& node) { match.method = read_text_match(node, "method", false); }},
              {"ignoreUriCase", [&](const YAML::Node& node) { match.ignore_uri_case = boolean(node, "ignoreUriCase"); }}},
             {{"scheme", not_by_us},
              {"authority", "match the header host instead"},
              {"port", not_by_us},
              {"sourceLabels", not_by_us},
              {"sourceNamespace", not_by_us},
              {"gateways", not_by_us},
              {"queryParams", "what stands behind the question mark is not looked at"},
              {"statPrefix", not_by_us}});
    if (match.ignore_uri_case && match.uri && match.uri->how == text_match::kind::regex) {
      refuse(at, "ignoreUriCase is for exact and prefix; begin the regex with (?i)");
    }
    return match;
  }

  bool boolean(const YAML::Node& node, std::string_view what) const {
    const std::string said = text(node, what);
    if (said == "true") return true;
    if (said == "false") return false;
    refuse(node, fmt::format("{} must be true or false", what));
  }

  void read_headers(const YAML::Node& map, bool absent, std::vector<header_match>& into) const {
    if (!map.IsMap()) refuse(map, "headers of a match must be a mapping of names to what they must be like");
    for (const auto& entry : map) {
      const std::string name = text(entry.first, "the name of a header");
      if (name == "uri" || name == "method" || name == "scheme" || name == "authority") {
        refuse(entry.first, fmt::format("{} below headers means nothing to Istio; write it beside headers", name));
      }
      if (!http::is_token(name)) refuse(entry.first, fmt::format("{} cannot be the name of a header", quoted_text(name)));
      into.push_back({name, read_text_match(entry.second, name, true), absent});
    }
  }

  text_match read_text_match(const YAML::Node& node, std::string_view what, bool may_be_present) const {
    using kind = text_match::kind;
    if (node.IsScalar() && !node.Scalar().empty()) {
      refuse(node, fmt::format("{} must say how it is compared: {{exact: {}}}, {{prefix: ...}} or {{regex: ...}}", what,
                               quoted_text(node.Scalar())));
    }
    text_match match;
    if (node.IsNull() || (node.IsMap() && node.size() == 0)) {
      if (!may_be_present) refuse(node, fmt::format("{} must have one of exact, prefix, regex", what));
      return match;
    }
    const auto as = [&](kind how) {
      return [&, how](const YAML::Node& at) {
        if (match.how != kind::present) refuse(at, fmt::format("{} has more than one of exact, prefix, regex", what));
        match = {how, text(at, what)};
      };
    };
    read_map(node, what, {{"exact", as(kind::exact)}, {"prefix", as(kind::prefix)}, {"regex", as(kind::regex)}});
    if (match.how == kind::regex) {
      const re2::RE2 compiled(match.text, re2::RE2::Quiet);
      if (!compiled.ok())
        refuse(node, fmt::format("{}: {} is no regular expression: {}", what, quoted_text(match.text), compiled.error()));
    }
    return match;
  }

  void read_routes(const YAML::Node& list, http_rule& rule) const {
    std::uint64_t sum = 0;
    for (const auto& each : a_list(list, "route")) {
      weighted_destination to;
      bool has_destination = false;
      read_map(each, "a route",
               {{"destination", [&](const YAML::Node& node) {
                   to.to = read_destination(node, "destination");
                   has_destination = true;
                 }},
                {"weight", [&](const YAML::Node& node) { to.weight = number(node, "weight", 0, 1'000'000); }}},
               {{"headers", not_changed}});
      if (!has_destination) refuse(each, "a route has no destination");
      for (const weighted_destination& other : rule.destinations) {
        if (other.to == to.to) refuse(each, "a destination stands twice in one rule; add their weights");
      }
      sum += to.weight;
      rule.destinations.push_back(std::move(to));
    }
    if (rule.destinations.size() == 1 && sum == 0) rule.destinations[0].weight = 100;  // as Istio has it
    if (rule.destinations.size() > 1 && sum == 0) refuse(list, "no destination of the rule has a weight; say which gets how much");
  }

  destination read_destination(const YAML::Node& node, std::string_view what) const {
    destination to;
    read_map(node, what,
             {{"host", [&](const YAML::Node& at) { to.host = text(at, "host"); }},
              {"subset", [&](const YAML::Node& at) { to.subset = text(at, "subset"); }},
              {"port", [&](const YAML::Node& at) {
                 read_map(at, "port", {{"number", [&](const YAML::Node& digits) {
                                          to.port = static_cast<std::uint16_t>(number(digits, "port.number", 1, 65'535));
                                        }}});
               }}});
    if (to.host.empty()) refuse(node, fmt::format("{} has no host", what));
    return to;
  }

  retry_rule read_retries(const YAML::Node& node) const {
    retry_rule rule;
    read_map(node, "retries",
             {{"attempts", [&](const YAML::Node& at) { rule.attempts = number(at, "attempts", 0, 100); }},
              {"perTryTimeout", [&](const YAML::Node& at) { rule.per_try_timeout = a_duration(at, "perTryTimeout"); }},
              {"retryOn", [&](const YAML::Node& at) { rule.retry_on = text(at, "retryOn"); }}},
             {{"retryRemoteLocalities", not_by_us},
              {"retryIgnorePreviousHosts", not_by_us},
              {"backoff", "the pause is that of the program's own retry policy"}});
    return rule;
  }

  fault_rule read_fault(const YAML::Node& node) const {
    fault_rule rule;
    bool delays = false;
    read_map(node, "fault",
             {{"delay", [&](const YAML::Node& at) {
                 rule.delay_percent = 100;
                 read_map(at, "delay",
                          {{"fixedDelay", [&](const YAML::Node& by) {
                              rule.delay = a_duration(by, "fixedDelay");
                              delays = true;
                            }},
                           {"percentage", [&](const YAML::Node& of) { rule.delay_percent = percentage(of, "percentage"); }}},
                          {{"percent", "it is deprecated; write percentage: {value: 5}"},
                           {"exponentialDelay", "Istio does not carry it out either; write fixedDelay"}});
                 if (!delays) refuse(at, "delay has no fixedDelay");
               }},
              {"abort", [&](const YAML::Node& at) {
                 rule.abort_percent = 100;
                 read_map(at, "abort",
                          {{"httpStatus", [&](const YAML::Node& status) {
                              rule.abort_status = static_cast<std::uint16_t>(number(status, "httpStatus", 200, 599));
                            }},
                           {"percentage", [&](const YAML::Node& of) { rule.abort_percent = percentage(of, "percentage"); }}},
                          {{"percent", "it is deprecated; write percentage: {value: 5}"},
                           {"grpcStatus", "only HTTP is spoken here; write httpStatus"},
                           {"http2Error", "only HTTP/1 is spoken here; write httpStatus"}});
                 if (!rule.abort_status) refuse(at, "abort has no httpStatus");
               }}});
    return rule;
  }

  void remark_what_is_never_reached() {
    for (std::size_t at = 0; at + 1 < made_.rules.size(); at++) {
      if (!made_.rules[at].any_of.empty()) continue;
      made_.remarks.push_back(fmt::format("{}: rule {} of spec.http has no match and takes every request: those after it are never "
                                          "reached", file_, at + 1));
      return;
    }
  }

  std::string_view file_;
  virtual_service made_;
};

}  // namespace

std::expected<virtual_service, std::string> virtual_service::parse(std::string_view yaml, std::string_view file) {
  constexpr std::size_t most = 1 << 20;
  reader from(file);
  try {
    if (yaml.size() > most) throw refused{fmt::format("{}: more than 1 MiB is no VirtualService", file)};
    std::optional<YAML::Node> found;
    for (const YAML::Node& document : YAML::LoadAll(std::string(yaml))) {
      if (document.IsNull()) continue;
      if (!document.IsMap()) from.refuse(document, "a document is no mapping with apiVersion, kind, metadata and spec");
      const YAML::Node kind = document["kind"];
      if (!kind || !kind.IsScalar()) from.refuse(document, "a document does not say of which kind it is");
      if (kind.Scalar() != "VirtualService") continue;
      if (found) from.refuse(document, "there is a second VirtualService; give each a file of its own");
      found = document;
    }
    if (!found) throw refused{fmt::format("{}: there is no document of kind VirtualService", file)};
    return from.read(*found);
  } catch (const refused& why) {
    return std::unexpected(why.sentence);
  } catch (const YAML::Exception& why) {
    if (why.mark.is_null()) return std::unexpected(fmt::format("{}: cannot be read as YAML: {}", file, why.msg));
    return std::unexpected(fmt::format("{}:{}: cannot be read as YAML: {}", file, why.mark.line + 1, why.msg));
  }
}

}  // namespace levity::service
