// The canary: who goes where, that it stays so, what moves when a weight does, and what is counted.

#include "levity/service/canary.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/http/server.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::http::field;
using levity::test::slow_build_factor;
using lv::service::canary;
using lv::service::canary_call;
using lv::service::canary_options;
using lv::service::route_cause;
using lv::service::virtual_service;

namespace {

virtual_service parse(std::string_view rules) {
  const std::string text = "kind: VirtualService\nspec:\n  http:\n" + std::string(rules);
  auto read = virtual_service::parse(text, "vs.yaml");
  EXPECT_TRUE(read) << read.error();
  return read.value();
}

// One rule for all, v1 and v2 by weights.
virtual_service split(unsigned stable, unsigned other, bool canary_first = false) {
  const std::string v1 = "    - {destination: {host: orders, subset: v1}, weight: " + std::to_string(stable) + "}\n";
  const std::string v2 = "    - {destination: {host: orders, subset: v2}, weight: " + std::to_string(other) + "}\n";
  return parse("  - route:\n" + (canary_first ? v2 + v1 : v1 + v2));
}

canary_options with_v2() {
  canary_options options;
  options.subset = "v2";
  return options;
}

std::string key_of(int number) { return "request-" + std::to_string(number); }

std::vector<bool> sides(const canary& of, int keys) {
  std::vector<bool> seen;
  for (int i = 0; i < keys; i++) {
    const std::string key = key_of(i);
    seen.push_back(of.route(canary_call{.key = key}).is_canary());
  }
  return seen;
}

double percent_of(const std::vector<bool>& seen) {
  return 100.0 * static_cast<double>(std::count(seen.begin(), seen.end(), true)) / static_cast<double>(seen.size());
}

TEST(canary, five_percent_of_a_hundred_thousand_requests_are_five_percent) {
  canary of(split(95, 5), with_v2());
  EXPECT_NEAR(percent_of(sides(of, 100'000)), 5, 0.2);
  // Keys as they come in practice: 128 random bits in hexadecimal.
  lv::rng chance(42);
  int canaries = 0;
  for (int i = 0; i < 100'000; i++) {
    char key[40];
    std::snprintf(key, sizeof key, "%016llx%016llx", static_cast<unsigned long long>(chance()),
                  static_cast<unsigned long long>(chance()));
    const field id{"X-Request-Id", key};
    canaries += of.route(canary_call{.fields = &id, .field_count = 1}).is_canary() ? 1 : 0;
  }
  EXPECT_NEAR(canaries / 1000.0, 5, 0.2);
}

TEST(canary, keyless_requests_are_spread_by_weight_too) {
  canary of(split(95, 5), with_v2());
  int canaries = 0;
  for (int i = 0; i < 100'000; i++) canaries += of.route(canary_call{}).is_canary() ? 1 : 0;
  EXPECT_NEAR(canaries / 1000.0, 5, 0.2);
}

TEST(canary, the_same_key_lands_on_the_same_side_in_every_process) {
  canary one(split(50, 50), with_v2()), other(split(50, 50, true), with_v2());
  EXPECT_EQ(sides(one, 1000), sides(one, 1000));
  EXPECT_EQ(sides(one, 1000), sides(other, 1000));  // the order in the file has no say
  // Fixed for good: who changes the hash moves everybody's users.
  std::string first;
  for (const bool each : sides(one, 32)) first += each ? '1' : '0';
  EXPECT_EQ(first, "10111000000110101101110110111100");
  canary_options salted = with_v2();
  salted.salt = "another";
  EXPECT_NE(sides(one, 1000), sides(canary(split(50, 50), salted), 1000));
}

TEST(canary, a_weight_that_is_raised_moves_keys_one_way_only) {
  EXPECT_TRUE(rc::check("two destinations", [] {
    const auto low = *rc::gen::inRange(0, 100);
    const auto high = *rc::gen::inRange(low, 101);
    RC_PRE(low < 100);
    canary of(split(100 - low, low), with_v2());
    const auto before = sides(of, 500);
    of.reload(split(100 - high, high, *rc::gen::arbitrary<bool>()));
    const auto after = sides(of, 500);
    for (std::size_t i = 0; i < before.size(); i++) RC_ASSERT(!before[i] || after[i]);
  }));
}

TEST(canary, keys_do_not_move_between_others_when_the_canary_grows) {
  const auto three = [](int percent) {
    return parse("  - route:\n    - {destination: {host: a}, weight: " + std::to_string((100 - percent) * 2) +
                 "}\n    - {destination: {host: b}, weight: " + std::to_string(100 - percent) +
                 "}\n    - {destination: {host: a, subset: v2}, weight: " + std::to_string(percent * 3) + "}\n");
  };
  canary few(three(5), with_v2()), many(three(50), with_v2());
  int moved = 0;
  for (int i = 0; i < 3000; i++) {
    const std::string key = key_of(i);
    const auto before = few.route(canary_call{.key = key});
    const auto after = many.route(canary_call{.key = key});
    if (before.to() == after.to()) continue;
    moved++;
    EXPECT_TRUE(after.is_canary());
  }
  EXPECT_NEAR(moved / 30.0, 45, 3);
}

TEST(canary, x_canary_forces_and_never_opts_out) {
  canary of(split(100, 0), with_v2());
  const auto ask = [&](std::string_view value) {
    const field wish{"x-canary", value};
    return of.route(canary_call{.fields = &wish, .field_count = 1, .key = "k"});
  };
  EXPECT_TRUE(ask("true").is_canary());
  EXPECT_EQ(ask("TRUE").cause(), route_cause::forced);
  EXPECT_EQ(ask("true").value_to_send(), "true");
  EXPECT_FALSE(ask("yes").is_canary());
  EXPECT_EQ(ask("yes").cause(), route_cause::split);
  EXPECT_EQ(ask("yes").value_to_send(), "");
  of.reload(split(0, 100));
  EXPECT_FALSE(ask("never").is_canary());
  EXPECT_EQ(ask("never").cause(), route_cause::opted_out);
  EXPECT_EQ(ask("never").value_to_send(), "never");
  EXPECT_TRUE(ask("").is_canary());
  EXPECT_EQ(ask("").value_to_send(), "true");  // what the canary calls is of its colour
}

TEST(canary, the_first_rule_that_holds_is_taken) {
  canary of(parse(R"(
  - name: tester
    match:
    - {headers: {x-tester: {exact: "1"}}, uri: {prefix: /orders}}
    - {headers: {User-Agent: {regex: "curl/[0-9.]+"}}}
    route: [{destination: {host: orders, subset: v2}}]
  - name: quiet
    match: [{withoutHeaders: {x-loud: {}}, method: {exact: POST}}]
    route: [{destination: {host: quiet}}]
  - name: shout
    match: [{uri: {exact: /shout}, ignoreUriCase: true}]
    route: [{destination: {host: loud}}]
)"), with_v2());
  const auto rule_of = [&](std::string_view method, std::string_view path, std::vector<field> fields) -> std::string {
    const auto way = of.route(canary_call{.method = method, .path = path, .fields = fields.data(), .field_count = fields.size()});
    return way ? way.rule().name : std::string(to_string(way.cause()));
  };
  EXPECT_EQ(rule_of("GET", "/orders/7", {{"X-Tester", "1"}}), "tester");
  EXPECT_EQ(rule_of("GET", "/order", {{"X-Tester", "1"}}), "no_rule");
  EXPECT_EQ(rule_of("GET", "/", {{"user-agent", "curl/8.1"}}), "tester");
  EXPECT_EQ(rule_of("GET", "/", {{"user-agent", "not curl/8.1"}}), "no_rule");  // as a whole
  EXPECT_EQ(rule_of("POST", "/", {}), "quiet");
  EXPECT_EQ(rule_of("POST", "/", {{"X-Loud", ""}}), "no_rule");
  EXPECT_EQ(rule_of("GET", "/SHOUT", {}), "shout");
  EXPECT_EQ(rule_of("GET", "/shouts", {}), "no_rule");
  EXPECT_FALSE(of.route(canary_call{}));
}

TEST(canary, the_key_is_the_given_one_then_the_cookie_then_the_request_id) {
  canary_options options = with_v2();
  options.key_cookie = "session";
  canary of(split(50, 50), options);
  const auto side = [&](std::string_view key, std::vector<field> fields) {
    return of.route(canary_call{.fields = fields.data(), .field_count = fields.size(), .key = key}).is_canary();
  };
  for (int i = 0; i < 50; i++) {
    const std::string own = key_of(i), other = key_of(i + 1000);
    const bool expected = side(own, {});
    const std::string cookies = "xsession=no; session=" + own + "; theme=dark";
    EXPECT_EQ(side("", {{"Cookie", cookies}, {"X-Request-Id", other}}), expected);
    EXPECT_EQ(side("", {{"Cookie", "theme=dark"}, {"X-Request-Id", own}}), expected);
    EXPECT_EQ(side(own, {{"Cookie", "session=" + other}, {"X-Request-Id", other}}), expected);
  }
}

TEST(canary, mirrors_and_faults_are_drawn_by_their_percentage) {
  canary of(parse(R"(
  - route: [{destination: {host: a, subset: v1}, weight: 1}, {destination: {host: a, subset: v2}, weight: 1}]
    mirror: {host: shadow}
    mirrorPercentage: {value: 20}
    fault: {delay: {fixedDelay: 3s, percentage: {value: 10}}, abort: {httpStatus: 503, percentage: {value: 1}}}
)"), with_v2());
  int mirrored = 0, delayed = 0, aborted = 0, mirrored_canaries = 0, canaries = 0;
  for (int i = 0; i < 20'000; i++) {
    const auto way = of.route(canary_call{});
    mirrored += way.is_mirrored();
    delayed += way.injected_delay() == 3s;
    aborted += way.injected_status() == 503;
    canaries += way.is_canary();
    mirrored_canaries += way.is_canary() && way.is_mirrored();
  }
  EXPECT_NEAR(mirrored / 200.0, 20, 1.5);
  EXPECT_NEAR(delayed / 200.0, 10, 1);
  EXPECT_NEAR(aborted / 200.0, 1, 0.4);
  EXPECT_NEAR(100.0 * mirrored_canaries / canaries, 20, 2);  // one draw says nothing of another
}

TEST(canary, counts_what_each_destination_did_and_goes_on_counting_over_a_reload) {
  canary of(split(50, 50), with_v2());
  for (int i = 0; i < 1000; i++) {
    const std::string key = key_of(i);
    auto way = of.route(canary_call{.key = key});
    way.record(i % 10 == 0 ? lv::verdict::failure : i % 10 == 1 ? lv::verdict::neutral : lv::verdict::success, 3ms);
    if (i == 500) of.reload(split(60, 40));
  }
  std::uint64_t routed = 0, requests = 0, errors = 0, timed = 0;
  for (const auto& each : of.look()) {
    EXPECT_EQ(each.canary, each.to.subset == "v2");
    routed += each.routed;
    requests += each.done.requests;
    errors += each.done.errors;
    timed += each.done.latency.total();
    EXPECT_EQ(each.done.latency.value_at(0.5), lv::service::latency_bins::low_of(lv::service::latency_bins::index_of(3ms)));
  }
  EXPECT_EQ(routed, 1000U);
  EXPECT_EQ(requests, 900U);
  EXPECT_EQ(errors, 100U);
  EXPECT_EQ(timed, 800U);
}

TEST(canary, a_route_outlives_the_rules_that_it_was_made_by) {
  auto of = std::make_unique<canary>(split(50, 50), with_v2());
  auto way = of->route(canary_call{.key = "k"});
  of->reload(parse("  - route: [{destination: {host: elsewhere}}]\n"));
  of.reset();
  EXPECT_EQ(way.to().host, "orders");
  EXPECT_FALSE(way.rule().timeout);
  way.record(lv::verdict::success, 1ms);
}

TEST(canary, threads_route_while_the_rules_change) {
  canary of(split(50, 50), with_v2());
  constexpr int each_does = 40'000 / slow_build_factor;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; reader++) {
    readers.emplace_back([&of] {
      for (int i = 0; i < each_does; i++) {
        auto way = of.route(canary_call{});
        ASSERT_TRUE(way);
        way.record(lv::verdict::success, 1ms);
      }
    });
  }
  for (int i = 0; i < 200; i++) of.reload(split(50 + i % 2, 50));
  for (auto& each : readers) each.join();
  std::uint64_t requests = 0;
  for (const auto& each : of.look()) requests += each.done.requests;
  EXPECT_EQ(requests, 3U * static_cast<unsigned>(each_does));
}

void serve(canary& of, int calls, double canary_errors, lv::rng& chance) {
  for (int i = 0; i < calls; i++) {
    auto way = of.route(canary_call{});
    const double errors = way.is_canary() ? canary_errors : 0.01;
    const bool failed = static_cast<double>(chance() >> 11) * 0x1p-53 < errors;
    way.record(failed ? lv::verdict::failure : lv::verdict::success, 5ms);
  }
}

TEST(canary, that_fails_is_rolled_back_once_and_reload_does_not_bring_it_back) {
  canary of(split(90, 10), with_v2());
  lv::rng chance(7);
  lv::time_point now = lv::clock::now();
  EXPECT_EQ(of.judge(now).what, lv::service::judged::too_few);
  EXPECT_EQ(of.share_percent(), std::nullopt);
  serve(of, 10'000, 0.1, chance);
  const auto ruling = of.judge(now += 1min);
  EXPECT_EQ(ruling.what, lv::service::judged::rolled_back) << ruling.message();
  EXPECT_EQ(of.judge(now += 1min).what, lv::service::judged::ended);
  EXPECT_EQ(of.share_percent(), 0);
  EXPECT_EQ(percent_of(sides(of, 1000)), 0);
  of.reload(split(50, 50));
  EXPECT_EQ(percent_of(sides(of, 1000)), 0);
  const field wish{"X-Canary", "true"};
  EXPECT_TRUE(of.route(canary_call{.fields = &wish, .field_count = 1}).is_canary());  // who asks by name
  of.restart(now);
  EXPECT_NEAR(percent_of(sides(of, 10'000)), 50, 2);
}

// Rules by which calls say nothing of the canary, before one that splits: a fast route that only the old version has, one where the
// canary has no part, and one that is all the canary's.
virtual_service mixed() {
  return parse(R"(
  - match: [{uri: {prefix: /fast}}]
    route: [{destination: {host: orders, subset: v1}}]
  - match: [{uri: {prefix: /quick}}]
    route: [{destination: {host: orders, subset: v1}, weight: 100}, {destination: {host: orders, subset: v2}, weight: 0}]
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: orders, subset: v2}}]
  - route: [{destination: {host: orders, subset: v1}, weight: 90}, {destination: {host: orders, subset: v2}, weight: 10}]
)");
}

void call_all(canary& of, int calls, std::string_view path, lv::verdict said, lv::duration took) {
  for (int i = 0; i < calls; i++) of.route(canary_call{.path = path}).record(said, took);
}

TEST(canary, is_not_rolled_back_for_routes_that_only_the_old_version_has) {
  for (const std::string_view path : {"/fast", "/quick"}) {
    canary of(mixed(), with_v2());
    lv::rng chance(7);
    lv::time_point now = lv::clock::now();
    (void)of.judge(now);
    serve(of, 10'000, 0.01, chance);  // alike, 5 ms
    call_all(of, 20'000, path, lv::verdict::success, 50us);
    const auto ruling = of.judge(now += 1min);
    EXPECT_EQ(ruling.what, lv::service::judged::healthy) << path << ": " << ruling.message();
  }
}

TEST(canary, is_not_rolled_back_by_who_asks_for_it_by_name_and_fails) {
  canary of(mixed(), with_v2());
  lv::rng chance(7);
  lv::time_point now = lv::clock::now();
  (void)of.judge(now);
  serve(of, 10'000, 0.01, chance);
  for (int i = 0; i < 500; i++) {
    const field wish{"X-Canary", "true"};
    auto way = of.route(canary_call{.fields = &wish, .field_count = 1});
    EXPECT_EQ(way.cause(), route_cause::forced);
    way.record(lv::verdict::failure, 5ms);
  }
  call_all(of, 500, "/new", lv::verdict::failure, 5ms);
  const auto ruling = of.judge(now += 1min);
  EXPECT_EQ(ruling.what, lv::service::judged::healthy) << ruling.message();
  std::uint64_t errors = 0;
  for (const auto& each : of.look()) errors += each.canary ? each.done.errors : 0;
  EXPECT_GE(errors, 1000U);  // counted they are
}

TEST(canary, that_is_really_bad_is_rolled_back_whatever_else_is_called) {
  canary of(mixed(), with_v2());
  lv::rng chance(7);
  lv::time_point now = lv::clock::now();
  (void)of.judge(now);
  serve(of, 10'000, 0.1, chance);
  for (int i = 0; i < 50'000; i++) {
    const field wish{"X-Canary", "true"};
    of.route(canary_call{.fields = &wish, .field_count = 1}).record(lv::verdict::success, 5ms);
  }
  call_all(of, 10'000, "/fast", lv::verdict::failure, 5ms);
  const auto ruling = of.judge(now += 1min);
  EXPECT_EQ(ruling.what, lv::service::judged::rolled_back) << ruling.message();
  EXPECT_EQ(ruling.fault, lv::service::canary_fault::errors);
}

TEST(canary, whose_ramp_goes_well_gets_everything_in_the_end) {
  canary_options options = with_v2();
  options.judge.ramp_percent = {1, 5, 25, 50, 100};
  options.judge.step_min = 1min;
  canary of(split(95, 5), options);
  lv::rng chance(3);
  lv::time_point now = lv::clock::now();
  std::vector<bool> before = sides(of, 2000);
  EXPECT_NEAR(percent_of(before), 1, 0.7);
  (void)of.judge(now);
  for (int minute = 0; minute < 100; minute++) {
    serve(of, 10'000, 0.01, chance);
    const auto ruling = of.judge(now += 1min);
    const std::vector<bool> after = sides(of, 2000);
    for (std::size_t i = 0; i < before.size(); i++) ASSERT_TRUE(!before[i] || after[i]);
    before = after;
    if (ruling.what == lv::service::judged::finished) break;
    ASSERT_NE(ruling.what, lv::service::judged::rolled_back) << ruling.message();
  }
  EXPECT_EQ(of.share_percent(), 100);
  EXPECT_EQ(percent_of(sides(of, 1000)), 100);
}

TEST(canary, watch_rolls_back_in_virtual_time_and_tells_of_it) {
  static int told;
  told = 0;
  const auto main = []() -> lv::task<> {
    canary of(split(90, 10), with_v2());
    lv::scope both;
    both.spawn([](canary* watched) -> lv::task<> {
      const auto last = co_await watched->watch(5s, [](const lv::service::canary_ruling& ruling) {
        EXPECT_EQ(ruling.what, lv::service::judged::rolled_back);
        told++;
      });
      EXPECT_EQ(last.fault, lv::service::canary_fault::errors);
    }, &of);
    lv::rng chance(5);
    for (int second = 0; second < 60; second++) {
      serve(of, 500, 0.2, chance);
      co_await lv::sleep(1s);
    }
    co_await both.join();
  };
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 42}, main), 0);
  EXPECT_EQ(told, 1);
}

TEST(canary, routes_the_requests_of_a_server) {
  const auto main = []() -> lv::task<> {
    static canary* versions = nullptr;
    canary of(split(100, 0), with_v2());
    versions = &of;
    lv::http::server server;
    server.route(lv::http::method::get, "/orders",
                 [](const lv::http::request& asked, const lv::http::route_match&, lv::http::response& out) -> lv::task<> {
                   auto way = versions->route(asked);
                   way.record(lv::verdict::success, 1ms);
                   out.set_body("went to " + way.to().subset);
                   co_return;
                 });
    auto listener = lv::tcp_listener::bind("127.0.0.1:7000").value();
    lv::scope serving;
    serving.spawn([](lv::http::server* by, lv::tcp_listener at) -> lv::task<> { co_await by->serve(std::move(at)); }, &server,
                  std::move(listener));
    auto connected = co_await lv::tcp_stream::connect("127.0.0.1:7000");
    lv::tcp_stream peer = std::move(connected.value());
    for (const std::string_view wish : {"", "X-Canary: true\r\n"}) {
      const std::string asked = "GET /orders?id=1 HTTP/1.1\r\nHost: orders\r\n" + std::string(wish) + "\r\n";
      const auto sent = co_await peer.write_all(std::string_view(asked));
      EXPECT_TRUE(sent);
      const std::string expected = wish.empty() ? "went to v1" : "went to v2";
      std::string answer;
      while (!answer.ends_with(expected)) {
        const auto chunk = co_await peer.read_some();
        EXPECT_TRUE(chunk);
        if (!chunk) break;
        answer.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
      }
    }
    peer.close();
    serving.cancel();
    co_await serving.join();
    EXPECT_EQ(of.look()[1].done.requests, 1U);
  };
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 42}, main), 0);
}

TEST(canary, its_field_is_inherited_by_what_a_request_spawns) {
  lv::test::run_tasks(1, []() -> lv::task<> {
    canary of(split(0, 100), with_v2());
    EXPECT_FALSE(lv::service::canary_field_to_send());
    const auto way = of.route(canary_call{.key = "k"});
    {
      const auto bound = lv::service::bind_canary(of, way);
      lv::scope calls;
      calls.spawn([]() -> lv::task<> {
        const auto sent = lv::service::canary_field_to_send();
        EXPECT_TRUE(sent && sent->name == "X-Canary" && sent->value == "true");
        co_return;
      });
      co_await calls.join();
    }
    EXPECT_FALSE(lv::service::canary_field_to_send());
    of.reload(split(100, 0));
    const auto bound = lv::service::bind_canary(of, of.route(canary_call{.key = "k"}));
    EXPECT_FALSE(lv::service::canary_field_to_send());  // nobody is coloured who was not
  });
}

}  // namespace
