// Pieces out of a stream: over sources that hand out any number of bytes at a time, that end, fail and are cancelled anywhere.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/io/buffered_reader.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

template <class T>
io_failure failure(const lv::io_result<T>& result) {
  return result ? io_failure::other : result.error().failure();
}

std::string text(const lv::io_result<lv::byte_view>& read) { return read ? std::string(text_of(*read)) : read.error().message(); }
std::string text(const lv::io_result<std::string_view>& read) { return read ? std::string(*read) : read.error().message(); }

// Gives out the pieces one by one; a '!' piece is a cancellation, then goes on. After the last one: eof.
class scripted {
public:
  explicit scripted(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}

  lv::task<lv::io_result<std::size_t>> read_some(std::span<std::byte> into) {
    reads++;
    if (next_ == pieces_.size()) co_return std::unexpected(lv::io_error{last});
    std::string& piece = pieces_[next_];
    if (piece == "!") {
      next_++;
      co_return std::unexpected(lv::io_error{io_failure::cancelled});
    }
    const std::size_t count = std::min(into.size(), piece.size());
    std::copy_n(reinterpret_cast<const std::byte*>(piece.data()), count, into.begin());
    piece.erase(0, count);
    if (piece.empty()) next_++;
    co_return count;
  }

  int reads = 0;
  io_failure last = io_failure::eof;

private:
  std::vector<std::string> pieces_;
  std::size_t next_ = 0;
};

// The same pieces, lent out of a buffer that is overwritten at each read.
class lending : public scripted {
public:
  using scripted::scripted;
  using scripted::read_some;
  lv::task<lv::io_result<lv::byte_view>> read_some() {
    buffer_.assign(buffer_.size(), std::byte{0xee});
    const auto got = co_await scripted::read_some(std::span(buffer_));
    if (!got) co_return std::unexpected(got.error());
    lent++;
    co_return lv::byte_view{buffer_.data(), *got};
  }
  int lent = 0;

private:
  std::vector<std::byte> buffer_ = std::vector<std::byte>(64);
};

static_assert(lv::byte_source<scripted> && !lv::lending_source<scripted>);
static_assert(lv::lending_source<lending>);
static_assert(lv::lending_source<lv::tcp_stream> && lv::gathering_sink<lv::tcp_stream> && lv::byte_stream<lv::tcp_stream>);
static_assert(lv::lending_source<lv::buffered_reader<scripted>>);
static_assert(!lv::byte_source<int> && !lv::byte_sink<std::string>);

template <class Source>
struct over : testing::Test {};
using sources = testing::Types<scripted, lending>;
TYPED_TEST_SUITE(over, sources);

}  // namespace

TYPED_TEST(over, lines_come_whole_however_the_bytes_come) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"GET / HT", "TP/1.1\r", "\nHost: x\n\n", "\r\n", "tail\r\r\n"});
    lv::buffered_reader in{source};
    for (const char* expected : {"GET / HTTP/1.1", "Host: x", "", "", "tail\r"}) {
      const auto line = co_await in.read_line();
      EXPECT_TRUE(line);
      if (line) {
        EXPECT_EQ(*line, expected);
      }
    }
    EXPECT_EQ(failure(co_await in.read_line()), io_failure::eof);
  });
}

TYPED_TEST(over, an_end_inside_a_piece_is_no_end_of_stream_and_keeps_the_part) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"whole\nhal", "f"});
    lv::buffered_reader in{source};
    EXPECT_EQ(text(co_await in.read_line()), "whole");
    EXPECT_EQ(failure(co_await in.read_line()), io_failure::truncated);
    EXPECT_EQ(text_of(in.buffered()), "half");
    EXPECT_EQ(failure(co_await in.read_exactly(5)), io_failure::truncated);
    std::byte five[5];
    EXPECT_EQ(failure(co_await in.read_exactly(std::span(five))), io_failure::truncated);
    EXPECT_EQ(failure(co_await in.fill()), io_failure::eof);
    EXPECT_EQ(text(co_await in.read_exactly(4)), "half");
    EXPECT_EQ(failure(co_await in.read_exactly(1)), io_failure::eof);
    EXPECT_EQ(failure(co_await in.read_exactly(std::span(five))), io_failure::eof);
    EXPECT_EQ(failure(co_await in.read_some()), io_failure::eof);
    EXPECT_EQ(text(co_await in.read_exactly(0)), "");
  });
}

