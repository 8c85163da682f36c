// Goal: no bytes make the parser crash, break a limit, change its mind with the way they are cut, or end a request where
// another reader would end it elsewhere. Method: the first byte of the input chooses limits and cuts, the rest is what a
// peer sends. It is read whole, byte by byte, cut at random, collected and streamed, and all must say the same. Where a
// request was accepted, its end is compared with two other readers: llhttp alone, lenient as it is, and a naive one.
#include <llhttp.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <random>

#include "http/test_support.hpp"

namespace {

using namespace levity::http;

[[noreturn]] void fail(const char* what, std::string_view detail = {}) {
  std::fprintf(stderr, "broken: %s\n%.*s\n", what, static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// Behind which byte llhttp alone sees the end of the request; none when it objects or waits.
std::optional<std::size_t> end_for_llhttp(std::string_view text) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_headers_complete = [](llhttp_t* reader) {
    reader->upgrade = 0;
    return 0;
  };
  settings.on_message_complete = [](llhttp_t*) { return static_cast<int>(HPE_PAUSED); };
  llhttp_t reader;
  llhttp_init(&reader, HTTP_REQUEST, &settings);
  if (llhttp_execute(&reader, text.data(), text.size()) != HPE_PAUSED) return std::nullopt;
  return static_cast<std::size_t>(llhttp_get_error_pos(&reader) - text.data());
}

// The same by the shortest reading of RFC 9112. Only for requests that were accepted: it checks nothing.
std::size_t end_for_naive_reader(std::string_view text) {
  if (text.starts_with("\r\n")) return 2 + end_for_naive_reader(text.substr(2));
  std::size_t at = text.find("\r\n\r\n");
  if (at == std::string_view::npos) return at;
  std::string head(text.substr(0, at + 2));
  std::transform(head.begin(), head.end(), head.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  at += 4;
  if (const std::size_t length = head.find("\r\ncontent-length:"); length != std::string::npos) {
    std::size_t from = head.find_first_not_of(" \t", length + 17);
    std::uint64_t bytes = 0;
    std::from_chars(head.data() + from, head.data() + head.size(), bytes);
    return at + bytes;
  }
  if (head.find("\r\ntransfer-encoding:") == std::string::npos) return at;
  for (;;) {
    std::uint64_t bytes = 0;
    std::from_chars(text.data() + at, text.data() + text.size(), bytes, 16);
    at = text.find("\r\n", at) + 2;
    if (bytes == 0) break;
    at += bytes + 2;
  }
  while (!text.substr(at).starts_with("\r\n")) at = text.find("\r\n", at) + 2;
  return at + 2;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const unsigned choice = data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  limits bounds;
  if ((choice & 1) != 0) {
    bounds.head_bytes = 120;
    bounds.fields = 3;
    bounds.target_bytes = 16;
    bounds.body_bytes = 12;
    bounds.trailer_bytes = 24;
    bounds.chunk_line_bytes = 16;
    bounds.chunk_extension_bytes = 20;
  }
  const test::conversation whole = test::converse(bytes, false, bounds);
  if (!whole.problem.empty()) fail(whole.problem.c_str(), whole.transcript);

  const auto same = [&](std::span<const std::size_t> cuts, bool streamed) {
    const test::conversation other = test::converse(bytes, cuts, streamed, bounds);
    if (!other.problem.empty()) fail(other.problem.c_str(), other.transcript);
    if (other.transcript != whole.transcript) fail("cuts change what is said", whole.transcript + "\n--\n" + other.transcript);
    if (other.ends != whole.ends) fail("cuts change where requests end", whole.transcript);
  };
  std::vector<std::size_t> cuts(bytes.size());
  std::iota(cuts.begin(), cuts.end(), std::size_t{0});
  same(cuts, false);
  same(cuts, true);
  std::minstd_rand random(choice * 7919u + static_cast<unsigned>(size));
  for (int round = 0; round < 2 && !bytes.empty(); ++round) {
    cuts.resize(1 + random() % 6);
    for (auto& cut : cuts) cut = random() % (bytes.size() + 1);
    std::sort(cuts.begin(), cuts.end());
    same(cuts, round == 0);
  }

  std::size_t begin = 0;
  for (const std::size_t end : whole.ends) {
    const std::string_view rest = bytes.substr(begin);
    const auto other = end_for_llhttp(rest);
    if (other && begin + *other != end) fail("llhttp alone ends the request elsewhere", rest);
    if (begin + end_for_naive_reader(rest) != end) fail("a naive reader ends the request elsewhere", rest);
    begin = end;
  }
  return 0;
}
