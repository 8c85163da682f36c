#include "levity/http/query.hpp"

#include <gtest/gtest.h>

#include <vector>

using levity::http::percent_decode;
using levity::http::plus;
using levity::http::query_pair;
using levity::http::query_pairs;
using levity::http::query_value;

namespace {

std::string decoded(std::string_view text, plus reading = plus::is_plus) {
  std::string out;
  return percent_decode(text, out, reading) ? out : "refused";
}

std::vector<query_pair> pairs(std::string_view query) {
  std::vector<query_pair> found;
  for (const query_pair& each : query_pairs(query)) found.push_back(each);
  return found;
}

}  // namespace

TEST(percent_decode, reads_what_is_encoded) {
  EXPECT_EQ(decoded(""), "");
  EXPECT_EQ(decoded("a%20b%2fC%2F"), "a b/C/");
  EXPECT_EQ(decoded("%e2%82%AC"), "\xe2\x82\xac");
  EXPECT_EQ(decoded("%2520"), "%20") << "decoded once";
  EXPECT_EQ(decoded("a+b"), "a+b");
  EXPECT_EQ(decoded("a+b%2B", plus::is_blank), "a b+");
}

TEST(percent_decode, refuses_what_is_none_and_leaves_the_text_as_it_was) {
  for (const auto text : {"%", "a%", "%4", "%zz", "%4g", "%%41", "%00"}) {
    std::string out = "before";
    EXPECT_FALSE(percent_decode(text, out)) << text;
    EXPECT_EQ(out, "before");
  }
}

TEST(query_pairs, come_in_order) {
  EXPECT_EQ(pairs("a=1&b=2&a=3"), (std::vector<query_pair>{{"a", "1"}, {"b", "2"}, {"a", "3"}}));
  EXPECT_EQ(pairs(""), (std::vector<query_pair>{}));
  EXPECT_EQ(pairs("&&"), (std::vector<query_pair>{}));
  EXPECT_EQ(pairs("a&b=&=c&d=e=f&"), (std::vector<query_pair>{{"a", ""}, {"b", ""}, {"", "c"}, {"d", "e=f"}}));
}

TEST(query_value, is_the_first_of_that_name) {
  EXPECT_EQ(query_value("customer=7&after=3&customer=8", "customer"), "7");
  EXPECT_EQ(query_value("customer=7", "custom"), std::nullopt);
  EXPECT_EQ(query_value("flag", "flag"), "");
}
