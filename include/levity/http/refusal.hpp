#pragma once

#include <cstdint>
#include <string_view>

#include "levity/http/status.hpp"

namespace levity::inline v0::http {

/// Why a request was not accepted. Each has a status for the answer, a name for metrics and a sentence for the problem body.
/// After a refusal nothing more may be read from the connection: where the next request begins is unknown.
enum class refusal : std::uint8_t {
  none,
  bare_lf,
  bare_cr,
  control_character,
  blank_lines_first,
  garbage_first,
  request_line_shape,
  version_shape,
  version_unsupported,
  method_unknown,
  connect_unsupported,
  target_too_long,
  target_form,
  target_character,
  target_fragment,
  target_encoding,
  target_authority,
  head_too_large,
  too_many_fields,
  folded_field,
  field_without_colon,
  field_name_empty,
  field_name_character,
  space_before_colon,
  host_missing,
  host_repeated,
  host_invalid,
  length_invalid,
  length_repeated,
  length_with_coding,
  coding_in_http_1_0,
  coding_repeated,
  coding_invalid,
  coding_unknown,
  expectation_unknown,
  body_too_large,
  chunk_size_invalid,
  chunk_size_too_large,
  chunk_line_too_long,
  chunk_extensions_too_long,
  chunk_end_missing,
  trailers_too_large,
  readers_disagree,
};

/// The status of the answer.
[[nodiscard]] status status_of(refusal why) noexcept;
/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(refusal why) noexcept;
/// One sentence: what is wrong and what the peer should send instead.
[[nodiscard]] std::string_view explain(refusal why) noexcept;

}  // namespace levity::http
