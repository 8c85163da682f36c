// Copies through the kernel and through buffers: every byte, every end, every failure at its place.

#include <gtest/gtest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>

#include "levity/base/rng.hpp"
#include "levity/io/copy.hpp"
#include "levity/levity.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string pattern(std::size_t size, std::uint64_t seed) {
  std::string text(size, '\0');
  lv::rng random(seed);
  for (char& each : text) each = static_cast<char>(random());
  return text;
}

struct ends {
  lv::tcp_stream client;
  lv::tcp_stream server;
};

lv::task<ends> connected() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  co_return ends{std::move(*std::get<0>(both)), std::move(*std::get<1>(both))};
}

template <class From>
lv::task<> read_all(From* from, std::string* into, io_failure* end) {
  for (;;) {
    const auto got = co_await from->read_some();
    if (!got) {
      *end = got.error().failure();
      co_return;
    }
    *into += text_of(*got);
  }
}

lv::task<> write_and_end(lv::tcp_stream* to, const std::string* text, std::size_t part_max) {
  lv::rng random(9);
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t part = std::min<std::size_t>(text->size() - at, 1 + random.below(part_max));
    const auto sent = co_await to->write_all(std::string_view(*text).substr(at, part));
    EXPECT_TRUE(sent);
    if (!sent) co_return;
    at += part;
  }
  EXPECT_TRUE(to->shutdown_write());
}

// The pipes that this process has made itself: those that it was started with are not close-on-exec.
std::set<std::string> own_pipes() {
  std::set<std::string> found;
  for (int fd = 0; fd < 1024; fd++) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) == 0) continue;
    char target[64];
    const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
    const std::string name(target, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    if (name.starts_with("pipe:")) found.insert(name);
  }
  return found;
}

const lv::runtime_options::sockets backends[] = {lv::runtime_options::sockets::epoll, lv::runtime_options::sockets::ring,
                                                 lv::runtime_options::sockets::sim};

template <class F>
void run_on_every_backend(F f) {
  for (const auto backend : backends) {
    for (const unsigned workers : {1u, 2u}) {
      if (workers == 2 && backend == lv::runtime_options::sockets::sim) continue;
      lv::runtime_options options;
      options.backend = backend;
      options.workers = workers;
      options.handle_signals = false;
      lv::run_with(options, f);
    }
  }
}

// A user's own source: 'x' so many times, or a failure.
struct letters {
  std::size_t left;
  io_failure last = io_failure::eof;
  lv::task<lv::io_result<std::size_t>> read_some(std::span<std::byte> into) {
    if (left == 0) co_return std::unexpected(lv::io_error{last});
    const std::size_t count = std::min({left, into.size(), std::size_t{1000}});
    std::fill_n(into.begin(), count, std::byte{'x'});
    left -= count;
    co_return count;
  }
};

// Connections as a proxy sees them: client - (front, back) - server.
struct proxied {
  ends front;
  ends back;
};

lv::task<proxied> proxied_pair() {
  ends front = co_await connected();
  ends back = co_await connected();
  co_return proxied{std::move(front), std::move(back)};
}

lv::task<> carry(proxied* all, lv::copied_both_ways* outcome) {
  *outcome = co_await lv::copy_bidirectional(all->front.server, all->back.client);
}

}  // namespace

