#include "levity/http/url.hpp"

#include <gtest/gtest.h>

namespace {

using levity::http::url;

std::string resolved(std::string_view base, std::string_view reference) {
  const auto got = url::parse(base).value().resolve(reference);
  return got ? std::string(got->text()) : "failed: " + got.error();
}

}  // namespace

TEST(http_url, is_cut_into_its_parts) {
  const auto whole = url::parse("HTTP://Orders.Example:8080/a/b?x=1&y=%20#part");
  ASSERT_TRUE(whole.has_value()) << whole.error();
  EXPECT_EQ(whole->text(), "http://orders.example:8080/a/b?x=1&y=%20");
  EXPECT_EQ(whole->host(), "orders.example");
  EXPECT_EQ(whole->port(), 8080);
  EXPECT_EQ(whole->authority(), "orders.example:8080");
  EXPECT_EQ(whole->target(), "/a/b?x=1&y=%20");
  EXPECT_EQ(whole->path(), "/a/b");
  const auto bare = url::parse("http://a").value();
  EXPECT_EQ(bare.target(), "/");
  EXPECT_EQ(bare.port(), 80);
  EXPECT_EQ(bare.authority(), "a");
  EXPECT_EQ(url::parse("http://a:80/").value().authority(), "a") << "the port that is meant anyway";
  EXPECT_EQ(url::parse("http://a:/").value().port(), 80);
  EXPECT_EQ(url::parse("http://a?x").value().target(), "/?x");
  EXPECT_EQ(url::parse("http://a#x").value().target(), "/");
  const auto v6 = url::parse("http://[::1]:90/x").value();
  EXPECT_EQ(v6.host(), "::1");
  EXPECT_EQ(v6.authority(), "[::1]:90");
}

TEST(http_url, is_refused_with_a_sentence_that_names_it) {
  for (const char* const text : {"",
                                 "a",
                                 "/a",
                                 "a:80",
                                 "http:",
                                 "http:/a",
                                 "http://",
                                 "http:///a",
                                 "http://?x",
                                 "http://a b",
                                 "http://a/b c",
                                 "http://a/\"",
                                 "http://a/<b>",
                                 "http://u@a/",
                                 "http://u:p@a/",
                                 "http://a:b/",
                                 "http://a:0/",
                                 "http://a:65536/",
                                 "http://a:123456/",
                                 "http://[::1",
                                 "http://[]/",
                                 "http://[::1]x/",
                                 "http://a/%",
                                 "http://a/%1",
                                 "http://a/%gg",
                                 "http://a?%zz",
                                 "https://a/",
                                 "ftp://a/",
                                 "javascript:alert(1)",
                                 "http://a/\r\nX: y",
                                 "http://a\r\n",
                                 "http://a/\x7f",
                                 "http://\xc3\xa4/"}) {
    const auto got = url::parse(text);
    EXPECT_FALSE(got.has_value()) << text;
    if (!got) {
      EXPECT_TRUE(got.error().starts_with("the URL \"")) << got.error();
      EXPECT_EQ(got.error().find('\r'), std::string::npos);
    }
  }
  EXPECT_FALSE(url::parse("http://a/" + std::string(70'000, 'a')).has_value());
}

// RFC 3986 5.4, as far as the scheme is ours.
TEST(http_url, resolves_references_as_the_rfc_does) {
  constexpr std::string_view base = "http://a/b/c/d;p?q";
  EXPECT_EQ(resolved(base, "g"), "http://a/b/c/g");
  EXPECT_EQ(resolved(base, "./g"), "http://a/b/c/g");
  EXPECT_EQ(resolved(base, "g/"), "http://a/b/c/g/");
  EXPECT_EQ(resolved(base, "/g"), "http://a/g");
  EXPECT_EQ(resolved(base, "//g"), "http://g/");
  EXPECT_EQ(resolved(base, "?y"), "http://a/b/c/d;p?y");
  EXPECT_EQ(resolved(base, "g?y"), "http://a/b/c/g?y");
  EXPECT_EQ(resolved(base, "#s"), "http://a/b/c/d;p?q");
  EXPECT_EQ(resolved(base, "g#s"), "http://a/b/c/g");
  EXPECT_EQ(resolved(base, "g?y#s"), "http://a/b/c/g?y");
  EXPECT_EQ(resolved(base, ";x"), "http://a/b/c/;x");
  EXPECT_EQ(resolved(base, ""), "http://a/b/c/d;p?q");
  EXPECT_EQ(resolved(base, "."), "http://a/b/c/");
  EXPECT_EQ(resolved(base, "./"), "http://a/b/c/");
  EXPECT_EQ(resolved(base, ".."), "http://a/b/");
  EXPECT_EQ(resolved(base, "../g"), "http://a/b/g");
  EXPECT_EQ(resolved(base, "../.."), "http://a/");
  EXPECT_EQ(resolved(base, "../../g"), "http://a/g");
  EXPECT_EQ(resolved(base, "../../../g"), "http://a/g");
  EXPECT_EQ(resolved(base, "/./g"), "http://a/g");
  EXPECT_EQ(resolved(base, "/../g"), "http://a/g");
  EXPECT_EQ(resolved(base, "g."), "http://a/b/c/g.");
  EXPECT_EQ(resolved(base, "..g"), "http://a/b/c/..g");
  EXPECT_EQ(resolved(base, "./../g"), "http://a/b/g");
  EXPECT_EQ(resolved(base, "g/./h"), "http://a/b/c/g/h");
  EXPECT_EQ(resolved(base, "g/../h"), "http://a/b/c/h");
  EXPECT_EQ(resolved(base, "g?y/../x"), "http://a/b/c/g?y/../x");
  EXPECT_EQ(resolved(base, "http://g:81/h"), "http://g:81/h");
  EXPECT_TRUE(resolved(base, "mailto:a@b").starts_with("failed: "));
  EXPECT_TRUE(url::parse("http://A/").value().same_server(url::parse("http://a:80/x").value()));
  EXPECT_FALSE(url::parse("http://a/").value().same_server(url::parse("http://a:81/").value()));
}
