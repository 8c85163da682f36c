#pragma once

#include <cstdint>
#include <string_view>

#include "levity/http/status.hpp"

namespace levity::inline v0::http {

/// Why a message was not accepted, a request by a server or an answer by a client. Each has a status for who asked, a name for
/// metrics and a sentence for people. After a refusal nothing more may be read from the connection: where the next message begins
/// is unknown.
enum class refusal : std::uint8_t {
  none,                       ///< it was
  bare_lf,                    ///< a line ends with LF alone; 400
  bare_cr,                    ///< a CR without LF behind it; 400
  control_character,          ///< a control character in the head, other than a tab in a value; 400
  blank_lines_first,          ///< more than one empty line before the request line; 400
  garbage_first,              ///< it does not begin with a method, as TLS does not; 400
  request_line_shape,         ///< not a method, a target and a version with one space between; 400
  version_shape,              ///< the request line does not end with HTTP/ and a version in that form; 400
  version_unsupported,        ///< a version other than 1.0 and 1.1; 505
  method_unknown,             ///< none of the methods known here; 501
  connect_unsupported,        ///< CONNECT, which is for proxies; 501
  target_too_long,            ///< beyond limits::target_bytes; 414
  target_form,                ///< the target begins with neither "/" nor "http://", nor is it "*" with OPTIONS; 400
  target_character,           ///< the target has a character that must be percent-encoded; 400
  target_fragment,            ///< the target has a "#"; 400
  target_encoding,            ///< a "%" without two hexadecimal digits behind it; 400
  target_nul,                 ///< a "%00" in the path; 400
  target_authority,           ///< the host in the target is empty or malformed; 400
  head_too_large,             ///< beyond limits::head_bytes; 431
  too_many_fields,            ///< beyond limits::fields; 431
  folded_field,               ///< a line begins with a blank; 400
  field_without_colon,        ///< a header line has no colon; 400
  field_name_empty,           ///< a header line begins with a colon; 400
  field_name_character,       ///< a field name that is no token; 400
  space_before_colon,         ///< a blank between name and colon; 400
  host_missing,               ///< HTTP/1.1 without Host; 400
  host_repeated,              ///< more than one Host; 400
  host_invalid,               ///< Host is not a host with an optional port; 400
  host_differs,               ///< Host is not the host of an absolute target; 400
  length_invalid,             ///< Content-Length is not one number of at most 19 digits; 400
  length_repeated,            ///< more than one Content-Length; 400
  length_with_coding,         ///< both Content-Length and Transfer-Encoding; 400
  body_in_http_1_0,           ///< a GET, HEAD or DELETE with a body in HTTP/1.0; 400
  coding_in_http_1_0,         ///< Transfer-Encoding in HTTP/1.0; 400
  coding_repeated,            ///< "chunked" is not last, or stands there twice; 400
  coding_invalid,             ///< Transfer-Encoding that cannot be read; 400
  coding_unknown,             ///< a transfer coding other than "chunked"; 501
  expectation_unknown,        ///< Expect with anything but "100-continue"; 417
  body_too_large,             ///< beyond limits::body_bytes; 413
  chunk_size_invalid,         ///< a chunk does not begin with its size; 400
  chunk_size_too_large,       ///< a chunk size of more than 16 digits; 400
  chunk_line_too_long,        ///< beyond limits::chunk_line_bytes; 400
  chunk_extensions_too_long,  ///< beyond limits::chunk_extension_bytes; 400
  chunk_end_missing,          ///< no CR LF behind a chunk's data; 400
  trailers_too_large,         ///< beyond limits::trailer_bytes; 431
  readers_disagree,           ///< where it ends could be read in two ways; 400
  // Of answers alone.
  status_line_shape,       ///< not a version, a space, three digits and the end or a space; 502
  status_unknown,          ///< a status outside of 100 to 599; 502
  upgrade_unasked,         ///< 101, and nobody asked for another protocol; 502
  interim_answers,         ///< more 1xx than limits::interim_answers before the answer; 502
  body_where_none_can_be,  ///< a 1xx or 204 that announces a body; 502
  cut_short,               ///< the connection ended inside the answer; 502
};

/// The status of the answer.
[[nodiscard]] status status_of(refusal why) noexcept;
/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(refusal why) noexcept;
/// One sentence: what is wrong and what the peer should send instead.
[[nodiscard]] std::string_view explain(refusal why) noexcept;

}  // namespace levity::http
