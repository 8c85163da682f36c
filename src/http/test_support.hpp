#pragma once

// Drives a request_parser as a connection does, and writes down what it said. Shared by tests and fuzzers.
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

#include "http/request_parser.hpp"

namespace levity::inline v0::http::test {

struct conversation {
  std::string transcript;    // a line a request, then how it ended
  std::vector<std::size_t> ends;  // behind which byte each request ended
  std::string problem;       // a promise that was broken; empty when all were kept
};

inline void describe(std::string& out, const request& got, std::string_view body) {
  out.append(to_string(got.method())).append(" ").append(got.path());
  if (!got.query().empty()) out.append("?").append(got.query());
  out.append(" ").append(to_string(got.version())).append(" host=").append(got.host());
  for (const field each : got.fields()) {
    if (same_word(each.name, "host") || same_word(each.name, "content-length")) continue;
    out.append(" ").append(each.name).append("=").append(each.value);
  }
  if (got.has_body()) out.append(" body=").append(body);
  for (const field each : got.trailers()) out.append(" trailer:").append(each.name).append("=").append(each.value);
  if (got.expect_continue()) out.append(" expects");
  out.append(got.keep_alive() ? " keep-alive\n" : " close\n");
}

inline bool inside(std::string_view view, std::string_view whole) {
  return view.empty() || (view.data() >= whole.data() && view.data() + view.size() <= whole.data() + whole.size());
}

// `cuts` are ascending positions in `bytes`.
inline conversation converse(std::string_view bytes, std::span<const std::size_t> cuts, bool streamed = false,
                             const limits& bounds = {}) {
  conversation result;
  detail::request_parser parser(bounds);
  std::string body;
  const detail::body_sink sink{[](void* context, std::string_view piece) { static_cast<std::string*>(context)->append(piece); },
                               &body};
  std::size_t fed = 0;
  bool refused = false;
  const auto read = [&](std::string_view piece) {
    const auto memory = std::make_unique<std::byte[]>(piece.size());
    if (!piece.empty()) std::memcpy(memory.get(), piece.data(), piece.size());
    std::span<const std::byte> rest(memory.get(), piece.size());
    const std::string_view here(reinterpret_cast<const char*>(memory.get()), piece.size());
    for (;;) {
      const detail::verdict said = parser.feed(rest);
      if (said.what == detail::verdict::kind::refused) {
        result.transcript.append("refused ").append(to_string(said.why));
        refused = true;
        return;
      }
      if (said.consumed > rest.size()) result.problem = "consumed more than was fed";
      rest = rest.subspan(said.consumed);
      fed += said.consumed;
      if (said.what == detail::verdict::kind::needs_more) {
        if (!rest.empty()) result.problem = "asks for more and leaves bytes";
        return;
      }
      const request& got = parser.current();
      if (said.what == detail::verdict::kind::head_complete) {
        body.clear();
        const refusal why =
            streamed ? parser.accept_body(bounds.body_bytes, sink) : parser.accept_body(bounds.body_bytes);
        if (why == refusal::none) {
          if (rest.empty()) return;
          continue;
        }
        result.transcript.append("refused ").append(to_string(why));
        refused = true;
        return;
      }
      if (got.body().size() > bounds.body_bytes || got.fields().size() > bounds.fields ||
          got.target().size() > bounds.target_bytes || got.trailers().size() > bounds.fields) {
        result.problem = "a limit does not hold";
      }
      if (streamed && !got.body().empty()) result.problem = "a streamed body was collected";
      for (const field each : got.fields()) {
        if (!is_token(each.name) || !is_field_value(each.value)) result.problem = "a field that is none";
        // Views are of what was fed, or of the parser's copy, which is no larger than a head.
        if (!inside(each.name, here) && parser.kept_bytes() == 0) result.problem = "a view into nowhere";
      }
      describe(result.transcript, got, streamed ? std::string_view(body) : got.body());
      result.ends.push_back(fed);
      const bool goes_on = got.keep_alive();
      parser.next();
      if (!parser.idle()) result.problem = "not idle after next()";
      if (!goes_on) {
        result.transcript.append("closed");
        refused = true;
        return;
      }
      if (rest.empty()) return;
    }
  };
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    if (!refused) read(bytes.substr(from, cut - from));
    from = cut;
  }
  if (!refused) read(bytes.substr(from));
  if (!refused) result.transcript.append(parser.idle() ? "idle" : "waiting");
  return result;
}

inline conversation converse(std::string_view bytes, bool streamed = false, const limits& bounds = {}) {
  return converse(bytes, {}, streamed, bounds);
}

}  // namespace levity::http::test
