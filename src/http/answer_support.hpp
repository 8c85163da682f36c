#pragma once

// Drives a response_parser as a client's connection does, and writes down what it said. Shared by tests and fuzzers.
//
// Each read is a fresh piece of memory of exactly its size that is freed before the next, so a view that is kept too long is
// found by the address sanitizer.

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/response_parser.hpp"

namespace levity::inline v0::http::test {

struct hearing {
  std::string transcript;         // a line an answer, then how it ended
  std::vector<std::size_t> ends;  // behind which byte each answer ended
  std::string problem;            // a promise that was broken; empty when all were kept
};

// All answers are to requests of method `asked`. `cuts` are ascending positions in `bytes`.
inline hearing hear(std::string_view bytes, std::span<const std::size_t> cuts, method asked, const limits& bounds, bool ends) {
  using kind = detail::response_parser::verdict::kind;
  hearing result;
  detail::response_parser parser(bounds);
  detail::kept_answer kept;
  std::string body;
  bool over = false;
  bool has_head = false;
  std::size_t fed = 0;
  parser.begin(asked, kept);
  const auto take = [&](const detail::response_parser::verdict& said, bool& goes_on) {
    goes_on = true;
    switch (said.what) {
      case kind::refused:
        result.transcript.append("refused ").append(to_string(said.why));
        over = true;
        goes_on = false;
        return;
      case kind::needs_more: goes_on = false; return;
      case kind::head:
        has_head = true;
        if (kept.head.fields.size() > bounds.fields || kept.head_text.size() > bounds.head_bytes + 2) {
          result.problem = "a limit does not hold";
        }
        return;
      case kind::piece:
        if (!has_head) result.problem = "a piece of a body before its head";
        if (said.piece.empty()) result.problem = "an empty piece";
        body.append(said.piece);
        if (body.size() > bounds.body_bytes) result.problem = "the bound of the body does not hold";
        return;
      case kind::complete: break;
    }
    result.transcript.append(std::to_string(kept.head.code)).append(" ").append(to_string(kept.head.version));
    for (const field each : field_list(kept.head_text.data(), kept.head.fields)) {
      if (!is_token(each.name) || !is_field_value(each.value)) result.problem = "a field that is none";
      result.transcript.append(" ").append(each.name).append("=").append(each.value);
    }
    if (kept.head.has_body) result.transcript.append(" body=").append(body);
    for (const field each : field_list(kept.trailer_text.data(), kept.trailers)) {
      result.transcript.append(" trailer:").append(each.name).append("=").append(each.value);
    }
    result.transcript.append(kept.head.keep_alive ? " keep-alive\n" : " close\n");
    result.ends.push_back(fed);
    body.clear();
    has_head = false;
    if (!kept.head.keep_alive) {
      result.transcript.append("closed");
      over = true;
      goes_on = false;
      return;
    }
    parser.begin(asked, kept);
  };
  const auto read = [&](std::string_view piece) {
    const auto memory = std::make_unique<char[]>(piece.size());
    if (!piece.empty()) std::memcpy(memory.get(), piece.data(), piece.size());
    std::string_view rest(memory.get(), piece.size());
    for (bool goes_on = true; goes_on;) {
      const auto said = parser.feed(rest);
      if (said.what != kind::refused && said.consumed > rest.size()) {
        result.problem = "consumed more than was fed";
        return;
      }
      if (said.what == kind::needs_more && said.consumed != rest.size()) result.problem = "asks for more and leaves bytes";
      if (said.what != kind::refused) {
        fed += said.consumed;
        rest.remove_prefix(said.consumed);
      }
      take(said, goes_on);
    }
  };
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    if (!over) read(bytes.substr(from, cut - from));
    from = cut;
  }
  if (!over) read(bytes.substr(from));
  if (!over && ends && (has_head || !parser.untouched())) {
    bool goes_on = true;
    take(parser.feed_end(), goes_on);
    if (!over) result.transcript.append("idle");
  } else if (!over) {
    result.transcript.append(has_head || !parser.untouched() ? "waiting" : "idle");
  }
  return result;
}

inline hearing hear(std::string_view bytes, method asked = method::get, const limits& bounds = {}, bool ends = true) {
  return hear(bytes, {}, asked, bounds, ends);
}

}  // namespace levity::inline v0::http::test
