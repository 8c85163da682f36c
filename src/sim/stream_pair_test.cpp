#include "levity/sim/stream_pair.hpp"

#include <gtest/gtest.h>

#include <string>

#include "levity/levity.hpp"
#include "levity/sim/explore.hpp"

namespace levity::inline v0::sim {
namespace {

task<> write_much(tcp_stream* to, std::size_t size) {
  const std::string much(size, 'x');
  const auto sent = co_await to->write_all(much);
  EXPECT_TRUE(sent);
  EXPECT_TRUE(to->shutdown_write());
}

task<> goes_one_way(tcp_stream* from, tcp_stream* to) {
  constexpr std::size_t size = 200'000;
  scope writer;
  writer.spawn(write_much, from, size);
  std::size_t got = 0;
  auto part = co_await to->read_some();
  for (; part; part = co_await to->read_some()) got += part->size();
  EXPECT_EQ(got, size);
  EXPECT_EQ(part.error(), io_failure::eof);
  co_await writer.join();
}

task<> talks_to_itself() {
  auto ends = co_await stream_pair();
  EXPECT_TRUE(ends);
  if (!ends) co_return;
  co_await goes_one_way(&ends->near, &ends->far);
  co_await goes_one_way(&ends->far, &ends->near);
}

}  // namespace

TEST(stream_pair, is_a_connection_whatever_runs_it) {
  EXPECT_EQ(levity::run(talks_to_itself), 0);
  EXPECT_EQ(levity::run_with({.backend = runtime_options::sockets::sim, .seed = 7}, talks_to_itself), 0);
  for (const schedule_kind each : {schedule_kind::random, schedule_kind::fifo, schedule_kind::pct}) {
    check_options options = exploring({.what = each, .detaching = each != schedule_kind::fifo});
    options.seeds = 5;
    const check_result result = explore(options, talks_to_itself);
    EXPECT_TRUE(result) << result.message;
  }
}

}  // namespace levity::sim
