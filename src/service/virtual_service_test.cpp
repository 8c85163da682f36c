#include "levity/service/virtual_service.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

using namespace std::chrono_literals;
using levity::service::text_match;
using levity::service::virtual_service;

namespace {

// As it stands in a cluster: what kubectl adds, a second document, what Istio needs and we do not.
constexpr std::string_view orders = R"(apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: orders
  namespace: shop
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  hosts: [orders, orders.shop.svc.cluster.local]
  gateways: [mesh]
  http:
  - name: asked-for
    match:
    - headers:
        x-canary:
          exact: "true"
      uri:
        prefix: /orders
    - headers:
        x-tester: {}
        user-agent: {regex: "curl/[78][.].*"}
      withoutHeaders:
        x-internal: {prefix: "yes"}
      method: {exact: GET}
    route:
    - destination: {host: orders, subset: v2}
    timeout: 1.5s
  - name: everybody
    route:
    - destination:
        host: orders
        subset: v1
        port: {number: 8080}
      weight: 95
    - destination:
        host: orders
        subset: v2
      weight: 5
    timeout: 2s
    retries: {attempts: 2, perTryTimeout: 500ms, retryOn: "5xx,reset"}
    mirror: {host: orders-shadow}
    mirrorPercentage: {value: 10}
    fault:
      delay: {percentage: {value: 0.1}, fixedDelay: 5s}
      abort: {percentage: {value: 1}, httpStatus: 503}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: orders}
spec: {host: orders}
)";

TEST(virtual_service, one_from_a_cluster_is_read_as_it_is_meant) {
  const auto read = virtual_service::parse(orders, "orders.yaml");
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->name, "orders");
  EXPECT_EQ(read->name_space, "shop");
  EXPECT_EQ(read->hosts, (std::vector<std::string>{"orders", "orders.shop.svc.cluster.local"}));
  ASSERT_EQ(read->rules.size(), 2U);
  const auto& asked = read->rules[0];
  EXPECT_EQ(asked.name, "asked-for");
  EXPECT_EQ(asked.timeout, 1500ms);
  ASSERT_EQ(asked.any_of.size(), 2U);
  EXPECT_EQ(asked.any_of[0].headers[0].name, "x-canary");
  EXPECT_EQ(asked.any_of[0].headers[0].value, (text_match{text_match::kind::exact, "true"}));
  EXPECT_EQ(asked.any_of[0].uri, (text_match{text_match::kind::prefix, "/orders"}));
  EXPECT_EQ(asked.any_of[1].headers[0].value.how, text_match::kind::present);
  EXPECT_EQ(asked.any_of[1].headers[1].value, (text_match{text_match::kind::regex, "curl/[78][.].*"}));
  EXPECT_TRUE(asked.any_of[1].headers[2].absent);
  EXPECT_EQ(asked.any_of[1].method, (text_match{text_match::kind::exact, "GET"}));
  EXPECT_EQ(asked.destinations[0].weight, 100U);  // the only one
  const auto& everybody = read->rules[1];
  EXPECT_TRUE(everybody.any_of.empty());
  EXPECT_EQ(everybody.destinations[0].to.port, 8080);
  EXPECT_EQ(everybody.destinations[0].weight, 95U);
  EXPECT_EQ(everybody.destinations[1].to.subset, "v2");
  EXPECT_EQ(everybody.retries->attempts, 2U);
  EXPECT_EQ(everybody.retries->per_try_timeout, 500ms);
  EXPECT_EQ(everybody.retries->retry_on, "5xx,reset");
  EXPECT_EQ(everybody.mirror->to.host, "orders-shadow");
  EXPECT_EQ(everybody.mirror->percent, 10);
  EXPECT_EQ(everybody.fault->delay, 5s);
  EXPECT_EQ(everybody.fault->delay_percent, 0.1);
  EXPECT_EQ(everybody.fault->abort_status, 503);
  EXPECT_EQ(everybody.fault->abort_percent, 1);
  EXPECT_TRUE(read->remarks.empty());
}

// One rule, its lines from the fourth on.
std::string with_rule(std::string_view lines) {
  return std::string("apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {http: [\n") + std::string(lines) + "\n]}\n";
}

std::string error_of(std::string_view yaml) {
  const auto read = virtual_service::parse(yaml, "vs.yaml");
  return read ? "(accepted)" : read.error();
}

TEST(virtual_service, an_unknown_key_is_refused_with_its_line_and_a_suggestion) {
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a}}],\ntimout: 2s}")),
            "vs.yaml:5: a rule of spec.http has no key \"timout\"; did you mean \"timeout\"?");
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a}, wieght: 5}]}")),
            "vs.yaml:4: a route has no key \"wieght\"; did you mean \"weight\"?");
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a, zone: b}}]}")), "vs.yaml:4: destination has no key \"zone\"");
}

TEST(virtual_service, what_istio_knows_and_we_do_not_is_refused_with_the_reason) {
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a}}], rewrite: {uri: /}}")),
            "vs.yaml:4: rewrite of a rule of spec.http is not carried out: requests and answers are not changed here; do it in the "
            "handler");
  EXPECT_EQ(
      error_of(with_rule("{match: [{sourceLabels: {app: x}}], route: [{destination: {host: a}}]}")),
      "vs.yaml:4: sourceLabels of a match is not carried out: a mesh decides by it, and it is not known here; remove it, or leave "
      "this rule to the mesh");
  for (const char* key : {"redirect", "directResponse", "delegate", "headers", "corsPolicy", "mirrors", "mirrorPercent"}) {
    EXPECT_NE(error_of(with_rule(std::string("{route: [{destination: {host: a}}], ") + key + ": {}}")).find("is not carried out"),
              std::string::npos) << key;
  }
  EXPECT_NE(error_of("kind: VirtualService\nspec: {tcp: []}").find("tcp of spec is not carried out"), std::string::npos);
}

