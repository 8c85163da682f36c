// Goal: a request takes the one route its patterns promise, whatever the order in which they were added. Method: examples, and
// a slow reference that compares all patterns segment by segment, over random tables.
#include "levity/http/router.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

using levity::http::allow_text;
using levity::http::method;
using levity::http::method_set;
using levity::http::route_match;
using levity::http::router;

namespace {

router table(std::initializer_list<std::pair<method, std::string_view>> routes) {
  router made;
  std::size_t number = 0;
  for (const auto& [which, pattern] : routes) {
    const auto added = made.add(which, pattern, number++);
    EXPECT_TRUE(added) << (added ? "" : added.error());
  }
  return made;
}

std::string refusal_of(router& routes, std::string_view pattern, method which = method::get) {
  const auto added = routes.add(which, pattern, 9);
  return added ? "added" : added.error();
}

}  // namespace

TEST(router, literals_and_parameters_match_whole_segments) {
  const router routes = table({{method::get, "/"},
                               {method::get, "/orders"},
                               {method::get, "/orders/{id}"},
                               {method::get, "/orders/{id}/items/{item}"},
                               {method::get, "/orders/"}});
  EXPECT_EQ(routes.match(method::get, "/").route(), 0u);
  EXPECT_EQ(routes.match(method::get, "/orders").route(), 1u);
  EXPECT_EQ(routes.match(method::get, "/orders/").route(), 4u);
  const route_match one = routes.match(method::get, "/orders/42");
  ASSERT_TRUE(one);
  EXPECT_EQ(one.route(), 2u);
  EXPECT_EQ(one.parameter("id"), "42");
  EXPECT_EQ(one.parameter("other"), "");
  const route_match two = routes.match(method::get, "/orders/a%2Fb/items/9");
  ASSERT_TRUE(two);
  ASSERT_EQ(two.parameters().size(), 2u);
  EXPECT_EQ(two.parameter("id"), "a%2Fb");
  EXPECT_EQ(two.parameter("item"), "9");
  for (const auto path : {"/order", "/ordersx", "/orders/1/", "/orders//items/2", "/orders/1/items", "//", "", "*", "orders"}) {
    EXPECT_EQ(routes.match(method::get, path).kind(), route_match::outcome::not_found) << path;
  }
}

TEST(router, decodes_values_into_what_it_is_given) {
  const router routes = table({{method::get, "/{a}/x/{b}/{c}"}});
  std::string kept(3, 'x');
  route_match found = routes.match(method::get, "/1%2F/x/plain/%41%20+");
  ASSERT_TRUE(found.decode(kept));
  EXPECT_EQ(found.parameter("a"), "1/");
  EXPECT_EQ(found.parameter("b"), "plain");
  EXPECT_EQ(found.parameter("c"), "A +");
  const std::string_view path = "/a/x/b/c";
  route_match as_is = routes.match(method::get, path);
  ASSERT_TRUE(as_is.decode(kept));
  EXPECT_EQ(as_is.parameter("b").data(), path.data() + 5) << "nothing is copied where nothing is encoded";
  for (const char* malformed : {"/%41/x/b/%00", "/%41/x/%4/c", "/%/x/b/c", "/%0g/x/b/c"}) {
    route_match wrong = routes.match(method::get, malformed);
    ASSERT_TRUE(wrong);
    EXPECT_FALSE(wrong.decode(kept)) << malformed;
    EXPECT_EQ(wrong.parameters().front().value, std::string_view(malformed).substr(1, wrong.parameter("a").size()));
  }
  route_match none = routes.match(method::get, "/");
  EXPECT_TRUE(none.decode(kept));
}

TEST(router, a_literal_beats_a_parameter_in_any_order_of_adding) {
  const router first = table({{method::get, "/orders/{id}"}, {method::get, "/orders/latest"}});
  EXPECT_EQ(first.match(method::get, "/orders/latest").route(), 1u);
  const router second = table({{method::get, "/orders/latest"}, {method::get, "/orders/{id}"}});
  EXPECT_EQ(second.match(method::get, "/orders/latest").route(), 0u);
  EXPECT_EQ(second.match(method::get, "/orders/latestx").route(), 1u);
}

TEST(router, a_literal_that_leads_nowhere_gives_way_to_the_parameter) {
  const router routes = table({{method::get, "/a/{x}/c"}, {method::get, "/{y}/b/d"}, {method::get, "/{y}/{z}/c"}});
  const route_match found = routes.match(method::get, "/a/b/d");
  ASSERT_TRUE(found);
  EXPECT_EQ(found.route(), 1u);
  ASSERT_EQ(found.parameters().size(), 1u);
  EXPECT_EQ(found.parameter("y"), "a");
  EXPECT_EQ(routes.match(method::get, "/a/b/c").route(), 0u) << "the first difference from the left decides";
  EXPECT_EQ(routes.match(method::get, "/q/b/c").route(), 2u);
}

