// Goal: no bytes make the parser of answers crash, break a limit, change its mind with the way they are cut, or end an answer
// where another reader would end it elsewhere. Method: as http_request_fuzz.cpp; the first byte of the input also chooses which
// method is answered and whether the stream ends. Of what was accepted the end is compared with llhttp alone.
#include <llhttp.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <random>

#include "http/answer_support.hpp"

namespace {

using namespace levity::http;

[[noreturn]] void fail(const char* what, std::string_view detail = {}) {
  std::fprintf(stderr, "broken: %s\n%.*s\n", what, static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// Behind which byte llhttp alone sees the end of the answer that follows the interim ones; none when it objects, waits, or takes
// the end of the stream for it.
std::optional<std::size_t> end_for_llhttp(std::string_view text, bool head_asked) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_headers_complete = [](llhttp_t* reader) {
    reader->upgrade = 0;
    const bool bodiless = reader->status_code < 200 || reader->status_code == 204 || reader->status_code == 304;
    return reader->data != nullptr || bodiless ? 1 : 0;
  };
  settings.on_message_complete = [](llhttp_t* reader) {
    return reader->status_code < 200 ? static_cast<int>(HPE_OK) : static_cast<int>(HPE_PAUSED);
  };
  llhttp_t reader;
  llhttp_init(&reader, HTTP_RESPONSE, &settings);
  static int marker = 0;
  reader.data = head_asked ? &marker : nullptr;
  if (llhttp_execute(&reader, text.data(), text.size()) != HPE_PAUSED) return std::nullopt;
  return static_cast<std::size_t>(llhttp_get_error_pos(&reader) - text.data());
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
    bounds.body_bytes = 12;
    bounds.trailer_bytes = 24;
    bounds.chunk_line_bytes = 16;
    bounds.chunk_extension_bytes = 20;
    bounds.interim_answers = 2;
  }
  const method asked = (choice & 2) != 0 ? method::head : method::get;
  const bool ends = (choice & 4) != 0;
  const test::hearing whole = test::hear(bytes, asked, bounds, ends);
  if (!whole.problem.empty()) fail(whole.problem.c_str(), whole.transcript);

  const auto same = [&](std::span<const std::size_t> cuts) {
    const test::hearing other = test::hear(bytes, cuts, asked, bounds, ends);
    if (!other.problem.empty()) fail(other.problem.c_str(), other.transcript);
    if (other.transcript != whole.transcript) fail("cuts change what is said", whole.transcript + "\n--\n" + other.transcript);
    if (other.ends != whole.ends) fail("cuts change where answers end", whole.transcript);
  };
  std::vector<std::size_t> cuts(bytes.size());
  std::iota(cuts.begin(), cuts.end(), std::size_t{0});
  same(cuts);
  std::minstd_rand random(choice * 7919u + static_cast<unsigned>(size));
  for (int round = 0; round < 2 && !bytes.empty(); ++round) {
    cuts.resize(1 + random() % 6);
    for (auto& cut : cuts) cut = random() % (bytes.size() + 1);
    std::sort(cuts.begin(), cuts.end());
    same(cuts);
  }

  std::size_t begin = 0;
  for (const std::size_t end : whole.ends) {
    const std::string_view rest = bytes.substr(begin);
    const auto other = end_for_llhttp(rest, asked == method::head);
    if (other && begin + *other != end) fail("llhttp alone ends the answer elsewhere", rest);
    begin = end;
  }
  return 0;
}
