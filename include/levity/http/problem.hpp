#pragma once

#include <string_view>

#include "levity/http/response.hpp"

namespace levity::inline v0::http {

/// Makes `answer` a problem document (RFC 9457): the status, its reason phrase as title, and what happened in one sentence.
/// Fields that were set stay, but Content-Type becomes application/problem+json. `detail` may hold any bytes: what is not
/// UTF-8 or must not stand in JSON is escaped or replaced. Allocates nothing once the body's memory has grown.
void write_problem(response& answer, status which, std::string_view detail = {});

/// Appends `text` to `out` as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD.
void append_json_text(std::string& out, std::string_view text);

}  // namespace levity::http