TYPED_TEST(over, a_cancelled_read_loses_nothing_whatever_reads_next) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"ab", "!", "cd", "!", "ef\n", "!", "gh"});
    lv::buffered_reader in{source};
    EXPECT_EQ(failure(co_await in.read_line()), io_failure::cancelled);
    EXPECT_EQ(text_of(in.buffered()), "ab");
    std::byte four[6];
    EXPECT_EQ(failure(co_await in.read_exactly(std::span(four))), io_failure::cancelled);
    EXPECT_EQ(text_of(in.buffered()), "abcd");
    EXPECT_EQ(text(co_await in.read_line()), "abcdef");
    EXPECT_EQ(failure(co_await in.peek(2)), io_failure::cancelled);
    EXPECT_EQ(text(co_await in.peek(2)), "gh");
    EXPECT_EQ(text(co_await in.read_some()), "gh");
  });
}

TYPED_TEST(over, a_failure_of_the_source_is_passed_on_as_it_is) {
  run_tasks(1, []() -> lv::task<> {
    for (const io_failure met : {io_failure::reset, io_failure::timed_out, io_failure::cancelled}) {
      TypeParam source({"part"});
      source.last = met;
      lv::buffered_reader in{source};
      EXPECT_EQ(failure(co_await in.read_line()), met);
      EXPECT_EQ(failure(co_await in.read_exactly(9)), met);
      EXPECT_EQ(text_of(in.buffered()), "part");
    }
  });
}

TYPED_TEST(over, a_delimiter_may_straddle_reads_and_a_bound_is_exact) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"one\r", "\n\r", "\n", "\r\r\n\r\n", "123456789;"});
    lv::buffered_reader in{source};
    EXPECT_EQ(text(co_await in.read_until("\r\n\r\n")), "one\r\n\r\n");
    EXPECT_EQ(text(co_await in.read_until("\r\n\r\n", 5)), "\r\r\n\r\n");
    EXPECT_EQ(failure(co_await in.read_until(";", 9)), io_failure::too_large);
    EXPECT_EQ(text_of(in.buffered()), "123456789;");
    EXPECT_EQ(text(co_await in.read_until(";", 10)), "123456789;");
  });
}

TYPED_TEST(over, what_does_not_fit_is_refused_and_kept) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"12345", "67890"});
    lv::buffered_reader in{source, 8};
    EXPECT_EQ(failure(co_await in.read_exactly(9)), io_failure::too_large);
    EXPECT_EQ(failure(co_await in.peek(9)), io_failure::too_large);
    EXPECT_EQ(failure(co_await in.read_line()), io_failure::too_large);
    EXPECT_EQ(in.buffered().size(), 8u);
    EXPECT_EQ(failure(co_await in.fill()), io_failure::too_large);
    std::byte ten[10];
    EXPECT_TRUE(co_await in.read_exactly(std::span(ten)));
    EXPECT_EQ(text_of(ten), "1234567890");
  });
}

TYPED_TEST(over, peek_and_consume_leave_the_rest) {
  run_tasks(1, []() -> lv::task<> {
    TypeParam source({"a", "bcd", "efgh"});
    lv::buffered_reader in{source};
    EXPECT_EQ(text(co_await in.peek(3)), "abc");
    in.consume(1);
    EXPECT_EQ(text(co_await in.peek(3)), "bcd");
    EXPECT_EQ(text(co_await in.fill()), "bcdefgh");
    std::byte two[2];
    EXPECT_EQ(failure(co_await in.read_exactly(std::span(two))), io_failure::other);
    EXPECT_EQ(text_of(two), "bc");
    EXPECT_EQ(text(co_await in.read_some()), "defgh");
  });
}

