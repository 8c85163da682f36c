// Goal: every request is understood in one way or refused, however it is cut into reads. Method: a table of raw bytes with
// what must be said about them; each row is run whole, byte by byte, and cut in two at every position, with the body collected
// and streamed, and all runs must say the same.
#include "http/request_parser.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <ostream>
#include <stdexcept>

#include "http/test_support.hpp"

using namespace std::string_literals;
using levity::http::limits;
using levity::http::refusal;
using levity::http::test::conversation;
using levity::http::test::converse;

namespace {

struct row {
  const char* name;
  std::string bytes;
  std::string said;  // see test::converse
  limits bounds = {};
};

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

// A request with that target, that field line, that transfer coding, that chunked body.
std::string to(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }
std::string with(const std::string& lines) { return "GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n"; }
std::string coded(const std::string& coding) {
  return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: " + coding + "\r\n\r\n0\r\n\r\n";
}
std::string chunks(const std::string& body) { return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body; }
std::string sized(const std::string& length, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + length + "\r\n\r\n" + body;
}

const std::string plain = "GET / HTTP/1.1 host=h keep-alive\nidle";
const std::string post = "POST / HTTP/1.1 host=h";
const std::string chunked_post = "POST / HTTP/1.1 host=h Transfer-Encoding=chunked body=";

limits small_limits() {
  limits bounds;
  bounds.head_bytes = 200;
  bounds.fields = 4;
  bounds.target_bytes = 32;
  bounds.body_bytes = 16;
  bounds.trailer_bytes = 64;
  bounds.chunk_line_bytes = 24;
  bounds.chunk_extension_bytes = 40;
  return bounds;
}

std::vector<row> rows() {
  std::vector<row> table{
      // What is accepted.
      {"plain_get", to("/"), plain},
      {"nothing", "", "idle"},
      {"half_a_head", "GET / HTTP/1.1\r\nHost:", "waiting"},
      {"one_blank_line_first", "\r\n" + to("/"), plain},
      {"lone_cr_first_waits", "\r", "waiting"},
      {"query", to("/a?b=c&d"), "GET /a?b=c&d HTTP/1.1 host=h keep-alive\nidle"},
      {"empty_query", to("/a?"), "GET /a HTTP/1.1 host=h keep-alive\nidle"},
      {"question_mark_in_query", to("/a?b?c"), "GET /a?b?c HTTP/1.1 host=h keep-alive\nidle"},
      {"browser_characters_in_query", to("/?a={b|c}^`\\"), "GET /?a={b|c}^`\\ HTTP/1.1 host=h keep-alive\nidle"},
      {"encoded_path", to("/%41%2f"), "GET /%41%2f HTTP/1.1 host=h keep-alive\nidle"},
      {"dot_segments_are_kept", to("/../a"), "GET /../a HTTP/1.1 host=h keep-alive\nidle"},
      {"double_slash_is_a_path", to("//x"), "GET //x HTTP/1.1 host=h keep-alive\nidle"},
      {"http_1_0_without_host", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0 host= close\nclosed"},
      {"http_1_0_keep_alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       "GET / HTTP/1.0 host= Connection=keep-alive keep-alive\nidle"},
      {"http_1_0_keep_alive_and_close", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
       "GET / HTTP/1.0 host= Connection=keep-alive, close close\nclosed"},
      {"connection_close", with("Connection: close\r\n"), "GET / HTTP/1.1 host=h Connection=close close\nclosed"},
      {"connection_close_in_a_list", with("Connection: x, CLOSE\r\n"), "GET / HTTP/1.1 host=h Connection=x, CLOSE close\nclosed"},
      {"connection_close_in_a_second_field", with("Connection: x\r\nConnection: close\r\n"),
       "GET / HTTP/1.1 host=h Connection=x Connection=close close\nclosed"},
      {"all_methods",
       "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nPUT / HTTP/1.1\r\nHost: h\r\n\r\nDELETE / HTTP/1.1\r\nHost: h\r\n\r\n"
       "TRACE / HTTP/1.1\r\nHost: h\r\n\r\nPATCH / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\n\r\n",
       "HEAD / HTTP/1.1 host=h keep-alive\nPUT / HTTP/1.1 host=h keep-alive\nDELETE / HTTP/1.1 host=h keep-alive\n"
       "TRACE / HTTP/1.1 host=h keep-alive\nPATCH / HTTP/1.1 host=h keep-alive\nPOST / HTTP/1.1 host=h keep-alive\nidle"},
      {"blanks_around_a_value", with("A: \t b c \t\r\n"), "GET / HTTP/1.1 host=h A=b c keep-alive\nidle"},
      {"no_blank_before_a_value", with("A:b\r\n"), "GET / HTTP/1.1 host=h A=b keep-alive\nidle"},
      {"empty_value", with("A:\r\nB: \r\n"), "GET / HTTP/1.1 host=h A= B= keep-alive\nidle"},
      {"tab_in_a_value", with("A: b\tc\r\n"), "GET / HTTP/1.1 host=h A=b\tc keep-alive\nidle"},
      {"high_bytes_in_a_value", with("A: \xc3\xa9\xff\r\n"), "GET / HTTP/1.1 host=h A=\xc3\xa9\xff keep-alive\nidle"},
      {"odd_token_as_a_name", with("!#$%&'*+-.^_`|~1: b\r\n"), "GET / HTTP/1.1 host=h !#$%&'*+-.^_`|~1=b keep-alive\nidle"},
      {"colons_in_a_value", with("A: b:c: d\r\n"), "GET / HTTP/1.1 host=h A=b:c: d keep-alive\nidle"},
      {"host_with_port", "GET / HTTP/1.1\r\nHost: example.org:8080\r\n\r\n",
       "GET / HTTP/1.1 host=example.org:8080 keep-alive\nidle"},
      {"host_with_ipv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1 host=[::1]:80 keep-alive\nidle"},
      {"host_in_any_case", "GET / HTTP/1.1\r\nhOsT: h\r\n\r\n", plain},
      {"absolute_form", to("http://h/a?b"), "GET /a?b HTTP/1.1 host=h keep-alive\nidle"},
      {"absolute_form_without_path", to("http://h"), plain},
      {"absolute_form_with_a_query", to("HTTPS://h/?q"), "GET /?q HTTP/1.1 host=h keep-alive\nidle"},
      {"absolute_form_in_other_case", to("http://H/a"), "GET /a HTTP/1.1 host=H keep-alive\nidle"},
      {"absolute_form_with_default_port", to("http://h:80/a"), "GET /a HTTP/1.1 host=h:80 keep-alive\nidle"},
      {"absolute_form_with_default_port_of_https", to("https://h:443/a"), "GET /a HTTP/1.1 host=h:443 keep-alive\nidle"},
      {"absolute_form_with_empty_port", to("http://h:/a"), "GET /a HTTP/1.1 host=h: keep-alive\nidle"},
      {"absolute_form_with_default_port_in_host", "GET http://h/a HTTP/1.1\r\nHost: h:80\r\n\r\n",
       "GET /a HTTP/1.1 host=h keep-alive\nidle"},
      {"absolute_form_with_ipv6", "GET http://[::1]:80/a HTTP/1.1\r\nHost: [::1]\r\n\r\n",
       "GET /a HTTP/1.1 host=[::1]:80 keep-alive\nidle"},
      {"absolute_form_with_ipv6_that_ends_like_a_port", "GET http://[::80]/a HTTP/1.1\r\nHost: [::80]\r\n\r\n",
       "GET /a HTTP/1.1 host=[::80] keep-alive\nidle"},
      {"absolute_form_with_the_same_port", "GET http://h:81/a HTTP/1.1\r\nHost: h:81\r\n\r\n",
       "GET /a HTTP/1.1 host=h:81 keep-alive\nidle"},
      {"absolute_form_without_host_in_http_1_0", "GET http://h/a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.0 host=h close\nclosed"},
      {"options_asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1 host=h keep-alive\nidle"},
      {"options_path", "OPTIONS /a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS /a HTTP/1.1 host=h keep-alive\nidle"},
      {"upgrade_is_ignored", with("Connection: upgrade\r\nUpgrade: h2c\r\n") + to("/b"),
       "GET / HTTP/1.1 host=h Connection=upgrade Upgrade=h2c keep-alive\nGET /b HTTP/1.1 host=h keep-alive\nidle"},
      {"upgrade_with_a_body",
       "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab" + to("/"),
       "POST / HTTP/1.1 host=h Connection=upgrade Upgrade=x body=ab keep-alive\n" + plain},
      {"length_zero", sized("0") + to("/"), post + " keep-alive\n" + plain},
      {"length", sized("5", "hello"), post + " body=hello keep-alive\nidle"},
      {"length_with_leading_zeros", sized("0005", "hello"), post + " body=hello keep-alive\nidle"},
      {"length_on_get", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
       "GET / HTTP/1.1 host=h body=ab keep-alive\nidle"},
      {"length_zero_of_get_in_http_1_0", "GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.0 host= close\nclosed"},
      {"length_on_http_1_0", "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "POST / HTTP/1.0 host= body=ab close\nclosed"},
      {"body_that_looks_like_a_request", sized("18", "GET / HTTP/1.1\r\n\r\n") + to("/"),
       post + " body=GET / HTTP/1.1\r\n\r\n keep-alive\n" + plain},
      {"body_cut_short_waits", sized("5", "hell"), "waiting"},
      {"head_of_a_body_waits", sized("5"), "waiting"},
      {"pipelined", to("/a") + to("/b") + sized("1", "x") + to("/c"),
       "GET /a HTTP/1.1 host=h keep-alive\nGET /b HTTP/1.1 host=h keep-alive\n" + post +
           " body=x keep-alive\nGET /c HTTP/1.1 host=h keep-alive\nidle"},
      {"pipelined_with_a_blank_line_between", to("/") + "\r\n" + to("/"), "GET / HTTP/1.1 host=h keep-alive\n" + plain},
      {"nothing_is_read_behind_a_close", with("Connection: close\r\n") + "garbage",
       "GET / HTTP/1.1 host=h Connection=close close\nclosed"},
      {"one_chunk", chunks("5\r\nhello\r\n0\r\n\r\n"), chunked_post + "hello keep-alive\nidle"},
      {"chunks", chunks("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n") + to("/"),
       chunked_post + "hello world keep-alive\n" + plain},
      {"no_chunks", chunks("0\r\n\r\n") + to("/"), chunked_post + " keep-alive\n" + plain},
      {"chunk_size_in_any_case", chunks("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
       chunked_post + "01234567890123456789 keep-alive\nidle"},
      {"chunk_size_with_leading_zeros", chunks("0005\r\nhello\r\n000\r\n\r\n"), chunked_post + "hello keep-alive\nidle"},
      {"chunk_extension", chunks("5;a=b;c\r\nhello\r\n0;d\r\n\r\n"), chunked_post + "hello keep-alive\nidle"},
      {"chunk_extension_quoted", chunks("5;a=\"b c\"\r\nhello\r\n0\r\n\r\n"), chunked_post + "hello keep-alive\nidle"},
      {"chunk_data_with_crlf", chunks("4\r\n\r\n\r\n\r\n0\r\n\r\n"), chunked_post + "\r\n\r\n keep-alive\nidle"},
      {"coding_in_any_case", coded("cHuNkEd"), "POST / HTTP/1.1 host=h Transfer-Encoding=cHuNkEd body= keep-alive\nidle"},
      {"trailer", chunks("1\r\nx\r\n0\r\nA: b\r\nC:d \r\n\r\n") + to("/"),
       chunked_post + "x trailer:A=b trailer:C=d keep-alive\n" + plain},
      {"forbidden_trailers_are_dropped",
       chunks("1\r\nx\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nhost: evil\r\nAuthorization: x\r\nA: b\r\n\r\n") +
           to("/"),
       chunked_post + "x trailer:A=b keep-alive\n" + plain},
      {"trailers_wait", chunks("0\r\nA: b\r\n"), "waiting"},
      {"last_chunk_waits", chunks("0\r\n"), "waiting"},
      {"expect_continue", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nab",
       "POST / HTTP/1.1 host=h Expect=100-Continue body=ab expects keep-alive\nidle"},
      {"expect_without_body_is_nothing_to_wait_for", with("Expect: 100-continue\r\n"),
       "GET / HTTP/1.1 host=h Expect=100-continue keep-alive\nidle"},
      {"expect_in_http_1_0_is_ignored", "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", "GET / HTTP/1.0 host= Expect=x close\nclosed"},

      // How lines end.
      {"bare_lf_behind_request_line", "GET / HTTP/1.1\nHost: h\r\n\r\n", "refused bare_lf"},
      {"bare_lf_behind_field", "GET / HTTP/1.1\r\nHost: h\n\r\n", "refused bare_lf"},
      {"bare_lf_as_empty_line", "GET / HTTP/1.1\r\nHost: h\r\n\n", "refused bare_lf"},
      {"bare_lf_first", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "refused bare_lf"},
      {"all_lines_bare_lf", "GET / HTTP/1.1\nHost: h\n\n", "refused bare_lf"},
      {"bare_cr_behind_request_line", "GET / HTTP/1.1\rHost: h\r\n\r\n", "refused bare_cr"},
      {"bare_cr_in_a_value", with("A: b\rc\r\n"), "refused bare_cr"},
      {"bare_cr_in_a_name", with("A\rB: c\r\n"), "refused bare_cr"},
      {"cr_cr_lf", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "refused bare_cr"},
      {"bare_cr_as_empty_line", "GET / HTTP/1.1\r\nHost: h\r\n\rGET", "refused bare_cr"},
      {"two_blank_lines_first", "\r\n\r\n" + to("/"), "refused blank_lines_first"},
      {"two_blank_lines_between", to("/") + "\r\n\r\n" + to("/"), "GET / HTTP/1.1 host=h keep-alive\nrefused blank_lines_first"},
      {"blank_first", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", "refused garbage_first"},
      {"blank_line_of_blanks_first", " \r\n" + to("/"), "refused garbage_first"},
      {"tls_hello", "\x16\x03\x01\x02"s, "refused garbage_first"},
      {"high_byte_first", "\x80GET", "refused garbage_first"},
      {"nul_first", "\0"s, "refused garbage_first"},
      {"http2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "refused version_unsupported"},

      // The request line.
      {"http_0_9", "GET /\r\n\r\n", "refused request_line_shape"},
      {"method_alone", "GET\r\n\r\n", "refused request_line_shape"},
      {"no_target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"two_spaces_before_target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"two_spaces_before_version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"space_in_target", to("/a b"), "refused request_line_shape"},
      {"tab_instead_of_space", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"tab_in_target", to("/a\tb"), "refused target_character"},
      {"space_behind_version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"bad_character_in_method", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "refused request_line_shape"},
      {"nul_in_method", "G\0T / HTTP/1.1\r\nHost: h\r\n\r\n"s, "refused control_character"},
      {"unknown_method", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "refused method_unknown"},
      {"lower_case_method", "get / HTTP/1.1\r\nHost: h\r\n\r\n", "refused method_unknown"},
      {"method_with_a_tail", "GETX / HTTP/1.1\r\nHost: h\r\n\r\n", "refused method_unknown"},
      {"connect", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "refused connect_unsupported"},
      {"http_2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "refused version_unsupported"},
      {"http_1_2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "refused version_unsupported"},
      {"http_0_9_spelled_out", "GET / HTTP/0.9\r\n\r\n", "refused version_unsupported"},
      {"http_9_9", "GET / HTTP/9.9\r\n\r\n", "refused version_unsupported"},
      {"lower_case_version", "GET / http/1.1\r\nHost: h\r\n\r\n", "refused version_shape"},
      {"version_without_minor", "GET / HTTP/1\r\nHost: h\r\n\r\n", "refused version_shape"},
      {"version_with_three_digits", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", "refused version_shape"},
      {"version_with_comma", "GET / HTTP/1,1\r\nHost: h\r\n\r\n", "refused version_shape"},
      {"other_protocol", "GET / ICE/1.0\r\nHost: h\r\n\r\n", "refused version_shape"},
      {"rtsp", "OPTIONS / RTSP/1.0\r\nHost: h\r\n\r\n", "refused version_shape"},

      // The target.
      {"fragment", to("/a#b"), "refused target_fragment"},
      {"fragment_in_absolute_form", to("http://h/#b"), "refused target_fragment"},
      {"relative_target", to("a/b"), "refused target_form"},
      {"authority_form_without_connect", to("h:80"), "refused target_form"},
      {"asterisk_without_options", to("*"), "refused target_form"},
      {"asterisk_with_a_tail", "OPTIONS *a HTTP/1.1\r\nHost: h\r\n\r\n", "refused target_form"},
      {"other_scheme", to("ftp://h/"), "refused target_form"},
      {"absolute_form_without_host", to("http:///a"), "refused target_authority"},
      {"absolute_form_with_query_alone", to("http://h?q"), "refused target_authority"},
      {"absolute_form_with_user", to("http://me@h/"), "refused target_authority"},
      {"absolute_form_with_bad_port", to("http://h:99999/"), "refused target_authority"},
      {"high_byte_in_target", to("/\xc3\xa9"), "refused target_character"},
      {"quote_in_target", to("/\""), "refused target_character"},
      {"less_than_in_target", to("/<a>"), "refused target_character"},
      {"backslash_in_path", to("/a\\b"), "refused target_character"},
      {"percent_at_the_end", to("/%"), "refused target_encoding"},
      {"percent_with_one_digit", to("/%4"), "refused target_encoding"},
      {"percent_with_no_digits", to("/%zz"), "refused target_encoding"},
      {"percent_in_query", to("/?100%"), "refused target_encoding"},
      {"percent_nul", to("/a%00"), "refused target_nul"},
      {"del_in_target", to("/\x7f"), "refused control_character"},
      {"nul_in_target", to("/a\0b"s), "refused control_character"},

      // Fields.
      {"folded_field", with("A: b\r\n c\r\n"), "refused folded_field"},
      {"folded_field_with_a_tab", with("A: b\r\n\tc\r\n"), "refused folded_field"},
      {"folded_empty_line", with("A: b\r\n \r\n"), "refused folded_field"},
      {"blank_before_the_first_field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "refused folded_field"},
      {"space_before_colon", with("A : b\r\n"), "refused space_before_colon"},
      {"tab_before_colon", with("A\t: b\r\n"), "refused space_before_colon"},
      {"space_before_colon_of_host", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "refused space_before_colon"},
      {"space_before_colon_of_coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
       "refused space_before_colon"},
      {"space_in_a_name", with("A B: c\r\n"), "refused space_before_colon"},
      {"no_colon", with("A\r\n"), "refused field_without_colon"},
      {"no_colon_but_a_space", with("A b\r\n"), "refused field_without_colon"},
      {"empty_name", with(": b\r\n"), "refused field_name_empty"},
      {"bad_character_in_a_name", with("A(: b\r\n"), "refused field_name_character"},
      {"slash_in_a_name", with("A/B: c\r\n"), "refused field_name_character"},
      {"high_byte_in_a_name", with("\xc3\xa9: b\r\n"), "refused field_name_character"},
      {"nul_in_a_name", with("A\0: b\r\n"s), "refused control_character"},
      {"nul_in_a_value", with("A: b\0c\r\n"s), "refused control_character"},
      {"escape_in_a_value", with("A: \x1b[1m\r\n"), "refused control_character"},
      {"del_in_a_value", with("A: \x7f\r\n"), "refused control_character"},
      {"vertical_tab_in_a_value", with("A: \v\r\n"), "refused control_character"},
      {"control_character_behind_eight_good_ones", with("A: 12345678\x01\r\n"), "refused control_character"},

      // Host.
      {"no_host", "GET / HTTP/1.1\r\n\r\n", "refused host_missing"},
      {"no_host_in_absolute_form", "GET http://h/ HTTP/1.1\r\n\r\n", "refused host_missing"},
      {"two_hosts", with("Host: h\r\n"), "refused host_repeated"},
      {"two_hosts_in_http_1_0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "refused host_repeated"},
      {"empty_host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "refused host_invalid"},
      {"host_with_path", "GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", "refused host_invalid"},
      {"host_with_user", "GET / HTTP/1.1\r\nHost: me@h\r\n\r\n", "refused host_invalid"},
      {"host_list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "refused host_invalid"},
      {"host_list_without_blank", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "refused host_invalid"},
      {"host_with_bad_port", "GET / HTTP/1.1\r\nHost: h:8o\r\n\r\n", "refused host_invalid"},
      {"host_with_port_above_65535", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", "refused host_invalid"},
      {"host_with_open_bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "refused host_invalid"},
      {"host_with_port_alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "refused host_invalid"},

      {"host_that_is_not_the_targets", to("http://other/a"), "refused host_differs"},
      {"host_that_is_not_the_targets_in_http_1_0", "GET http://other/a HTTP/1.0\r\nHost: h\r\n\r\n", "refused host_differs"},
      {"host_without_the_targets_port", to("http://h:81/a"), "refused host_differs"},
      {"host_without_the_port_of_another_scheme", to("https://h:80/a"), "refused host_differs"},
      {"host_with_another_spelling_of_the_port", to("http://h:080/a"), "refused host_differs"},
      {"host_that_begins_like_the_targets", "GET http://h/a HTTP/1.1\r\nHost: h.evil\r\n\r\n", "refused host_differs"},
      {"host_with_another_ipv6", "GET http://[::1]/a HTTP/1.1\r\nHost: [::2]\r\n\r\n", "refused host_differs"},

      // Content-Length.
      {"length_negative", sized("-1"), "refused length_invalid"},
      {"length_with_plus", sized("+5", "hello"), "refused length_invalid"},
      {"length_empty", sized(""), "refused length_invalid"},
      {"length_hexadecimal", sized("0x5", "hello"), "refused length_invalid"},
      {"length_with_letters", sized("5a", "hello"), "refused length_invalid"},
      {"length_with_a_blank_inside", sized("1 0", "hello"), "refused length_invalid"},
      {"length_with_fraction", sized("5.0", "hello"), "refused length_invalid"},
      {"length_above_64_bits", sized("18446744073709551621", "hello"), "refused length_invalid"},
      {"length_of_23_zeros", sized(repeat("0", 22) + "5", "hello"), "refused length_invalid"},
      {"length_list", sized("5, 5", "hello"), "refused length_repeated"},
      {"length_list_differing", sized("5,6", "hello"), "refused length_repeated"},
      {"length_twice", sized("5\r\nContent-Length: 5", "hello"), "refused length_repeated"},
      {"length_twice_differing", sized("5\r\nContent-Length: 6", "hello"), "refused length_repeated"},
      {"length_twice_in_http_1_0", "POST / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
       "refused length_repeated"},
      {"length_then_coding", sized("5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "refused length_with_coding"},
      {"coding_then_length", coded("chunked\r\nContent-Length: 5"), "refused length_with_coding"},
      {"length_above_the_limit", sized("1048577"), "refused body_too_large"},
      {"length_of_get_in_http_1_0", "GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "refused body_in_http_1_0"},
      {"length_of_head_in_http_1_0", "HEAD / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "refused body_in_http_1_0"},
      {"length_of_delete_in_http_1_0", "DELETE / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "refused body_in_http_1_0"},
      {"length_of_19_digits", sized("9999999999999999999"), "refused body_too_large"},

      // Transfer-Encoding.
      {"coding_in_http_1_0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "refused coding_in_http_1_0"},
      {"coding_identity", coded("identity"), "refused coding_invalid"},
      {"coding_empty", coded(""), "refused coding_invalid"},
      {"coding_xchunked", coded("xchunked"), "refused coding_unknown"},
      {"coding_chunked_with_a_tail", coded("chunkedx"), "refused coding_unknown"},
      {"coding_gzip", coded("gzip"), "refused coding_unknown"},
      {"coding_gzip_chunked", coded("gzip, chunked"), "refused coding_unknown"},
      {"coding_chunked_gzip", coded("chunked, gzip"), "refused coding_repeated"},
      {"coding_chunked_chunked", coded("chunked, chunked"), "refused coding_repeated"},
      {"coding_chunked_identity", coded("chunked, identity"), "refused coding_invalid"},
      {"coding_with_parameter", coded("chunked;q=1"), "refused coding_invalid"},
      {"coding_quoted", coded("\"chunked\""), "refused coding_invalid"},
      {"coding_with_leading_comma", coded(", chunked"), "refused coding_invalid"},
      {"coding_with_trailing_comma", coded("chunked,"), "refused coding_invalid"},
      {"coding_with_vertical_tab", coded("\vchunked"), "refused control_character"},
      {"coding_twice", coded("chunked\r\nTransfer-Encoding: chunked"), "refused coding_repeated"},
      {"coding_twice_differing", coded("chunked\r\nTransfer-Encoding: x"), "refused coding_repeated"},
      {"coding_folded", coded("\r\n chunked"), "refused coding_invalid"},
      {"expectation_unknown", with("Expect: 200-ok\r\n"), "refused expectation_unknown"},

      // Chunks.
      {"chunk_size_empty", chunks("\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_prefix", chunks("0x5\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_negative", chunks("-5\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_plus", chunks("+5\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_letters", chunks("5g\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_leading_space", chunks(" 5\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_trailing_space", chunks("5 \r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_trailing_tab", chunks("5\t\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_space_before_extension", chunks("5 ;a\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_comma", chunks("5,5\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_extension_without_size", chunks(";a\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_of_17_digits", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n"), "refused chunk_size_too_large"},
      {"chunk_size_of_16_digits", chunks("fffffffffffffffe\r\nhello"), "refused body_too_large"},
      {"chunk_size_above_the_limit", chunks("100001\r\n"), "refused body_too_large"},
      {"chunk_sizes_that_wrap_around", chunks("5\r\nhello\r\nfffffffffffffffc\r\n"), "refused body_too_large"},
      {"chunk_size_with_bare_lf", chunks("5\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_size_with_bare_cr", chunks("5\rhello\r\n0\r\n\r\n"), "refused bare_cr"},
      {"chunk_extension_with_bare_lf", chunks("5;a\nhello\r\n0\r\n\r\n"), "refused chunk_size_invalid"},
      {"chunk_extension_with_bare_cr", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), "refused bare_cr"},
      {"chunk_extension_with_nul", chunks("5;a\0\r\nhello\r\n0\r\n\r\n"s), "refused chunk_size_invalid"},
      {"chunk_data_too_long", chunks("5\r\nhelloo\r\n0\r\n\r\n"), "refused chunk_end_missing"},
      {"chunk_data_too_short", chunks("5\r\nhell\r\n0\r\n\r\n"), "refused chunk_end_missing"},
      {"chunk_end_with_bare_lf", chunks("5\r\nhello\n0\r\n\r\n"), "refused chunk_end_missing"},
      {"chunk_end_with_bare_cr", chunks("5\r\nhello\r0\r\n\r\n"), "refused chunk_end_missing"},
      {"chunk_end_missing", chunks("5\r\nhello0\r\n\r\n"), "refused chunk_end_missing"},
      {"last_chunk_with_bare_lf", chunks("0\n\n"), "refused chunk_size_invalid"},
      {"chunks_end_with_bare_lf", chunks("0\r\n\n"), "refused bare_lf"},
      {"chunks_end_with_bare_cr", chunks("0\r\n\rGET"), "refused bare_cr"},
      {"trailer_with_bare_lf", chunks("0\r\nA: b\n\r\n"), "refused bare_lf"},
      {"trailer_folded", chunks("0\r\nA: b\r\n c\r\n\r\n"), "refused folded_field"},
      {"trailer_with_space_before_colon", chunks("0\r\nA : b\r\n\r\n"), "refused space_before_colon"},
      {"trailer_without_colon", chunks("0\r\nGET / HTTP/1.1\r\n\r\n"), "refused field_without_colon"},
      {"trailer_with_nul", chunks("0\r\nA: \0\r\n\r\n"s), "refused control_character"},
  };

  // Limits. Each at its last accepted and first refused size; with small limits, so that every cut can be tried.
  const limits small = small_limits();
  const auto head_of = [](std::size_t size) {
    const std::string before = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
    return before + repeat("a", size - before.size() - 4) + "\r\n\r\n";
  };
  const std::string plain_fields = "GET / HTTP/1.1\r\nHost: h\r\nA:1\r\nB:2\r\nC:3\r\n";
  const std::string end = "0\r\n\r\n";
  table.insert(
      table.end(),
      {
          {"target_of_the_limit", to("/" + repeat("a", 31)), "GET /" + repeat("a", 31) + " HTTP/1.1 host=h keep-alive\nidle",
           small},
          {"target_above_the_limit", to("/" + repeat("a", 32)), "refused target_too_long", small},
          {"target_without_end", "GET /" + repeat("a", 150), "refused target_too_long", small},
          {"method_without_end", repeat("A", 150), "refused target_too_long", small},
          {"head_of_the_limit", head_of(200), "GET / HTTP/1.1 host=h A=" + repeat("a", 168) + " keep-alive\nidle", small},
          {"head_above_the_limit", head_of(201), "refused head_too_large", small},
          {"head_without_end", head_of(300), "refused head_too_large", small},
          {"field_name_without_end", "GET / HTTP/1.1\r\n" + repeat("a", 300), "refused head_too_large", small},
          {"fields_of_the_limit", plain_fields + "\r\n", "GET / HTTP/1.1 host=h A=1 B=2 C=3 keep-alive\nidle", small},
          {"fields_above_the_limit", plain_fields + "D:4\r\n\r\n", "refused too_many_fields", small},
          {"body_of_the_limit", sized("16", repeat("a", 16)), post + " body=" + repeat("a", 16) + " keep-alive\nidle", small},
          {"body_above_the_limit", sized("17", repeat("a", 17)), "refused body_too_large", small},
          {"chunks_of_the_limit", chunks("8\r\n12345678\r\n8\r\n12345678\r\n" + end),
           chunked_post + "1234567812345678 keep-alive\nidle", small},
          {"chunks_above_the_limit", chunks("8\r\n12345678\r\n9\r\n123456789\r\n" + end), "refused body_too_large", small},
          {"chunk_line_above_the_limit", chunks("1;" + repeat("a", 30) + "\r\nx\r\n" + end), "refused chunk_line_too_long", small},
          {"chunk_line_of_zeros", chunks(repeat("0", 30)), "refused chunk_size_too_large", small},
          {"chunk_extensions_above_the_limit", chunks(repeat("1;abcdefghij\r\nx\r\n", 5) + end),
           "refused chunk_extensions_too_long", small},
          {"trailers_above_the_limit", chunks("0\r\nA: " + repeat("a", 70) + "\r\n\r\n"), "refused trailers_too_large", small},
          {"trailer_fields_above_the_limit", chunks("0\r\nA:1\r\nB:2\r\nC:3\r\nD:4\r\nE:5\r\n\r\n"), "refused too_many_fields",
           small},
          {"default_target", to("/" + repeat("a", 8191)), "GET /" + repeat("a", 8191) + " HTTP/1.1 host=h keep-alive\nidle"},
          {"default_target_exceeded", to("/" + repeat("a", 8192)), "refused target_too_long"},
          {"default_head_exceeded", head_of(65537), "refused head_too_large"},
          {"default_fields_exceeded", with(repeat("A:\r\n", 100)), "refused too_many_fields"},
      });
  return table;
}

void PrintTo(const row& each, std::ostream* out) { *out << each.name; }

class request_parser : public testing::TestWithParam<row> {};

void expect_said(const row& each, std::span<const std::size_t> cuts, bool streamed) {
  const conversation got = converse(each.bytes, cuts, streamed, each.bounds);
  EXPECT_EQ(got.transcript, each.said) << (streamed ? "streamed, " : "collected, ") << "cut at "
                                       << (cuts.empty() ? std::size_t{0} : cuts.front()) << ", cuts " << cuts.size();
  EXPECT_EQ(got.problem, "");
}

}  // namespace

TEST_P(request_parser, says_the_same_however_it_is_cut) {
  const row& each = GetParam();
  for (const bool streamed : {false, true}) {
    expect_said(each, {}, streamed);
    std::vector<std::size_t> everywhere(each.bytes.size());
    std::iota(everywhere.begin(), everywhere.end(), std::size_t{0});
    if (each.bytes.size() <= 10'000) expect_said(each, everywhere, streamed);
    const std::size_t stride = each.bytes.size() <= 1000 ? 1 : each.bytes.size() / 64;
    for (std::size_t cut = 1; cut < each.bytes.size(); cut += stride) {
      expect_said(each, std::span(&cut, 1), streamed);
      if (testing::Test::HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(rows, request_parser, testing::ValuesIn(rows()),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(request_parser_refusals, each_is_met_by_a_row) {
  std::string all;
  for (const row& each : rows()) all += each.said + "\n";
  for (auto why = refusal::bare_lf; why < refusal::readers_disagree; why = static_cast<refusal>(static_cast<int>(why) + 1)) {
    EXPECT_NE(all.find("refused " + std::string(to_string(why)) + "\n"), std::string::npos) << to_string(why);
  }
}

TEST(request_parser_refusals, have_the_right_status_and_a_sentence) {
  using levity::http::status;
  for (auto why = refusal::none; why <= refusal::readers_disagree; why = static_cast<refusal>(static_cast<int>(why) + 1)) {
    EXPECT_TRUE(explain(why).ends_with('.')) << to_string(why);
  }
  EXPECT_EQ(status_of(refusal::bare_lf), status::bad_request);
  EXPECT_EQ(status_of(refusal::body_too_large), status::content_too_large);
  EXPECT_EQ(status_of(refusal::target_too_long), status::uri_too_long);
  EXPECT_EQ(status_of(refusal::head_too_large), status::fields_too_large);
  EXPECT_EQ(status_of(refusal::too_many_fields), status::fields_too_large);
  EXPECT_EQ(status_of(refusal::method_unknown), status::not_implemented);
  EXPECT_EQ(status_of(refusal::coding_unknown), status::not_implemented);
  EXPECT_EQ(status_of(refusal::version_unsupported), status::version_not_supported);
  EXPECT_EQ(status_of(refusal::expectation_unknown), status::expectation_failed);
}

// How the parser is used, beyond what it says about bytes.

namespace {

using levity::http::detail::verdict;
using parser_under_test = levity::http::detail::request_parser;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

bool lies_inside(std::string_view view, const std::string& text) { return levity::http::test::inside(view, text); }

}  // namespace

TEST(request_parser_memory, a_request_in_one_piece_is_not_copied) {
  const std::string bytes = sized("5", "hello") + to("/next");
  parser_under_test parser;
  verdict said = parser.feed(bytes_of(bytes));
  ASSERT_EQ(said.what, verdict::kind::head_complete);
  EXPECT_EQ(bytes.substr(0, said.consumed), sized("5"));
  EXPECT_TRUE(parser.current().has_body());
  EXPECT_EQ(parser.current().content_length(), 5u);
  const auto rest = bytes_of(bytes).subspan(said.consumed);
  said = parser.feed(rest);
  ASSERT_EQ(said.what, verdict::kind::complete);
  EXPECT_EQ(said.consumed, 5u);
  EXPECT_EQ(parser.current().body(), "hello");
  EXPECT_TRUE(lies_inside(parser.current().body(), bytes));
  EXPECT_TRUE(lies_inside(parser.current().path(), bytes));
  EXPECT_TRUE(lies_inside(*parser.current().find("HOST"), bytes));
  parser.next();
  EXPECT_TRUE(parser.idle());
}

TEST(request_parser_memory, one_chunk_in_one_piece_is_not_copied) {
  const std::string bytes = chunks("5\r\nhello\r\n0\r\n\r\n");
  parser_under_test parser;
  const verdict said = parser.feed(bytes_of(bytes));
  ASSERT_EQ(said.what, verdict::kind::head_complete);
  ASSERT_EQ(parser.feed(bytes_of(bytes).subspan(said.consumed)).what, verdict::kind::complete);
  EXPECT_EQ(parser.current().body(), "hello");
  EXPECT_TRUE(lies_inside(parser.current().body(), bytes));
}

TEST(request_parser_memory, a_connection_that_released_its_memory_keeps_none) {
  parser_under_test parser;
  EXPECT_EQ(parser.kept_bytes(), 0u);
  const std::string bytes = sized("2000", std::string(2000, 'x'));
  for (const char c : bytes) {
    const std::string one(1, c);
    (void)parser.feed(bytes_of(one));
  }
  EXPECT_EQ(parser.current().body(), std::string(2000, 'x'));
  EXPECT_GE(parser.kept_bytes(), 2000u);
  parser.next();
  EXPECT_GE(parser.kept_bytes(), 2000u) << "kept for the next request";
  parser.release();
  EXPECT_EQ(parser.kept_bytes(), 0u);
  EXPECT_LE(sizeof(parser_under_test), 1024u) << "what an idle connection pays";
}

TEST(request_parser_memory, an_announced_body_costs_nothing_before_it_comes) {
  parser_under_test parser;
  const std::string head = sized("1048576");
  ASSERT_EQ(parser.feed(bytes_of(head)).what, verdict::kind::head_complete);
  ASSERT_EQ(parser.feed({}).what, verdict::kind::needs_more);
  EXPECT_LE(parser.kept_bytes(), 1024u);
}

TEST(request_parser_body, a_route_may_take_more_or_less_than_the_limit) {
  const std::string bytes = sized("5", "hello");
  for (const std::uint64_t bytes_max : {4u, 5u}) {
    limits bounds;
    bounds.body_bytes = 1;
    parser_under_test parser(bounds);
    const verdict said = parser.feed(bytes_of(bytes));
    ASSERT_EQ(said.what, verdict::kind::head_complete);
    const refusal why = parser.accept_body(bytes_max);
    EXPECT_EQ(why, bytes_max == 4 ? refusal::body_too_large : refusal::none);
    if (why == refusal::none) {
      EXPECT_EQ(parser.feed(bytes_of(bytes).subspan(said.consumed)).what, verdict::kind::complete);
    }
  }
}

TEST(request_parser_body, a_streamed_body_leaves_the_head_readable_and_keeps_nothing) {
  const std::string head = "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n";
  parser_under_test parser;
  ASSERT_EQ(parser.feed(bytes_of(head)).what, verdict::kind::head_complete);
  std::size_t taken = 0;
  const levity::http::detail::body_sink count{
      [](void* context, std::string_view piece) { *static_cast<std::size_t*>(context) += piece.size(); }, &taken};
  ASSERT_EQ(parser.accept_body(1'000'000, count), refusal::none);
  const std::string piece(1000, 'x');
  for (int i = 0; i < 299; ++i) ASSERT_EQ(parser.feed(bytes_of(piece)).what, verdict::kind::needs_more);
  EXPECT_EQ(taken, 299'000u);
  EXPECT_EQ(parser.current().path(), "/upload");
  EXPECT_LE(parser.kept_bytes(), 1024u);
  ASSERT_EQ(parser.feed(bytes_of(piece)).what, verdict::kind::complete);
  EXPECT_EQ(taken, 300'000u);
  EXPECT_EQ(parser.current().body(), "");
}

TEST(request_parser_body, a_sink_may_throw) {
  const std::string bytes = sized("5", "hello");
  parser_under_test parser;
  const verdict said = parser.feed(bytes_of(bytes));
  ASSERT_EQ(parser.accept_body(10, {[](void*, std::string_view) { throw std::runtime_error("disk full"); }, nullptr}),
            refusal::none);
  EXPECT_THROW((void)parser.feed(bytes_of(bytes).subspan(said.consumed)), std::runtime_error);
}

TEST(request_parser_idle, tells_an_idle_connection_from_a_slow_request) {
  parser_under_test parser;
  EXPECT_TRUE(parser.idle());
  EXPECT_EQ(parser.feed({}).what, verdict::kind::needs_more);
  EXPECT_TRUE(parser.idle());
  const std::string begun = "G";
  EXPECT_EQ(parser.feed(bytes_of(begun)).what, verdict::kind::needs_more);
  EXPECT_FALSE(parser.idle());
  parser.forget();
  EXPECT_TRUE(parser.idle());
}
