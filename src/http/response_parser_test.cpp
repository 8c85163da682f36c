// The parser of answers: what it takes, what it refuses, and that the way bytes are cut changes neither.

#include "http/response_parser.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "http/answer_support.hpp"

namespace {

using namespace levity::http;
using test::hear;

// Says the same in one piece, byte by byte and in random pieces.
std::string said(std::string_view bytes, method asked = method::get, const limits& bounds = {}, bool ends = true) {
  const test::hearing whole = hear(bytes, asked, bounds, ends);
  EXPECT_EQ(whole.problem, "") << bytes;
  std::vector<std::size_t> cuts(bytes.size());
  std::iota(cuts.begin(), cuts.end(), std::size_t{0});
  const test::hearing bytewise = hear(bytes, cuts, asked, bounds, ends);
  EXPECT_EQ(bytewise.problem, "") << bytes;
  EXPECT_EQ(bytewise.transcript, whole.transcript) << bytes;
  EXPECT_EQ(bytewise.ends, whole.ends) << bytes;
  std::minstd_rand random(static_cast<unsigned>(bytes.size()) + 1);
  for (int round = 0; round < 8; ++round) {
    cuts.resize(1 + random() % 5);
    for (auto& cut : cuts) cut = random() % (bytes.size() + 1);
    std::sort(cuts.begin(), cuts.end());
    const test::hearing pieces = hear(bytes, cuts, asked, bounds, ends);
    EXPECT_EQ(pieces.transcript, whole.transcript) << bytes;
  }
  return whole.transcript;
}

struct hostile {
  std::string_view text;
  refusal why;
};

constexpr std::string_view ok = "HTTP/1.1 200 OK\r\n";

// Each begins with a head that would be fine, or with none; what is wrong is the rest.
const hostile heads[] = {
    // The first line.
    {"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", refusal::garbage_first},
    {"\n", refusal::garbage_first},
    {" HTTP/1.1 200 OK\r\n\r\n", refusal::garbage_first},
    {"http/1.1 200 OK\r\n\r\n", refusal::garbage_first},
    {"HTTQ/1.1 200 OK\r\n\r\n", refusal::garbage_first},
    {"ICY 200 OK\r\n\r\n", refusal::garbage_first},
    {"SSH-2.0-OpenSSH_9.2\r\n", refusal::garbage_first},
    {"\x15\x03\x01\x00\x02\x02\x46", refusal::garbage_first},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", refusal::garbage_first},
    {"<html>not found</html>", refusal::garbage_first},
    {"HTTP/1.1\r\n\r\n", refusal::status_line_shape},
    {"HTTP/11 200 OK\r\n\r\n", refusal::version_shape},
    {"HTTP/ 1.1 200 OK\r\n\r\n", refusal::version_shape},
    {"HTTP/a.1 200 OK\r\n\r\n", refusal::version_shape},
    {"HTTP/1,1 200 OK\r\n\r\n", refusal::version_shape},
    {"HTTP/\r\n\r\n", refusal::version_shape},
    {"HTTP/2.0 200 OK\r\n\r\n", refusal::version_unsupported},
    {"HTTP/0.9 200 OK\r\n\r\n", refusal::version_unsupported},
    {"HTTP/1.2 200 OK\r\n\r\n", refusal::version_unsupported},
    {"HTTP/3.0 200 OK\r\n\r\n", refusal::version_unsupported},
    {"HTTP/1.1  200 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1\t200 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 20 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 2000 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 2x0 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 -20 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 +20 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 200OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 200\tOK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 OK\r\n\r\n", refusal::status_line_shape},
    {"HTTP/1.1 000 No\r\n\r\n", refusal::status_unknown},
    {"HTTP/1.1 099 No\r\n\r\n", refusal::status_unknown},
    {"HTTP/1.1 600 No\r\n\r\n", refusal::status_unknown},
    {"HTTP/1.1 999 No\r\n\r\n", refusal::status_unknown},
    {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", refusal::bare_lf},
    {"HTTP/1.1 200 OK\rContent-Length: 0\r\r", refusal::bare_cr},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", refusal::control_character},
    {std::string_view("HTTP/1.1 200 O\0K\r\n\r\n", 21), refusal::control_character},
    {"HTTP/1.1 200 OK\x7f\r\n\r\n", refusal::control_character},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", refusal::upgrade_unasked},
    // Fields.
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", refusal::length_repeated},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", refusal::length_repeated},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", refusal::length_repeated},
    {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5.0\r\n\r\nhello", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\n", refusal::length_invalid},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refusal::length_with_coding},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", refusal::length_with_coding},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refusal::coding_in_http_1_0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", refusal::coding_repeated},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", refusal::coding_repeated},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", refusal::coding_repeated},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", refusal::coding_unknown},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", refusal::coding_unknown},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", refusal::coding_unknown},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", refusal::coding_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", refusal::coding_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", refusal::coding_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chun ked\r\n\r\n", refusal::coding_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n", refusal::space_before_colon},
    {"HTTP/1.1 200 OK\r\n Transfer-Encoding: chunked\r\n\r\n", refusal::folded_field},
    {"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n", refusal::folded_field},
    {"HTTP/1.1 200 OK\r\nX: a\r\n\tfolded\r\n\r\n", refusal::folded_field},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", refusal::field_without_colon},
    {"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n", refusal::field_without_colon},
    {"HTTP/1.1 200 OK\r\n: value\r\n\r\n", refusal::field_name_empty},
    {"HTTP/1.1 200 OK\r\nna(me: value\r\n\r\n", refusal::field_name_character},
    {"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: smuggled=1\r\n\r\n", refusal::bare_lf},
    {"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", refusal::bare_cr},
    {std::string_view("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 27), refusal::control_character},
    {"HTTP/1.1 200 OK\r\nX: a\x08\r\n\r\n", refusal::control_character},
    // Bodies where none can be, and answers before the answer.
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", refusal::body_where_none_can_be},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refusal::body_where_none_can_be},
    {"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello", refusal::body_where_none_can_be},
    {"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refusal::body_where_none_can_be},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n", refusal::upgrade_unasked},
    {"HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", refusal::garbage_first},
    // Chunks.
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", refusal::bare_cr},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;ext\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", refusal::chunk_end_missing},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", refusal::chunk_end_missing},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r0\r\n\r\n", refusal::chunk_end_missing},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", refusal::chunk_end_missing},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", refusal::chunk_size_too_large},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", refusal::body_too_large},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;\x01\r\nhello\r\n0\r\n\r\n", refusal::chunk_size_invalid},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n", refusal::field_without_colon},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n", refusal::space_before_colon},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n X: a\r\n\r\n", refusal::folded_field},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n", refusal::bare_lf},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n", refusal::bare_lf},
    // The end where none may be.
    {"H", refusal::cut_short},
    {"HTTP/1.1 200", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\n", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", refusal::cut_short},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: a\r\n", refusal::cut_short},
    {"HTTP/1.1 100 Continue\r\n\r\n", refusal::cut_short},
};

}  // namespace

