// Pipes within a process: order, bounds, ends, cancellation.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

static_assert(lv::lending_source<lv::pipe_reader> && lv::gathering_sink<lv::pipe_writer>);

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

lv::task<> send_all(lv::pipe_writer to, std::string all) {
  lv::rng random(5);
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t part = std::min<std::size_t>(all.size() - at, 1 + random.below(200'000));
    const auto sent = co_await to.write_all(std::string_view(all).substr(at, part));
    EXPECT_TRUE(sent);
    if (!sent) co_return;
    at += part;
  }
}

}  // namespace

TEST(pipe, carries_every_byte_in_order_and_then_ends) {
  for (const unsigned workers : {1u, 2u}) {
    run_tasks(workers, []() -> lv::task<> {
      std::string all(3'000'000, ' ');
      lv::rng random(3);
      for (char& each : all) each = static_cast<char>(random());
      auto ends = lv::make_pipe();
      EXPECT_TRUE(ends);
      lv::scope writing;
      writing.spawn(send_all, std::move(ends->writer), all);
      std::string got;
      for (;;) {
        const auto view = co_await ends->reader.read_some();
        if (!view) {
          EXPECT_EQ(view.error(), io_failure::eof);
          break;
        }
        got += text_of(*view);
      }
      EXPECT_TRUE(got == all);
      co_await writing.join();
    });
  }
}

TEST(pipe, without_a_reader_a_write_is_a_reset_and_no_signal) {
  struct sigaction as_usual {};
  as_usual.sa_handler = SIG_DFL;
  struct sigaction before;
  ASSERT_EQ(::sigaction(SIGPIPE, &as_usual, &before), 0);
  run_tasks(2, []() -> lv::task<> {
    auto ends = lv::make_pipe().value();
    ends.reader.close();
    ends.reader.close();
    EXPECT_EQ((co_await ends.writer.write_all("x")).error(), io_failure::reset);
    EXPECT_EQ((co_await ends.reader.read_some()).error(), io_failure::closed);
  });
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(pipe, a_writer_that_waits_is_told_when_the_reader_goes) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = lv::make_pipe().value();
    const auto fill = [](lv::pipe_writer to) -> lv::task<> {
      const std::string much(1 << 20, 'x');
      EXPECT_EQ((co_await to.write_all(much)).error(), io_failure::reset);
    };
    lv::scope writing;
    writing.spawn(fill, std::move(ends.writer));
    EXPECT_TRUE(co_await ends.reader.read_some());
    co_await lv::sleep(1ms);
    ends.reader.close();
    co_await writing.join();
  });
}

lv::task<std::string> text_from(lv::pipe_reader& from, std::size_t size) {
  std::string all;
  while (all.size() < size) {
    const auto got = co_await from.read_some();  // a part, where reads are cut short
    if (!got) break;
    all += text_of(*got);
  }
  co_return all;
}

TEST(pipe, cancelled_before_while_and_by_a_deadline_loses_nothing) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = lv::make_pipe().value();
    const auto read = [](lv::pipe_reader* from) -> lv::task<> {
      EXPECT_EQ((co_await from->read_some()).error(), io_failure::cancelled);
    };
    lv::scope early;
    early.cancel();
    EXPECT_TRUE(co_await ends.writer.write_all("kept"));
    early.spawn(read, &ends.reader);
    co_await early.join();
    EXPECT_EQ(co_await text_from(ends.reader, 4), "kept");
    lv::scope waiting;
    waiting.spawn(read, &ends.reader);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    const auto wait = [](lv::pipe_reader* from) -> lv::task<io_failure> {
      const auto got = co_await from->read_some();
      co_return got ? io_failure::other : got.error().failure();
    };
    EXPECT_EQ(co_await lv::with_deadline(1ms, wait(&ends.reader)), io_failure::timed_out);
    EXPECT_TRUE(co_await ends.writer.write_all("again"));
    EXPECT_EQ(co_await text_from(ends.reader, 5), "again");
  });
}

TEST(pipe, cancellation_racing_a_write_takes_all_or_nothing) {
  run_tasks(2, []() -> lv::task<> {
    auto ends = lv::make_pipe().value();
    const auto read = [](lv::pipe_reader* from, std::string* into) -> lv::task<> {
      const auto got = co_await from->read_some();
      if (got) *into = text_of(*got);
    };
    for (int i = 0; i < 3000 / levity::test::slow_build_factor; i++) {
      std::string got;
      lv::scope reading;
      reading.spawn(read, &ends.reader, &got);
      if (i % 2 == 0) co_await lv::yield();
      EXPECT_TRUE(co_await ends.writer.write_all("whole"));
      reading.cancel();
      co_await reading.join();
      if (got.empty()) got = text_of((co_await ends.reader.read_some()).value());
      EXPECT_EQ(got, "whole");
    }
  });
}

TEST(pipe, a_simulated_run_has_none) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, []() -> lv::task<> {
    const auto ends = lv::make_pipe();
    EXPECT_TRUE(!ends && ends.error() == io_failure::unsupported);
    co_return;
  });
}
