// Goal: every answer is framed so that the peer finds its end, and no field can smuggle in another. Method: the bytes.
#include "http/response_writer.hpp"

#include <gtest/gtest.h>

#include "http/date_text.hpp"
#include "levity/http/problem.hpp"

using namespace std::string_view_literals;
using levity::http::method;
using levity::http::response;
using levity::http::status;
using levity::http::version;
using levity::http::detail::answer_to;
using levity::http::detail::response_writer;

namespace {

std::string joined(std::span<const iovec> pieces) {
  std::string out;
  for (const iovec& piece : pieces) out.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  return out;
}

}  // namespace

TEST(response_writer, a_whole_answer_has_date_length_fields_and_body) {
  response answer;
  answer.set_status(status::created);
  answer.set("Location", "/orders/7");
  answer.set_body("{}");
  response_writer writer;
  const auto pieces = writer.whole(answer, {.date = "Sun, 06 Nov 1994 08:49:37 GMT"});
  EXPECT_EQ(joined(pieces), "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n"
                            "Location: /orders/7\r\n\r\n{}");
  EXPECT_TRUE(writer.keeps_connection());
}

TEST(response_writer, the_body_is_not_copied) {
  const std::string payload(100'000, 'x');
  response answer;
  answer.set_body_view(payload);
  response_writer writer;
  const auto pieces = writer.whole(answer, {});
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].iov_base, payload.data());
  EXPECT_EQ(pieces[1].iov_len, payload.size());
}