TEST(router, head_takes_the_get_route_unless_it_has_its_own) {
  const router routes = table({{method::get, "/a"}, {method::get, "/b"}, {method::head, "/b"}, {method::post, "/c"}});
  EXPECT_EQ(routes.match(method::head, "/a").route(), 0u);
  EXPECT_EQ(routes.match(method::head, "/b").route(), 2u);
  EXPECT_EQ(routes.match(method::head, "/c").kind(), route_match::outcome::method_not_allowed);
}

TEST(router, a_wrong_method_names_those_that_are_allowed) {
  const router routes = table({{method::get, "/orders/{id}"}, {method::patch, "/orders/{id}"}, {method::post, "/orders/new"}});
  const route_match refused = routes.match(method::delete_, "/orders/new");
  ASSERT_EQ(refused.kind(), route_match::outcome::method_not_allowed);
  EXPECT_FALSE(refused);
  EXPECT_EQ(allow_text(refused.allowed()).view(), "GET, HEAD, POST, PATCH") << "of every route that has this path";
  EXPECT_EQ(routes.match(method::patch, "/orders/new").route(), 1u) << "a route with the method is looked for everywhere";
  EXPECT_EQ(allow_text(method_set{method::get, method::head, method::post, method::put, method::delete_, method::connect,
                                  method::options, method::trace, method::patch})
                .view(),
            "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH");
}

TEST(router, a_conflict_is_refused_with_a_sentence) {
  router routes = table({{method::get, "/orders/{id}"}});
  EXPECT_EQ(refusal_of(routes, "/orders/{order}"),
            "GET \"/orders/{order}\" takes the same requests as the route \"/orders/{id}\", which was added before; "
            "remove one of them");
  EXPECT_EQ(routes.size(), 1u);
  EXPECT_EQ(refusal_of(routes, "/orders/{order}", method::put), "added");
  EXPECT_EQ(routes.match(method::put, "/orders/3").parameter("order"), "3") << "each route has its own names";
  EXPECT_EQ(routes.match(method::get, "/orders/3").parameter("id"), "3");
}

TEST(router, a_pattern_that_cannot_be_read_is_refused) {
  router routes;
  EXPECT_NE(refusal_of(routes, "").find("must begin with"), std::string::npos);
  EXPECT_NE(refusal_of(routes, "orders").find("must begin with"), std::string::npos);
  for (const auto pattern : {"/{}", "/{id", "/id}", "/a{id}", "/{id}b", "/{a b}", "/{a}{b}", "/}{"}) {
    EXPECT_NE(refusal_of(routes, pattern).find("braces"), std::string::npos) << pattern;
  }
  EXPECT_NE(refusal_of(routes, "/{a}/{a}").find("twice"), std::string::npos);
  EXPECT_NE(refusal_of(routes, "/a?b").find("character"), std::string::npos);
  EXPECT_NE(refusal_of(routes, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}").find("parameters"), std::string::npos);
  EXPECT_EQ(routes.size(), 0u);
  EXPECT_EQ(routes.match(method::get, "/a").kind(), route_match::outcome::not_found);
}

TEST(router, agrees_with_a_comparison_of_all_patterns) {
  const auto split = [](std::string_view path) {
    std::vector<std::string> segments;
    for (std::size_t at = 0; at < path.size();) {
      const std::size_t end = std::min(path.find('/', at + 1), path.size());
      segments.emplace_back(path.substr(at + 1, end - at - 1));
      at = end;
    }
    return segments;
  };
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::minstd_rand random(seed);
    const auto pick = [&](std::initializer_list<std::string_view> words) { return words.begin()[random() % words.size()]; };
    router routes;
    std::vector<std::string> patterns;
    for (int i = 0; i < 12; ++i) {
      std::string pattern;
      const unsigned depth = 1 + random() % 4;
      for (unsigned k = 0; k < depth; ++k) {
        const auto word = pick({"a", "b", "c", "*"});
        pattern += word == "*" ? "/{p" + std::to_string(k) + "}" : "/" + std::string(word);
      }
      if (routes.add(method::get, pattern, patterns.size())) patterns.push_back(pattern);
    }
    for (int i = 0; i < 100; ++i) {
      std::string path;
      const unsigned depth = 1 + random() % 4;
      for (unsigned k = 0; k < depth; ++k) path += "/" + std::string(pick({"a", "b", "c", "d"}));
      // The best: literal before parameter at the first segment that differs.
      std::size_t best = patterns.size();
      std::string best_shape;
      for (std::size_t p = 0; p < patterns.size(); ++p) {
        const auto have = split(path);
        const auto want = split(patterns[p]);
        std::string shape;
        bool fits = have.size() == want.size();
        for (std::size_t k = 0; fits && k < want.size(); ++k) {
          const bool parameter = want[k].starts_with('{');
          fits = parameter || want[k] == have[k];
          shape += parameter ? '1' : '0';
        }
        if (fits && (best == patterns.size() || shape < best_shape)) {
          best = p;
          best_shape = shape;
        }
      }
      const route_match got = routes.match(method::get, path);
      ASSERT_EQ(static_cast<bool>(got), best < patterns.size()) << "seed " << seed << " " << path;
      if (got) {
        ASSERT_EQ(got.route(), best) << "seed " << seed << " " << path << " " << patterns[best];
      }
    }
  }
}
