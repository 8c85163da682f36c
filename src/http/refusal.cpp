#include "levity/http/refusal.hpp"

#include <cstddef>
#include <iterator>

namespace levity::inline v0::http {

namespace {

struct entry {
  refusal why;
  status answer;
  std::string_view name;
  std::string_view sentence;
};

#define ROW(why, answer, sentence) entry{refusal::why, status::answer, #why, sentence}
constexpr entry table[] = {
    ROW(none, ok, "The request is accepted."),
    ROW(bare_lf, bad_request, "A line ends with LF alone; end lines with CR LF."),
    ROW(bare_cr, bad_request, "A CR is not followed by LF; end lines with CR LF and send no CR elsewhere."),
    ROW(control_character, bad_request, "The head has a control character; only the tab may stand in a field value."),
    ROW(blank_lines_first, bad_request, "More than one empty line precedes the request line; begin with the method."),
    ROW(garbage_first, bad_request, "This does not begin like HTTP (is the peer speaking TLS?)."),
    ROW(request_line_shape, bad_request, "The request line must be a method, one space, a target, one space and the version."),
    ROW(version_shape, bad_request, "The version must be written \"HTTP/1.1\" or \"HTTP/1.0\", in capital letters."),
    ROW(version_unsupported, version_not_supported, "This HTTP version is not spoken here; use HTTP/1.1."),
    ROW(method_unknown, not_implemented,
        "The method is not known here; methods are case-sensitive (GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH)."),
    ROW(connect_unsupported, not_implemented, "CONNECT is for proxies, and this is none."),
    ROW(target_too_long, uri_too_long, "The request target is too long; send a shorter path or move data into the body."),
    ROW(target_form, bad_request, "The target must begin with \"/\" or \"http://\", or be \"*\" with OPTIONS."),
    ROW(target_character, bad_request, "The target has a character that must be percent-encoded."),
    ROW(target_fragment, bad_request, "The target has a fragment (\"#\"); fragments stay with the client."),
    ROW(target_encoding, bad_request, "A \"%\" in the target must be followed by two hexadecimal digits."),
    ROW(target_nul, bad_request, "The path has a \"%00\", which stands for no character of a text; leave it out."),
    ROW(target_authority, bad_request, "The target's host is empty or malformed; write http://host[:port]/path without user."),
    ROW(head_too_large, fields_too_large,
        "The first line and the header fields together are too large; send fewer or smaller fields."),
    ROW(too_many_fields, fields_too_large, "There are too many fields; send fewer."),
    ROW(folded_field, bad_request, "A line begins with a blank; a field must be on one line."),
    ROW(field_without_colon, bad_request, "A header line has no colon; write \"Name: value\"."),
    ROW(field_name_empty, bad_request, "A header line begins with a colon; write \"Name: value\"."),
    ROW(field_name_character, bad_request, "A field name has a character that is not allowed there."),
    ROW(space_before_colon, bad_request, "There is a blank between a field name and its colon; remove it."),
    ROW(host_missing, bad_request, "HTTP/1.1 requires a Host field; send one."),
    ROW(host_repeated, bad_request, "There is more than one Host field; send one."),
    ROW(host_invalid, bad_request, "The Host field is not a host with an optional port."),
    ROW(host_differs, bad_request, "The target names another host than the Host field; send the same in both."),
    ROW(length_invalid, bad_request, "Content-Length must be one decimal number of at most 19 digits."),
    ROW(length_repeated, bad_request, "There is more than one Content-Length; send one."),
    ROW(length_with_coding, bad_request, "Content-Length and Transfer-Encoding exclude each other; send one of them."),
    ROW(body_in_http_1_0, bad_request, "GET, HEAD and DELETE have no body in HTTP/1.0; send none, or use HTTP/1.1."),
    ROW(coding_in_http_1_0, bad_request, "HTTP/1.0 has no Transfer-Encoding; send Content-Length or use HTTP/1.1."),
    ROW(coding_repeated, bad_request, "\"chunked\" must be the last transfer coding and stand there once."),
    ROW(coding_invalid, bad_request, "Transfer-Encoding must be \"chunked\"."),
    ROW(coding_unknown, not_implemented, "This transfer coding is not implemented here; send \"chunked\" alone."),
    ROW(expectation_unknown, expectation_failed, "The only expectation that can be met is \"100-continue\"."),
    ROW(body_too_large, content_too_large, "The body is too large; send less."),
    ROW(chunk_size_invalid, bad_request,
        "A chunk must begin with its size in hexadecimal digits, directly followed by CR LF or \";\"."),
    ROW(chunk_size_too_large, bad_request, "A chunk size has more than 16 digits; send smaller chunks."),
    ROW(chunk_line_too_long, bad_request, "A chunk size line is too long; send shorter chunk extensions."),
    ROW(chunk_extensions_too_long, bad_request, "The chunk extensions of this body are too long; send none."),
    ROW(chunk_end_missing, bad_request, "A chunk's data must be followed by CR LF: its size and its data do not agree."),
    ROW(trailers_too_large, fields_too_large, "The fields after the body are too large; send fewer."),
    ROW(readers_disagree, bad_request, "Where this message ends can be read in two ways; send it in a plainer form."),
    ROW(status_line_shape, bad_gateway, "An answer must begin with \"HTTP/1.1\", one space and a status of three digits."),
    ROW(status_unknown, bad_gateway, "The status of the answer is outside of 100 to 599."),
    ROW(upgrade_unasked, bad_gateway, "The answer changes the protocol (101) although nobody asked for another."),
    ROW(interim_answers, bad_gateway, "Too many interim answers (1xx) came before the answer."),
    ROW(body_where_none_can_be, bad_gateway, "An interim answer or a 204 announces a body, which it cannot have."),
    ROW(cut_short, bad_gateway, "The connection ended inside the answer."),
};
#undef ROW

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(table); ++i) {
    if (static_cast<std::size_t>(table[i].why) != i) return false;
  }
  return std::size(table) == static_cast<std::size_t>(refusal::cut_short) + 1;
}
static_assert(in_order(), "the table names every refusal, in the order of the enumeration");

const entry& row(refusal why) noexcept { return table[static_cast<std::size_t>(why)]; }

}  // namespace

status status_of(refusal why) noexcept { return row(why).answer; }
std::string_view to_string(refusal why) noexcept { return row(why).name; }
std::string_view explain(refusal why) noexcept { return row(why).sentence; }

}  // namespace levity::http