TEST(virtual_service, a_value_that_means_nothing_is_refused_with_its_line) {
  const std::string route = "route: [{destination: {host: a}}]";
  const auto says = [&](std::string_view extra, std::string_view what) {
    EXPECT_EQ(error_of(with_rule("{" + route + ", " + std::string(extra) + "}")), "vs.yaml:4: " + std::string(what));
  };
  says("timeout: 5", "timeout: \"5\" has no unit; write one of ns, us, ms, s, m, h, d behind the number");
  says("timeout: 10us", "timeout must be at least 1ms");
  says("retries: {attempts: -1}", "attempts must be a whole number from 0 to 100");
  says("retries: {attempts: two}", "attempts must be a whole number from 0 to 100");
  says("mirror: {subset: b}", "mirror has no host");
  says("mirrorPercentage: {value: 5}", "mirrorPercentage without mirror: name where the copies go");
  says("fault: {abort: {httpStatus: 99}}", "httpStatus must be a whole number from 200 to 599");
  says("fault: {abort: {}}", "abort has no httpStatus");
  says("fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}", "percentage must be from 0 to 100");
  says("fault: {delay: {fixedDelay: 1s, percentage: {value: nan}}}", "percentage must be from 0 to 100");
  says("match: []", "match is empty; leave it out for a rule that holds for every request");
  says("match: [{uri: /a}]", "uri must say how it is compared: {exact: \"/a\"}, {prefix: ...} or {regex: ...}");
  says("match: [{uri: {}}]", "uri must have one of exact, prefix, regex");
  says("match: [{uri: {exact: a, prefix: b}}]", "uri has more than one of exact, prefix, regex");
  says("match: [{headers: {x: {regex: '('}}}]", "x: \"(\" is no regular expression: missing ): (");
  says("match: [{headers: {uri: {exact: a}}}]", "uri below headers means nothing to Istio; write it beside headers");
  says("match: [{headers: {'a b': {exact: a}}}]", "\"a b\" cannot be the name of a header");
  says("timeout: 1s, timeout: 2s", "a rule of spec.http has \"timeout\" twice");
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a}}, {destination: {host: b}}]}")),
            "vs.yaml:4: no destination of the rule has a weight; say which gets how much");
  EXPECT_EQ(error_of(with_rule("{route: [{destination: {host: a}, weight: 1}, {destination: {host: a}, weight: 1}]}")),
            "vs.yaml:4: a destination stands twice in one rule; add their weights");
  EXPECT_EQ(error_of(with_rule("{timeout: 1s}")), "vs.yaml:4: a rule of spec.http has no route; name at least one destination");
}

TEST(virtual_service, what_is_none_is_refused) {
  EXPECT_EQ(error_of(""), "vs.yaml: there is no document of kind VirtualService");
  EXPECT_EQ(error_of("- a\n"), "vs.yaml:1: a document is no mapping with apiVersion, kind, metadata and spec");
  EXPECT_EQ(error_of("kind: Service\n"), "vs.yaml: there is no document of kind VirtualService");
  EXPECT_EQ(error_of("apiVersion: v1\nkind: VirtualService\n"),
            "vs.yaml:1: apiVersion \"v1\" is none of networking.istio.io/v1, v1beta1, v1alpha3");
  EXPECT_EQ(error_of("kind: VirtualService\nspec: {hosts: [a]}\n"),
            "vs.yaml:1: spec.http has no rule; without one no request is routed");
  EXPECT_TRUE(error_of("kind: [unclosed\n").starts_with("vs.yaml:2: cannot be read as YAML: ")) << error_of("kind: [unclosed\n");
  const std::string two(orders);
  EXPECT_TRUE(error_of(two + "---\n" + two).ends_with("there is a second VirtualService; give each a file of its own"));
  EXPECT_EQ(error_of(std::string((1 << 20) + 1, '#')), "vs.yaml: more than 1 MiB is no VirtualService");
}

TEST(virtual_service, a_rule_that_is_never_reached_is_remarked) {
  const auto read =
      virtual_service::parse(with_rule("{route: [{destination: {host: a}}]}, {route: [{destination: {host: b}}]}"), "vs");
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->remarks.size(), 1U);
  EXPECT_EQ(read->remarks[0], "vs: rule 1 of spec.http has no match and takes every request: those after it are never reached");
}

TEST(virtual_service, no_text_crashes_the_reader) {
  EXPECT_TRUE(rc::check("a good one with pieces cut out and put in", [] {
    std::string text(orders);
    const int changes = *rc::gen::inRange(1, 6);
    for (int i = 0; i < changes; i++) {
      const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
      const auto size = *rc::gen::inRange<std::size_t>(0, 40);
      const auto piece =
          *rc::gen::element<std::string>("", ":", "{", "}", "[", "]", "- ", "\n", "&a ", "*a", "'", "\"", "~", "route");
      text.replace(at, std::min(size, text.size() - at), piece);
    }
    const auto read = virtual_service::parse(text, "vs");
    if (!read) RC_ASSERT(!read.error().empty());
  }));
}

}  // namespace
