// Inherited streams of every kind: the bytes come, cancellation works, and the file the others share stays as it was.

#include <gtest/gtest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include "levity/io/standard_stream.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

static_assert(lv::byte_source<lv::standard_input> && lv::byte_sink<lv::standard_output>);

// A pair of descriptors that block, as a parent would hand one of them down.
struct inherited {
  int ours = -1;    // what the process under test was given
  int theirs = -1;  // the other side
  ~inherited() {
    if (ours >= 0) ::close(ours);
    if (theirs >= 0) ::close(theirs);
  }
};

void make_terminal(inherited& pair) {
  pair.theirs = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(pair.theirs, 0);
  ASSERT_EQ(::grantpt(pair.theirs), 0);
  ASSERT_EQ(::unlockpt(pair.theirs), 0);
  pair.ours = ::open(::ptsname(pair.theirs), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(pair.ours, 0);
}

void make_pipe(inherited& pair, bool we_read) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  pair.ours = fds[we_read ? 0 : 1];
  pair.theirs = fds[we_read ? 1 : 0];
}

void make_sockets(inherited& pair) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  pair.ours = fds[0];
  pair.theirs = fds[1];
}

bool blocks(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

// At least `wanted` bytes: the kernel may give them in pieces.
lv::task<lv::io_result<std::string>> read_text(lv::standard_input* from, std::size_t wanted = 1) {
  std::string text;
  while (text.size() < wanted) {
    std::byte bytes[100];
    const auto got = co_await from->read_some(std::span(bytes));
    if (!got) co_return std::unexpected(got.error());
    text.append(reinterpret_cast<const char*>(bytes), *got);
  }
  co_return text;
}

lv::task<> read_and_wait(const inherited* pair, bool ends) {
  auto input = lv::standard_input::open(pair->ours).value();
  EXPECT_TRUE(input.is_pollable());
  EXPECT_TRUE(blocks(pair->ours));
  EXPECT_EQ(::write(pair->theirs, "hello\n", 6), 6);
  EXPECT_EQ((co_await read_text(&input, 6)).value(), "hello\n");
  EXPECT_EQ((co_await lv::with_deadline(2ms, read_text(&input))).error(), io_failure::timed_out);
  const auto wait = [](lv::standard_input* from) -> lv::task<> {
    EXPECT_EQ((co_await read_text(from)).error(), io_failure::cancelled);
  };
  lv::scope waiting;
  waiting.spawn(wait, &input);
  co_await lv::sleep(1ms);
  waiting.cancel();
  co_await waiting.join();
  EXPECT_EQ(::write(pair->theirs, "more\n", 5), 5);
  EXPECT_EQ((co_await read_text(&input, 5)).value(), "more\n");
  ::close(pair->theirs);
  if (ends) {
    EXPECT_EQ((co_await read_text(&input)).error(), io_failure::eof);
  }
  EXPECT_TRUE(blocks(pair->ours));
}

}  // namespace

TEST(standard_input, of_a_pipe_waits_like_any_stream_and_stays_blocking_for_others) {
  inherited pair;
  make_pipe(pair, true);
  run_tasks(1, read_and_wait, static_cast<const inherited*>(&pair), true);
  pair.theirs = -1;
}

TEST(standard_input, of_a_socket_does_so_too) {
  inherited pair;
  make_sockets(pair);
  run_tasks(1, read_and_wait, static_cast<const inherited*>(&pair), true);
  pair.theirs = -1;
}

TEST(standard_input, of_a_terminal_does_so_too_and_its_hanging_up_is_an_end) {
  inherited pair;
  make_terminal(pair);
  run_tasks(1, read_and_wait, static_cast<const inherited*>(&pair), true);
  pair.theirs = -1;
}

TEST(standard_input, of_a_file_reads_on_from_where_it_stands) {
  std::string path = "/tmp/levity_standard_XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_EQ(::write(fd, "0123456789", 10), 10);
  ASSERT_EQ(::lseek(fd, 4, SEEK_SET), 4);
  run_tasks(1, [](int inherited_fd) -> lv::task<> {
    auto input = lv::standard_input::open(inherited_fd).value();
    EXPECT_FALSE(input.is_pollable());
    EXPECT_EQ((co_await read_text(&input, 6)).value(), "456789");
    EXPECT_EQ((co_await read_text(&input)).error(), io_failure::eof);
    const auto read = [](lv::standard_input* from) -> lv::task<> {
      EXPECT_EQ((co_await read_text(from)).error(), io_failure::cancelled);
    };
    lv::scope early;
    early.cancel();
    early.spawn(read, &input);
    co_await early.join();
    auto output = lv::standard_output::open(inherited_fd).value();
    EXPECT_TRUE(co_await output.write_all("abc"));
    EXPECT_EQ(::lseek(inherited_fd, 0, SEEK_CUR), 13);
  }, fd);
  ::close(fd);
  ::unlink(path.c_str());
}

TEST(standard_input, of_nothing_and_of_a_device_that_cannot_wait) {
  run_tasks(1, []() -> lv::task<> {
    EXPECT_EQ(lv::standard_input::open(987).error(), io_failure::closed);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    auto input = lv::standard_input::open(null).value();
    EXPECT_EQ((co_await read_text(&input)).error(), io_failure::eof);
    auto output = lv::standard_output::open(null).value();
    EXPECT_TRUE(co_await output.write_all("gone"));
    ::close(null);
    lv::standard_input none;
    EXPECT_EQ((co_await read_text(&none)).error(), io_failure::closed);
  });
}

TEST(standard_output, into_a_full_pipe_or_socket_waits_and_nobody_else_is_made_not_to) {
  for (const bool socket : {false, true}) {
    inherited pair;
    if (socket) {
      make_sockets(pair);
    } else {
      make_pipe(pair, false);
    }
    run_tasks(2, [](const inherited* ends) -> lv::task<> {
      auto output = lv::standard_output::open(ends->ours).value();
      EXPECT_TRUE(output.is_pollable());
      const auto write = [](lv::standard_output* to, const std::string* text) -> lv::task<lv::io_result<void>> {
        co_return co_await to->write_all(*text);
      };
      const std::string much(4'000'000, 'w');
      EXPECT_EQ((co_await lv::with_deadline(5ms, write(&output, &much))).error(), io_failure::timed_out);
      EXPECT_TRUE(blocks(ends->ours));
      ::close(ends->theirs);
      EXPECT_EQ((co_await write(&output, &much)).error(), io_failure::reset);
    }, static_cast<const inherited*>(&pair));
    pair.theirs = -1;
  }
}