TEST(copy, from_a_users_own_source_to_its_end_or_failure) {
  run_on_every_backend([]() -> lv::task<> {
    ends both = co_await connected();
    std::string got;
    io_failure end = io_failure::other;
    lv::scope reading;
    reading.spawn(read_all<lv::tcp_stream>, &both.server, &got, &end);
    letters some{100'000};
    const auto whole = co_await lv::copy(some, both.client);
    EXPECT_TRUE(whole);
    EXPECT_EQ(whole.bytes, 100'000u);
    letters torn{5000, io_failure::reset};
    const auto part = co_await lv::copy(torn, both.client);
    EXPECT_EQ(part.bytes, 5000u);
    EXPECT_TRUE(part.error && *part.error == io_failure::reset);
    both.client.close();
    co_await reading.join();
    EXPECT_EQ(got, std::string(105'000, 'x'));
  });
}

TEST(copy, both_ways_carries_every_byte_and_passes_each_end_on) {
  run_on_every_backend([]() -> lv::task<> {
    const std::string up = pattern(static_cast<std::size_t>(6'000'000 / slow_build_factor), 1);
    const std::string down = pattern(static_cast<std::size_t>(4'000'000 / slow_build_factor), 2);
    proxied all = co_await proxied_pair();
    std::string at_server;
    std::string at_client;
    io_failure ends[2] = {io_failure::other, io_failure::other};
    lv::copied_both_ways outcome;
    lv::scope work;
    work.spawn(carry, &all, &outcome);
    work.spawn(write_and_end, &all.front.client, &up, std::size_t{300'000});
    work.spawn(write_and_end, &all.back.server, &down, std::size_t{700});
    work.spawn(read_all<lv::tcp_stream>, &all.back.server, &at_server, &ends[0]);
    work.spawn(read_all<lv::tcp_stream>, &all.front.client, &at_client, &ends[1]);
    co_await work.join();
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome.there.bytes, up.size());
    EXPECT_EQ(outcome.back.bytes, down.size());
    EXPECT_TRUE(at_server == up);
    EXPECT_TRUE(at_client == down);
    EXPECT_EQ(ends[0], io_failure::eof);
    EXPECT_EQ(ends[1], io_failure::eof);
  });
}

TEST(copy, one_side_may_end_long_before_the_other) {
  run_on_every_backend([]() -> lv::task<> {
    proxied all = co_await proxied_pair();
    lv::copied_both_ways outcome;
    lv::scope work;
    work.spawn(carry, &all, &outcome);
    EXPECT_TRUE(all.front.client.shutdown_write());
    EXPECT_EQ((co_await all.back.server.read_some()).error(), io_failure::eof);
    lv::buffered_reader in{all.front.client};
    for (int i = 0; i < 20; i++) {
      EXPECT_TRUE(co_await all.back.server.write_all("still here"));
      EXPECT_EQ(text_of((co_await in.read_exactly(10)).value()), "still here");
    }
    all.back.server.close();
    EXPECT_EQ((co_await in.read_exactly(1)).error(), io_failure::eof);
    co_await work.join();
    EXPECT_TRUE(outcome);
    EXPECT_EQ(outcome.back.bytes, 200u);
  });
}

TEST(copy, a_reset_on_one_side_ends_both_ways_and_is_told) {
  run_on_every_backend([]() -> lv::task<> {
    proxied all = co_await proxied_pair();
    lv::copied_both_ways outcome;
    lv::scope work;
    work.spawn(carry, &all, &outcome);
    EXPECT_TRUE(co_await all.front.client.write_all("hello"));
    lv::buffered_reader in{all.back.server};
    EXPECT_EQ(text_of((co_await in.read_exactly(5)).value()), "hello");
    all.front.client.abort();
    co_await work.join();
    EXPECT_TRUE(outcome.there.error && *outcome.there.error == io_failure::reset);
    EXPECT_TRUE(outcome.back.error && *outcome.back.error == io_failure::cancelled);
    EXPECT_EQ(outcome.there.bytes, 5u);
  });
}

TEST(copy, cancelled_and_timed_out_end_both_ways) {
  run_on_every_backend([]() -> lv::task<> {
    proxied all = co_await proxied_pair();
    const auto late = co_await lv::with_deadline(2ms, lv::copy_bidirectional(all.front.server, all.back.client));
    EXPECT_TRUE(late.there.error && *late.there.error == io_failure::timed_out);
    EXPECT_TRUE(late.back.error && *late.back.error == io_failure::timed_out);
    lv::copied_both_ways outcome;
    lv::scope work;
    work.spawn(carry, &all, &outcome);
    co_await lv::sleep(1ms);
    work.cancel();
    co_await work.join();
    EXPECT_TRUE(outcome.there.error && *outcome.there.error == io_failure::cancelled);
    EXPECT_TRUE(outcome.back.error && *outcome.back.error == io_failure::cancelled);
  });
}

TEST(copy, cut_off_in_the_middle_of_bulk_leaves_no_descriptor_behind) {
  run_tasks(1, []() -> lv::task<> {
    const std::string much(40'000'000, 'x');
    int before = 0;
    for (int i = 0; i < 12; i++) {
      proxied all = co_await proxied_pair();
      lv::copied_both_ways outcome;
      lv::scope work;
      work.spawn(carry, &all, &outcome);
      const auto push = [](lv::tcp_stream* to, const std::string* text) -> lv::task<> {
        const auto sent = co_await to->write_all(*text);
        EXPECT_FALSE(sent);  // nobody reads
      };
      work.spawn(push, &all.front.client, &much);
      co_await lv::sleep(2ms);
      work.cancel();
      co_await work.join();
      EXPECT_TRUE(outcome.there.error);
      if (i == 5) before = levity::test::open_descriptors();
    }
    // One that happened to be empty when it was given back waits for the next copy. The watchdog opens files for a moment, when
    // something is stuck.
    constexpr int kept_pipe = 2;
    for (int i = 0; i < 5'000 && levity::test::open_descriptors() > before + kept_pipe; i++) co_await lv::sleep(1ms);
    EXPECT_LE(levity::test::open_descriptors(), before + kept_pipe);
  });
}

TEST(copy, a_child_process_uses_no_pipe_that_its_parent_kept) {
  const auto copy_much = [] {
    lv::runtime_options options;
    options.backend = lv::runtime_options::sockets::epoll;  // which lends its sockets to splice
    options.workers = 1;
    options.handle_signals = false;
    lv::run_with(options, []() -> lv::task<> {
      const std::string much = pattern(1'000'000, 3);
      proxied all = co_await proxied_pair();
      std::string got;
      io_failure end = io_failure::other;
      lv::copied_both_ways outcome;
      lv::scope work;
      work.spawn(carry, &all, &outcome);
      work.spawn(write_and_end, &all.front.client, &much, std::size_t{300'000});
      work.spawn(read_all<lv::tcp_stream>, &all.back.server, &got, &end);
      EXPECT_TRUE(all.back.server.shutdown_write());
      co_await work.join();
      EXPECT_TRUE(got == much);
    });
  };
  copy_much();
  const std::set<std::string> parents = own_pipes();
  EXPECT_FALSE(parents.empty());
  const pid_t child = ::fork();
  if (child == 0) {
    copy_much();
    for (const std::string& each : own_pipes()) {
      if (parents.contains(each)) ::_exit(1);
    }
    ::_exit(testing::Test::HasFailure() ? 2 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(copy, from_a_connection_into_a_pipe_and_back) {
  run_tasks(2, []() -> lv::task<> {
    const std::string text = pattern(static_cast<std::size_t>(3'000'000 / slow_build_factor), 4);
    ends in = co_await connected();
    ends out = co_await connected();
    lv::pipe_ends middle = lv::make_pipe().value();
    const auto first = [](lv::tcp_stream* from, lv::pipe_writer to, std::uint64_t* bytes) -> lv::task<> {
      const auto outcome = co_await lv::copy(*from, to);
      EXPECT_TRUE(outcome);
      *bytes = outcome.bytes;
    };
    const auto second = [](lv::pipe_reader from, lv::tcp_stream* to) -> lv::task<> {
      const auto outcome = co_await lv::copy(from, *to);
      EXPECT_TRUE(outcome);
      EXPECT_TRUE(to->shutdown_write());
    };
    std::uint64_t bytes = 0;
    std::string got;
    io_failure end = io_failure::other;
    lv::scope work;
    work.spawn(first, &in.server, std::move(middle.writer), &bytes);
    work.spawn(second, std::move(middle.reader), &out.client);
    work.spawn(write_and_end, &in.client, &text, std::size_t{300'000});
    work.spawn(read_all<lv::tcp_stream>, &out.server, &got, &end);
    co_await work.join();
    EXPECT_EQ(bytes, text.size());
    EXPECT_TRUE(got == text);
  });
}

namespace {

struct temporary_file {
  std::string path = "/tmp/levity_copy_XXXXXX";
  explicit temporary_file(const std::string& text) {
    const int fd = ::mkstemp(path.data());
    EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(fd);
  }
  ~temporary_file() { ::unlink(path.c_str()); }
};

}  // namespace

TEST(send_file, sends_the_part_that_was_asked_for_warm_or_cold) {
  const std::string text = pattern(3'000'000, 6);
  temporary_file on_disk(text);
  run_on_every_backend([&on_disk, &text]() {
    return [](std::string path, const std::string* all) -> lv::task<> {
      auto source = (co_await lv::file::open(path, {.read = true})).value();
      for (const bool cold : {false, true}) {
        ends both = co_await connected();
        std::string got;
        io_failure end = io_failure::other;
        lv::scope reading;
        reading.spawn(read_all<lv::tcp_stream>, &both.server, &got, &end);
        if (cold) {
          EXPECT_EQ(::fdatasync(source.native_handle()), 0);
          ::posix_fadvise(source.native_handle(), 0, 0, POSIX_FADV_DONTNEED);
        }
        const auto sent = co_await lv::send_file(both.client, source, 1000, all->size() - 3000);
        EXPECT_TRUE(sent);
        EXPECT_EQ(sent.bytes, all->size() - 3000);
        both.client.close();
        co_await reading.join();
        EXPECT_TRUE(got == all->substr(1000, all->size() - 3000));
      }
    }(on_disk.path, &text);
  });
}

TEST(send_file, a_file_that_is_shorter_than_promised_is_truncated) {
  temporary_file on_disk("only this");
  run_on_every_backend([&on_disk]() {
    return [](std::string path) -> lv::task<> {
      auto source = (co_await lv::file::open(path, {.read = true})).value();
      ends both = co_await connected();
      const auto sent = co_await lv::send_file(both.client, source, 5, 100);
      EXPECT_EQ(sent.bytes, 4u);
      EXPECT_TRUE(sent.error && *sent.error == io_failure::truncated);
      lv::buffered_reader in{both.server};
      EXPECT_EQ(text_of((co_await in.read_exactly(4)).value()), "this");
      const auto nothing = co_await lv::send_file(both.client, source, 5, 0);
      EXPECT_TRUE(nothing);
    }(on_disk.path);
  });
}

TEST(send_file, a_peer_that_goes_or_does_not_read_ends_it_and_says_how) {
  const std::string text = pattern(20'000'000, 6);
  temporary_file on_disk(text);
  run_tasks(1, [](std::string path) -> lv::task<> {
    auto source = (co_await lv::file::open(path, {.read = true})).value();
    ends both = co_await connected();
    const auto late = co_await lv::with_deadline(5ms, lv::send_file(both.client, source, 0, 20'000'000));
    EXPECT_TRUE(late.error && *late.error == io_failure::timed_out);
    EXPECT_LT(late.bytes, 20'000'000u);
    both.server.abort();
    const auto torn = co_await lv::send_file(both.client, source, 0, 20'000'000);
    EXPECT_TRUE(torn.error && *torn.error == io_failure::reset);
    both.client.close();
    const auto closed = co_await lv::send_file(both.client, source, 0, 1);
    EXPECT_TRUE(closed.error && *closed.error == io_failure::closed);
  }, on_disk.path);
}
