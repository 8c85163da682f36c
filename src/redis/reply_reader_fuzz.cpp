// Goal: no bytes make the reader crash, take more than its bounds, or change its mind with the way they are cut; and what it
// accepts is what it says: written again and read again it is the same. Method: the first byte of the input chooses bounds and
// cuts, the rest is what a server sends; it is read whole, byte by byte and cut at random.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "redis/test_support.hpp"

namespace {

using namespace levity::redis;

[[noreturn]] void fail(const char* what, std::string_view detail = {}) {
  std::fprintf(stderr, "broken: %s\n%.*s\n", what, static_cast<int>(detail.size()), detail.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const unsigned choice = data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  reply_limits bounds{.bytes_max = 1 << 20, .line_max = 2048, .depth_max = 16};
  if ((choice & 1) != 0) bounds = {.bytes_max = 500, .line_max = 20, .depth_max = 3};
  const test::reading whole = test::read_whole(bytes, bounds);

  const auto same = [&](std::span<const std::size_t> cuts) {
    const test::reading other = test::read_in_pieces(bytes, cuts, bounds);
    if (other.values != whole.values) fail("cuts change what is read", bytes);
    if (other.broken != whole.broken) fail("cuts change what is broken", whole.broken + " / " + other.broken);
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
  for (const value& each : whole.values) {
    std::string again;
    test::write_reply(again, each);
    const test::reading twice = test::read_whole(again);
    if (twice.values.size() != 1 || twice.values[0] != each) fail("written again it is another value", each.to_string());
  }
  return 0;
}
