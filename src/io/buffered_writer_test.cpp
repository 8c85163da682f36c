// Many small writes as few large ones; and what a failed one leaves behind.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "levity/base/rng.hpp"
#include "levity/io/buffered_reader.hpp"
#include "levity/io/buffered_writer.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

template <class T>
io_failure failure(const lv::io_result<T>& result) {
  return result ? io_failure::other : result.error().failure();
}

// Takes everything, or fails once after `fails_after` more bytes.
struct plain {
  lv::task<lv::io_result<void>> write_all(lv::byte_view bytes) {
    writes++;
    const std::size_t taken = std::min(bytes.size(), fails_after);
    text.append(reinterpret_cast<const char*>(bytes.data()), taken);
    fails_after -= taken;
    if (taken < bytes.size()) {
      fails_after = std::string::npos;
      co_return std::unexpected(lv::io_error{io_failure::cancelled});
    }
    co_return lv::io_result<void>{};
  }
  std::string text;
  int writes = 0;
  std::size_t fails_after = std::string::npos;
};

struct gathering : plain {
  using plain::write_all;
  lv::task<lv::io_result<void>> write_all(std::span<iovec> pieces) {
    for (iovec& piece : pieces) {
      const std::size_t before = text.size();
      const auto sent = co_await plain::write_all({static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
      const std::size_t moved = text.size() - before;
      piece.iov_base = static_cast<char*>(piece.iov_base) + moved;
      piece.iov_len -= moved;
      if (!sent) co_return sent;
    }
    writes -= static_cast<int>(pieces.size()) - 1;
    co_return lv::io_result<void>{};
  }
};

static_assert(lv::byte_sink<plain> && !lv::gathering_sink<plain> && lv::gathering_sink<gathering>);
static_assert(lv::byte_sink<lv::buffered_writer<plain>>);

template <class Sink>
struct into : testing::Test {};
using sinks = testing::Types<plain, gathering>;
TYPED_TEST_SUITE(into, sinks);

}  // namespace

TYPED_TEST(into, small_writes_leave_together_and_in_order) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam sink;
    lv::buffered_writer out{sink, 100};
    std::string all;
    for (int i = 0; i < 90; i++) {
      all += std::to_string(i);
      EXPECT_TRUE(co_await out.write(std::to_string(i)));
    }
    EXPECT_EQ(sink.writes, 1);
    EXPECT_LE(out.buffered_size(), 100u);
    EXPECT_TRUE(co_await out.flush());
    EXPECT_EQ(sink.text, all);
    EXPECT_EQ(sink.writes, 2);
    EXPECT_EQ(out.buffered_size(), 0u);
  });
}

TYPED_TEST(into, a_large_write_goes_behind_what_is_buffered) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam sink;
    lv::buffered_writer out{sink, 10};
    EXPECT_TRUE(co_await out.write("abc"));
    EXPECT_TRUE(co_await out.write("0123456789"));
    EXPECT_EQ(sink.text, "abc0123456789");
    EXPECT_TRUE(co_await out.write("d"));
    EXPECT_TRUE(co_await out.flush());
    EXPECT_EQ(sink.text, "abc0123456789d");
  });
}

TYPED_TEST(into, memory_is_held_only_while_something_is_buffered) {
  run_tasks(1, []() -> lv::task<> {
    const auto before = lv::frame_statistics().bytes_in_use;
    TypeParam sink;
    lv::buffered_writer out{sink, 20'000};
    EXPECT_LT(lv::frame_statistics().bytes_in_use, before + 20'000);
    EXPECT_TRUE(co_await out.write("x"));
    EXPECT_GE(lv::frame_statistics().bytes_in_use, before + 20'000);
    EXPECT_TRUE(co_await out.flush());
    EXPECT_LT(lv::frame_statistics().bytes_in_use, before + 20'000);
  });
}

TEST(buffered_writer, a_flush_that_was_cancelled_goes_on_where_it_was) {
  run_tasks(1, []() -> lv::task<> {
    gathering sink;
    lv::buffered_writer out{sink, 10};
    EXPECT_TRUE(co_await out.write("abcdef"));
    sink.fails_after = 2;
    EXPECT_EQ(failure(co_await out.flush()), io_failure::cancelled);
    EXPECT_EQ(out.buffered_size(), 4u);
    sink.fails_after = 1;
    EXPECT_EQ(failure(co_await out.write("12345")), io_failure::cancelled);  // nothing of its own was taken
    EXPECT_TRUE(co_await out.write("67890"));
    EXPECT_TRUE(co_await out.flush());
    EXPECT_EQ(sink.text, "abcdef67890");
  });
}

TEST(buffered_writer, after_a_gap_that_nobody_knows_every_write_fails) {
  run_tasks(1, []() -> lv::task<> {
    plain simple;
    lv::buffered_writer out{simple, 10};
    EXPECT_TRUE(co_await out.write("abcdef"));
    simple.fails_after = 2;
    EXPECT_EQ(failure(co_await out.flush()), io_failure::cancelled);
    EXPECT_EQ(failure(co_await out.flush()), io_failure::cancelled);
    EXPECT_EQ(failure(co_await out.write("x")), io_failure::cancelled);
    EXPECT_EQ(simple.text, "ab");

    gathering sink;
    lv::buffered_writer large{sink, 10};
    sink.fails_after = 5;
    EXPECT_EQ(failure(co_await large.write("0123456789")), io_failure::cancelled);
    EXPECT_EQ(failure(co_await large.write("x")), io_failure::cancelled);
    EXPECT_EQ(sink.text, "01234");
  });
}

TEST(buffered_writer, over_a_full_connection_flushes_cut_off_by_deadlines_send_every_byte_once) {
  for (const auto backend : {lv::runtime_options::sockets::epoll, lv::runtime_options::sockets::ring,
                             lv::runtime_options::sockets::sim}) {
    lv::runtime_options options;
    options.backend = backend;
    options.workers = 1;
    options.handle_signals = false;
    lv::run_with(options, []() -> lv::task<> {
      auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
      auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
      lv::tcp_stream client = std::move(*std::get<0>(both));
      lv::tcp_stream server = std::move(*std::get<1>(both));
      EXPECT_TRUE(client.set_send_buffer(4096));
      const std::size_t size = 8 << 20;
      std::string all(size, ' ');
      lv::rng random(7);
      for (char& each : all) each = static_cast<char>(random());
      lv::buffered_writer out{client, size + 1};
      EXPECT_TRUE(co_await out.write(all));
      int cut = 0;
      std::string got;
      for (bool done = false; !done;) {
        const auto sent = co_await lv::with_deadline(1ms, out.flush());
        done = sent.has_value();
        if (done) break;
        EXPECT_EQ(sent.error(), io_failure::timed_out);
        cut++;
        while (got.size() < size - out.buffered_size()) {
          const auto more = co_await server.read_some();
          EXPECT_TRUE(more);
          if (!more) break;
          got.append(reinterpret_cast<const char*>(more->data()), more->size());
        }
      }
      EXPECT_GT(cut, 0);
      client.close();
      for (bool over = false; !over;) {
        const auto more = co_await server.read_some();
        over = !more;
        if (more) got.append(reinterpret_cast<const char*>(more->data()), more->size());
      }
      EXPECT_TRUE(got == all);
    });
  }
}