TEST(response_writer, an_empty_body_is_one_piece_with_length_zero) {
  response_writer writer;
  const auto pieces = writer.whole(response(), {});
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(joined(pieces), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST(response_writer, head_gets_the_head_of_the_get_answer) {
  response answer;
  answer.set("Content-Type", "text/plain");
  answer.set_body("hello");
  response_writer writer;
  const std::string with_body = joined(writer.whole(answer, {.method = method::get}));
  EXPECT_EQ(joined(writer.whole(answer, {.method = method::head})) + "hello", with_body);
  EXPECT_TRUE(joined(writer.begin_pieces(answer, {.method = method::head})).find("chunked") != std::string::npos);
  EXPECT_TRUE(writer.piece("hello").empty());
  EXPECT_TRUE(writer.end_pieces().empty());
}

TEST(response_writer, statuses_without_body_send_none_and_no_length) {
  for (const status which : {status::no_content, status::not_modified, status::continue_}) {
    response answer;
    answer.set_status(which);
    answer.set_body("must not be sent");
    response_writer writer;
    const std::string whole = joined(writer.whole(answer, {}));
    EXPECT_EQ(whole.find("Content-Length"), std::string::npos) << whole;
    EXPECT_TRUE(whole.ends_with("\r\n\r\n")) << whole;
    const std::string begun = joined(writer.begin_pieces(answer, {}));
    EXPECT_EQ(begun.find("Transfer-Encoding"), std::string::npos) << begun;
    EXPECT_TRUE(writer.piece("x").empty());
    EXPECT_TRUE(writer.end_pieces().empty());
  }
}

TEST(response_writer, connection_follows_version_and_wish) {
  const auto line = [](version spoken, bool keep, bool closes) {
    response answer;
    if (closes) answer.close();
    response_writer writer;
    const std::string bytes = joined(writer.whole(answer, {.version = spoken, .keep_alive = keep}));
    EXPECT_EQ(writer.keeps_connection(), keep && !closes);
    if (bytes.find("Connection: close\r\n") != std::string::npos) return "close"sv;
    return bytes.find("Connection: keep-alive\r\n") != std::string::npos ? "keep-alive"sv : "nothing"sv;
  };
  EXPECT_EQ(line(version::http_1_1, true, false), "nothing");
  EXPECT_EQ(line(version::http_1_1, false, false), "close");
  EXPECT_EQ(line(version::http_1_1, true, true), "close");
  EXPECT_EQ(line(version::http_1_0, true, false), "keep-alive");
  EXPECT_EQ(line(version::http_1_0, false, false), "close");
}

TEST(response_writer, pieces_are_chunks_in_http_1_1) {
  response_writer writer;
  std::string bytes = joined(writer.begin_pieces(response(), {}));
  EXPECT_EQ(bytes, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(joined(writer.piece("hello")), "5\r\nhello\r\n");
  EXPECT_EQ(joined(writer.piece(std::string(26, 'x'))), "1a\r\n" + std::string(26, 'x') + "\r\n");
  EXPECT_TRUE(writer.piece("").empty()) << "an empty chunk would end the body";
  EXPECT_EQ(joined(writer.end_pieces()), "0\r\n\r\n");
  EXPECT_TRUE(writer.keeps_connection());
}

TEST(response_writer, pieces_end_with_the_connection_in_http_1_0) {
  response_writer writer;
  const std::string bytes = joined(writer.begin_pieces(response(), {.version = version::http_1_0, .keep_alive = true}));
  EXPECT_EQ(bytes, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(joined(writer.piece("hello")), "hello");
  EXPECT_TRUE(writer.end_pieces().empty());
  EXPECT_FALSE(writer.keeps_connection());
}

TEST(response, a_value_cannot_smuggle_in_a_line) {
  response answer;
  for (const auto value : {"a\r\nSet-Cookie: x"sv, "a\nb"sv, "a\rb"sv, "a\0b"sv, "\x7f"sv, "\x1b"sv}) {
    EXPECT_FALSE(answer.set("X", value));
    EXPECT_FALSE(answer.add("X", value));
  }
  for (const auto name : {""sv, "a b"sv, "a:"sv, "a\r\n"sv, "\xc3\xa9"sv, "a\0"sv}) EXPECT_FALSE(answer.set(name, "x"));
  EXPECT_EQ(answer.field_lines(), "");
}

TEST(response, framing_belongs_to_the_connection) {
  response answer;
  for (const auto name : {"Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "Date", "Trailer"}) {
    EXPECT_FALSE(answer.set(name, "1")) << name;
  }
  EXPECT_EQ(answer.field_lines(), "");
}

TEST(response, a_refused_set_leaves_the_old_value) {
  response answer;
  EXPECT_TRUE(answer.set("A", "1"));
  EXPECT_FALSE(answer.set("A", "2\n"));
  EXPECT_EQ(answer.find("a"), "1");
}

TEST(response, set_replaces_and_add_keeps) {
  response answer;
  EXPECT_TRUE(answer.set("Content-Type", "text/plain"));
  EXPECT_TRUE(answer.add("Set-Cookie", "a=1"));
  EXPECT_TRUE(answer.add("Set-Cookie", "b=2"));
  EXPECT_TRUE(answer.set("content-type", " application/json\t"));
  EXPECT_EQ(answer.find("CONTENT-TYPE"), "application/json");
  EXPECT_EQ(answer.field_lines(), "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-type: application/json\r\n");
  answer.remove("SET-COOKIE");
  EXPECT_EQ(answer.field_lines(), "content-type: application/json\r\n");
  EXPECT_EQ(answer.find("content-type"), "application/json");
  EXPECT_EQ(answer.find("content-typ"), std::nullopt);
}

TEST(response, a_field_may_be_set_to_the_value_of_another) {
  response answer;
  EXPECT_TRUE(answer.set("A", "a value that is longer than a short string"));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(answer.add("B", *answer.find("A")));
  EXPECT_TRUE(answer.set("A", *answer.find("A")));
  EXPECT_EQ(answer.find("A"), "a value that is longer than a short string");
  EXPECT_EQ(answer.find("B"), answer.find("A"));
}

TEST(response, clear_forgets_all) {
  response answer;
  answer.set("A", "1");
  answer.set_body_view("x");
  answer.set_status(status::conflict);
  answer.close();
  answer.clear();
  EXPECT_EQ(answer.field_lines(), "");
  EXPECT_EQ(answer.body(), "");
  EXPECT_EQ(answer.status(), status::ok);
  EXPECT_FALSE(answer.closes());
}

TEST(date_text, is_the_date_of_the_second) {
  levity::http::detail::date_text date;
  EXPECT_EQ(date.at(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.at(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.at(784111778), "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.at(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(date.at(1798761599), "Thu, 31 Dec 2026 23:59:59 GMT");
}

TEST(problem, is_a_document_with_title_status_and_detail) {
  response answer;
  write_problem(answer, status::not_found, "no order \"7\"");
  EXPECT_EQ(answer.status(), status::not_found);
  EXPECT_EQ(answer.find("content-type"), "application/problem+json");
  EXPECT_EQ(answer.body(), R"({"type":"about:blank","title":"Not Found","status":404,"detail":"no order \"7\""})");
  write_problem(answer, status::conflict);
  EXPECT_EQ(answer.body(), R"({"type":"about:blank","title":"Conflict","status":409})");
}

TEST(problem, any_bytes_become_valid_json_text) {
  const auto text = [](std::string_view bytes) {
    std::string out;
    levity::http::append_json_text(out, bytes);
    return out;
  };
  EXPECT_EQ(text("a\\b\n\0\x7f"sv), R"(a\\b\u000a\u0000\u007f)");
  EXPECT_EQ(text("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  const std::string lost = "\xef\xbf\xbd";
  EXPECT_EQ(text("\xff"), lost);
  EXPECT_EQ(text("\xc3"), lost);
  EXPECT_EQ(text("\xc0\x80"), lost + lost) << "overlong";
  EXPECT_EQ(text("\xed\xa0\x80"), lost + lost + lost) << "surrogate";
  EXPECT_EQ(text("\xf4\x90\x80\x80"), lost + lost + lost + lost) << "above U+10FFFF";
}

TEST(status, each_code_has_a_phrase) {
  for (unsigned number = 100; number < 600; ++number) EXPECT_FALSE(reason(static_cast<status>(number)).empty());
  EXPECT_EQ(reason(status::fields_too_large), "Request Header Fields Too Large");
  EXPECT_EQ(reason(static_cast<status>(418)), "Client Error");
}