TEST(http_response_parser, takes_what_servers_send) {
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "200 HTTP/1.1 Content-Length=5 body=hello keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), "200 HTTP/1.1 Content-Length=0 keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "200 HTTP/1.1 Content-Length=0 keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 404 Nicht gefunden \xc3\xa4\r\nContent-Length: 0\r\n\r\n"),
            "404 HTTP/1.1 Content-Length=0 keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 599 x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
            "599 HTTP/1.1 Content-Length=1 Connection=close body=x close\nclosed");
  EXPECT_EQ(said("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), "200 HTTP/1.0 Content-Length=1 body=x close\nclosed");
  EXPECT_EQ(said("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx"),
            "200 HTTP/1.0 Content-Length=1 Connection=keep-alive body=x keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"),
            "200 HTTP/1.1 Set-Cookie=a=1 set-cookie=b=2 Content-Length=0 keep-alive\nidle");
}

TEST(http_response_parser, reads_chunks_with_extensions_and_trailers) {
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0;x\r\nETag: "
                 "e\r\nContent-Length: 9\r\n\r\n"),
            "200 HTTP/1.1 Transfer-Encoding=chunked body=hello world trailer:ETag=e keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
            "200 HTTP/1.1 Transfer-Encoding=Chunked body= keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000a\r\n0123456789\r\n00\r\n\r\n"),
            "200 HTTP/1.1 Transfer-Encoding=chunked body=0123456789 keep-alive\nidle");
}

TEST(http_response_parser, ends_a_body_without_length_with_the_connection) {
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\n\r\nall of it"), "200 HTTP/1.1 body=all of it close\nclosed");
  EXPECT_EQ(said("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            "200 HTTP/1.0 Connection=keep-alive body=HTTP/1.1 200 OK\r\n\r\n close\nclosed");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\n\r\n"), "200 HTTP/1.1 body= close\nclosed");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\n\r\nsome", method::get, {}, false), "waiting");
}

