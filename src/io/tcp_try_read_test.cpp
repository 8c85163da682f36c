// tcp_stream::try_read_some(), in simulated worlds and on the kernel's sockets.

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;

lv::task<> look_before_use() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  lv::tcp_stream here = std::move(std::get<0>(both)).value();
  lv::tcp_stream there = std::move(std::get<1>(both)).value();
  std::array<std::byte, 8> room;
  EXPECT_EQ(here.try_read_some(room).error(), lv::io_failure::would_block);
  EXPECT_EQ(here.try_read_some(room).error(), lv::io_failure::would_block) << "and again";

  // It loses no event: what comes later is read by who waits.
  EXPECT_TRUE((co_await there.write_all("one")).has_value());
  std::string got;
  while (got.size() < 3) {
    const auto more = co_await here.read_some();
    EXPECT_TRUE(more.has_value());
    if (!more) co_return;
    got.append(reinterpret_cast<const char*>(more->data()), more->size());
  }
  EXPECT_EQ(got, "one");
  here.drop_buffer();
  EXPECT_EQ(here.try_read_some(room).error(), lv::io_failure::would_block);

  EXPECT_TRUE((co_await there.write_all("2")).has_value());
  lv::io_result<std::size_t> two = std::unexpected(lv::io_failure::would_block);
  for (int i = 0; i < 1000 && !two && two.error() == lv::io_failure::would_block; i++) {
    co_await lv::sleep(1ms);
    two = here.try_read_some(room);
  }
  EXPECT_TRUE(two.has_value() && *two == 1U && room[0] == std::byte{'2'});

  there.close();
  lv::io_result<std::size_t> end = std::unexpected(lv::io_failure::would_block);
  for (int i = 0; i < 1000 && !end && end.error() == lv::io_failure::would_block; i++) {
    co_await lv::sleep(1ms);
    end = here.try_read_some(room);
  }
  EXPECT_FALSE(end.has_value());
  if (!end) {
    EXPECT_EQ(end.error(), lv::io_failure::eof);
  }
  here.close();
  EXPECT_EQ(here.try_read_some(room).error(), lv::io_failure::closed);
}

}  // namespace

TEST(tcp_try_read, says_whether_anything_is_there_in_a_simulated_world) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE(seed);
    EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = seed}, look_before_use), 0);
  }
}

TEST(tcp_try_read, says_whether_anything_is_there) { EXPECT_EQ(lv::test::run_tasks(2, look_before_use), 0); }