TYPED_TEST(over, any_pieces_by_any_reads_give_the_same_bytes) {
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    run_tasks(1, [](std::uint64_t from) -> lv::task<> {
      lv::rng random(from);
      std::string all;
      std::vector<std::string> pieces;
      for (int i = 0; i < 60; i++) {
        std::string piece;
        const std::size_t size = 1 + random.below(i % 10 == 0 ? 40'000 : 200);
        for (std::size_t each = 0; each < size; each++) piece += static_cast<char>('a' + random.below(20));
        all += piece;
        pieces.push_back(std::move(piece));
        if (random.below(4) == 0) pieces.emplace_back("!");
      }
      TypeParam source(std::move(pieces));
      lv::buffered_reader in{source, 100'000};
      std::string got;
      for (bool ended = false; !ended;) {
        io_failure failure = io_failure::other;
        switch (random.below(6)) {
          case 0: {
            const auto read = co_await in.read_exactly(random.below(3000));
            if (read) got += text_of(*read); else failure = read.error().failure();
            break;
          }
          case 1: {
            const auto read = co_await in.read_until(random.below(2) == 0 ? "a" : "bc", 1 + random.below(5000));
            if (read) got += text_of(*read); else failure = read.error().failure();
            break;
          }
          case 2: {
            std::string into(1 + random.below(20'000), ' ');
            const auto read = co_await in.read_exactly(std::as_writable_bytes(std::span(into)));
            if (read) got += into; else failure = read.error().failure();
            break;
          }
          case 3: {
            const auto read = co_await in.read_some();
            if (read) got += text_of(*read); else failure = read.error().failure();
            break;
          }
          case 4: {
            const std::size_t count = random.below(in.buffered().size() + 1);
            got += text_of(in.buffered().first(count));
            in.consume(count);
            break;
          }
          default: {
            const auto seen = co_await in.fill();
            if (!seen) failure = seen.error().failure();
            break;
          }
        }
        if (failure == io_failure::eof || failure == io_failure::truncated) {
          got += text_of(in.buffered());
          in.consume(in.buffered().size());
          ended = failure == io_failure::eof;
        }
      }
      EXPECT_TRUE(got == all) << "seed " << from << ": " << got.size() << " of " << all.size();
    }, seed);
  }
}

TEST(buffered_reader, lines_that_lie_in_one_lent_view_are_not_copied) {
  run_tasks(1, []() -> lv::task<> {
    const auto before = lv::frame_statistics().bytes_in_use;
    lending source({"a\nbb\nccc\n"});
    lv::buffered_reader in{source};
    for (std::size_t size = 1; size <= 3; size++) EXPECT_EQ(text(co_await in.read_line()).size(), size);
    EXPECT_EQ(source.reads, 1);
    EXPECT_EQ(source.lent, 1);
    EXPECT_LT(lv::frame_statistics().bytes_in_use, before + 16 * 1024);
  });
}

TEST(buffered_reader, holds_no_memory_while_it_waits_for_the_next_piece) {
  run_tasks(1, []() -> lv::task<> {
    lending source({"straddles", " two reads\n", "!"});
    lv::buffered_reader in{source, 10'000};
    const auto before = lv::frame_statistics().bytes_in_use;
    EXPECT_EQ(text(co_await in.read_line()), "straddles two reads");
    EXPECT_GE(lv::frame_statistics().bytes_in_use, before + 10'000);
    EXPECT_EQ(failure(co_await in.read_line()), io_failure::cancelled);
    EXPECT_LT(lv::frame_statistics().bytes_in_use, before + 10'000);
  });
}

TEST(buffered_reader, over_a_connection_a_deadline_in_the_middle_of_a_line_loses_no_byte) {
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
      lv::buffered_reader in{server};
      const auto line = [](lv::buffered_reader<lv::tcp_stream>& from) -> lv::task<lv::io_result<std::string>> {
        const auto got = co_await from.read_line();
        if (!got) co_return std::unexpected(got.error());
        co_return std::string(*got);
      };
      EXPECT_TRUE(co_await client.write_all("first\nsec"));
      EXPECT_EQ((co_await line(in)).value(), "first");
      EXPECT_EQ(failure(co_await lv::with_deadline(2ms, in.read_line())), io_failure::timed_out);
      EXPECT_TRUE(co_await client.write_all("ond\nthird"));
      EXPECT_EQ((co_await line(in)).value(), "second");
      client.close();
      EXPECT_EQ(failure(co_await line(in)), io_failure::truncated);
      EXPECT_EQ(text_of(in.buffered()), "third");
    });
  }
}