TEST(http_response_parser, knows_which_answers_have_no_body) {
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", method::head),
            "200 HTTP/1.1 Content-Length=5 keep-alive\n200 HTTP/1.1 Transfer-Encoding=chunked keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 x\r\n\r\n", method::head),
            "200 HTTP/1.1 keep-alive\n204 HTTP/1.1 keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "304 HTTP/1.1 Content-Length=5 keep-alive\n304 HTTP/1.1 Transfer-Encoding=chunked keep-alive\nidle");
  EXPECT_EQ(said("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), "204 HTTP/1.1 Content-Length=0 keep-alive\nidle");
}

TEST(http_response_parser, drops_interim_answers_up_to_a_bound) {
  EXPECT_EQ(said("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
                 "2\r\n\r\nhi"),
            "200 HTTP/1.1 Content-Length=2 body=hi keep-alive\nidle");
  std::string many;
  for (int i = 0; i < 8; ++i) many += "HTTP/1.1 102 Processing\r\n\r\n";
  EXPECT_EQ(said(many + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "200 HTTP/1.1 Content-Length=0 keep-alive\nidle");
  EXPECT_EQ(said(many + many), "refused interim_answers");
}

TEST(http_response_parser, refuses_what_could_be_read_in_two_ways) {
  static_assert(std::size(heads) >= 110);
  for (const hostile& each : heads) {
    EXPECT_EQ(said(each.text), "refused " + std::string(to_string(each.why))) << each.text;
  }
}

TEST(http_response_parser, refuses_the_same_behind_a_good_answer) {
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  for (const hostile& each : heads) {
    EXPECT_EQ(said(good + std::string(each.text)),
              "200 HTTP/1.1 Content-Length=2 body=hi keep-alive\nrefused " + std::string(to_string(each.why)))
        << each.text;
  }
}

TEST(http_response_parser, keeps_its_limits) {
  limits small;
  small.head_bytes = 100;
  small.fields = 2;
  small.body_bytes = 4;
  small.trailer_bytes = 20;
  small.chunk_line_bytes = 8;
  small.chunk_extension_bytes = 8;
  const std::string head(ok);
  EXPECT_EQ(said(head + "X: " + std::string(90, 'a') + "\r\n\r\n", method::get, small), "refused head_too_large");
  EXPECT_EQ(said(head + std::string(1000, 'a'), method::get, small), "refused head_too_large");
  EXPECT_EQ(said(head + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", method::get, small), "refused too_many_fields");
  EXPECT_EQ(said(head + "Content-Length: 5\r\n\r\nhello", method::get, small), "refused body_too_large");
  EXPECT_EQ(said(head + "Content-Length: 4\r\n\r\nhell", method::get, small),
            "200 HTTP/1.1 Content-Length=4 body=hell keep-alive\nidle");
  EXPECT_EQ(said(head + "Content-Length: 5\r\n\r\n", method::head, small), "200 HTTP/1.1 Content-Length=5 keep-alive\nidle");
  EXPECT_EQ(said(head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", method::get, small),
            "refused body_too_large");
  EXPECT_EQ(said(head + "\r\nhello", method::get, small), "refused body_too_large");
  EXPECT_EQ(said(head + "\r\nhell", method::get, small), "200 HTTP/1.1 body=hell close\nclosed");
  EXPECT_EQ(said(head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + std::string(40, 'a') + "\r\n\r\n", method::get, small),
            "refused trailers_too_large");
  EXPECT_EQ(said(head + "Transfer-Encoding: chunked\r\n\r\n3;abcdefgh\r\nabc\r\n0\r\n\r\n", method::get, small),
            "refused chunk_line_too_long");
}

TEST(http_response_parser, tells_whether_a_byte_of_the_answer_came) {
  detail::response_parser parser;
  detail::kept_answer kept;
  parser.begin(method::get, kept);
  EXPECT_TRUE(parser.untouched());
  EXPECT_EQ(parser.feed("").what, detail::response_parser::verdict::kind::needs_more);
  EXPECT_TRUE(parser.untouched());
  EXPECT_EQ(parser.feed("H").what, detail::response_parser::verdict::kind::needs_more);
  EXPECT_FALSE(parser.untouched());
}
