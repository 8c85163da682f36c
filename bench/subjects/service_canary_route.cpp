// service_canary_route CALLS - what a decision of a canary costs: a rule with a header match that does not hold, a split of 95 to 5
// by X-Request-Id, and the record of what became of it.
#include <levity/service/canary.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

constexpr const char* rules = R"(
kind: VirtualService
spec:
  http:
  - match: [{headers: {x-tester: {exact: "1"}}, uri: {prefix: /orders}}]
    route: [{destination: {host: orders, subset: v2}}]
  - route:
    - {destination: {host: orders, subset: v1}, weight: 95}
    - {destination: {host: orders, subset: v2}, weight: 5}
)";

std::uint64_t route(const lv::service::canary& versions, const std::vector<std::string>& keys, std::uint64_t calls, bool records) {
  std::array<lv::http::field, 6> fields{{{"Host", "orders"}, {"User-Agent", "curl/8.1"}, {"Accept", "*/*"}, {"X-Request-Id", ""},
                                         {"Content-Type", "application/json"}, {"Content-Length", "17"}}};
  std::uint64_t canaries = 0;
  for (std::uint64_t i = 0; i < calls; i++) {
    fields[3].value = keys[i % keys.size()];
    auto way =
        versions.route({.method = "POST", .path = "/orders", .fields = fields.data(), .field_count = fields.size(), .key = {}});
    canaries += way.is_canary() ? 1 : 0;
    if (records) way.record(lv::verdict::success, lv::duration(static_cast<std::int64_t>(1'000'000 + i % 1'000'000)));
  }
  return canaries;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t calls = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2'000'000;
  lv::service::canary versions(lv::service::virtual_service::parse(rules, "rules").value(), {.subset = "v2"});
  std::vector<std::string> keys;
  for (int i = 0; i < 1024; i++) keys.push_back("4bf92f3577b34da6a3ce929d0e0e" + std::to_string(1000 + i));
  (void)route(versions, keys, calls / 20 + 1, true);
  std::int64_t from = cpu_ns();
  const std::uint64_t canaries = route(versions, keys, calls, false);
  const std::int64_t routed = cpu_ns() - from;
  from = cpu_ns();
  (void)route(versions, keys, calls, true);
  const std::int64_t recorded = cpu_ns() - from;
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld, \"with_record_ns\": %lld, \"canaries\": %llu}\n",
              static_cast<unsigned long long>(calls), static_cast<long long>(routed), static_cast<long long>(recorded),
              static_cast<unsigned long long>(canaries));
}
