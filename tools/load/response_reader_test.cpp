// Goal: however the network cuts the bytes, the same answer is read, and what a strict client must refuse is refused.
// Method: every answer is fed split at every position, and byte by byte.
#include "load/response_reader.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using levity::load::response_reader;

namespace {

struct reading {
  bool complete;
  bool failed;
  int status;
  std::string body;
  bool keep_alive;
  std::size_t used;
};

reading feed_split(const std::string& bytes, std::size_t cut, bool to_head = false) {
  response_reader reader;
  reader.start(to_head);
  std::size_t used = reader.feed(std::string_view(bytes).substr(0, cut));
  if (!reader.complete() && !reader.failed()) used += reader.feed(std::string_view(bytes).substr(cut));
  return {reader.complete(), reader.failed(), reader.status(), std::string(reader.body()), reader.keep_alive(), used};
}

void expect_everywhere(const std::string& bytes, int status, const std::string& body, bool keep_alive = true) {
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    SCOPED_TRACE(cut);
    const auto got = feed_split(bytes, cut);
    ASSERT_TRUE(got.complete);
    ASSERT_EQ(got.status, status);
    ASSERT_EQ(got.body, body);
    ASSERT_EQ(got.keep_alive, keep_alive);
    ASSERT_EQ(got.used, bytes.size());
  }
  response_reader reader;
  reader.start();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_FALSE(reader.complete()) << i;
    ASSERT_EQ(reader.feed(std::string_view(bytes).substr(i, 1)), 1U);
  }
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.body(), body);
}

}  // namespace

TEST(response_reader, fixed_length_is_read_at_every_split) {
  expect_everywhere("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", 200, "hello");
}

TEST(response_reader, empty_body_is_read_at_every_split) {
  expect_everywhere("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "");
}

TEST(response_reader, chunks_extensions_and_trailers_are_read_at_every_split) {
  expect_everywhere(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA \r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n", 200,
      "hello0123456789");
}

TEST(response_reader, interim_answers_are_skipped_at_every_split) {
  expect_everywhere("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201, "ok");
}

TEST(response_reader, no_content_and_not_modified_have_no_body) {
  expect_everywhere("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
  expect_everywhere("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, "");
}

TEST(response_reader, close_and_http_1_0_end_the_connection) {
  expect_everywhere("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx", 200, "x", false);
  expect_everywhere("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false);
  expect_everywhere("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, "x", true);
}

TEST(response_reader, answer_to_head_has_no_body) {
  const auto got = feed_split("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 10, true);
  EXPECT_TRUE(got.complete);
}

TEST(response_reader, body_without_a_length_ends_with_the_connection) {
  response_reader reader;
  reader.start();
  reader.feed("HTTP/1.1 200 OK\r\n\r\nall of it");
  EXPECT_FALSE(reader.complete());
  EXPECT_TRUE(reader.end());
  EXPECT_EQ(reader.body(), "all of it");
  EXPECT_FALSE(reader.keep_alive());
}

TEST(response_reader, closing_early_does_not_complete) {
  const std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    response_reader reader;
    reader.start();
    reader.feed(std::string_view(bytes).substr(0, cut));
    EXPECT_FALSE(reader.end()) << cut;
  }
}

TEST(response_reader, surplus_bytes_are_left_alone) {
  response_reader reader;
  reader.start();
  const std::string_view one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
  EXPECT_EQ(reader.feed(std::string(one) + "HTTP/1.1"), one.size());
  EXPECT_TRUE(reader.complete());
}

TEST(response_reader, headers_are_found_in_any_case) {
  response_reader reader;
  reader.start();
  reader.feed("HTTP/1.1 201 Created\r\nLocation:  /orders/7 \r\nX-Empty:\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(reader.complete());
  EXPECT_EQ(reader.header("LOCATION"), "/orders/7");
  EXPECT_EQ(reader.header("x-empty"), "");
  EXPECT_EQ(reader.header("x-none"), std::nullopt);
}

TEST(response_reader, reader_is_reusable_after_start) {
  response_reader reader;
  for (int i = 0; i < 3; ++i) {
    reader.start();
    EXPECT_TRUE(reader.untouched());
    reader.feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    EXPECT_TRUE(reader.complete());
    EXPECT_FALSE(reader.untouched());
    EXPECT_EQ(reader.body(), "ok");
  }
}

TEST(response_reader, long_body_is_counted_and_its_front_kept) {
  response_reader reader;
  reader.start();
  const std::size_t size = response_reader::kept_body_bytes_max + 1'000;
  reader.feed("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  reader.feed(std::string(size, 'x'));
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.body_bytes(), size);
  EXPECT_EQ(reader.body().size(), response_reader::kept_body_bytes_max);
}

TEST(response_reader, what_a_strict_client_must_refuse_is_refused_at_every_split) {
  const std::vector<std::string> broken{
      "HTTP/2.0 200 OK\r\n\r\n",
      "ICY 200 OK\r\nabc\r\n\r\n",
      "HTTP/1.1 2x0 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
      "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
      "HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\n\r\n",
      "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
      "HTTP/1.1 200 OK\nX-A: b\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX-A: b\nX-B: c\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      "\r\n\r\n",
  };
  for (const auto& bytes : broken) {
    SCOPED_TRACE(bytes);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      const auto got = feed_split(bytes, cut);
      ASSERT_TRUE(got.failed) << cut;
      ASSERT_FALSE(got.complete) << cut;
    }
  }
}

TEST(response_reader, endless_head_is_refused) {
  response_reader reader;
  reader.start();
  reader.feed("HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 10'000 && !reader.failed(); ++i) reader.feed("X-Pad: 0123456789\r\n");
  EXPECT_TRUE(reader.failed());
}
