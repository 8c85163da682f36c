// Unix streams: what arrives, in which order, how it ends, and that no descriptor is lost or leaked on the way.

#include "levity/io/unix_stream.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/wait_seen.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::open_descriptors;
using levity::test::run_tasks;
using levity::test::temporary_folder;

namespace {

static_assert(lv::lending_source<lv::unix_stream> && lv::gathering_sink<lv::unix_stream> && lv::byte_stream<lv::unix_stream>);

constexpr unsigned worker_counts[] = {1, 2, 4};

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

std::string noise(std::size_t size) {
  std::string all(size, ' ');
  lv::rng random(3);
  for (char& each : all) each = static_cast<char>(random());
  return all;
}

lv::task<> send_parts(lv::unix_stream* to, const std::string* all) {
  lv::rng random(5);
  for (std::size_t at = 0; at < all->size();) {
    const std::size_t part = std::min<std::size_t>(all->size() - at, 1 + random.below(200'000));
    const auto sent = co_await to->write_all(std::string_view(*all).substr(at, part));
    EXPECT_TRUE(sent);
    if (!sent) co_return;
    at += part;
  }
  EXPECT_TRUE(to->shutdown_write());
}

lv::task<> read_to_end(lv::unix_stream* from, std::string* got) {
  for (;;) {
    const auto view = co_await from->read_some();
    if (!view) {
      EXPECT_EQ(view.error(), io_failure::eof);
      co_return;
    }
    *got += text_of(*view);
  }
}

lv::task<io_failure> read_failure(lv::unix_stream* from) {
  const auto got = co_await from->read_some();
  co_return got ? io_failure::other : got.error().failure();
}

lv::unix_stream_pair connected() { return lv::unix_stream::pair().value(); }

// A descriptor of a pipe that holds `text`.
lv::descriptor readable(std::string_view text) {
  int fds[2];
  EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  EXPECT_EQ(::write(fds[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(fds[1]);
  return lv::descriptor{fds[0]};
}

std::string content_of(const lv::descriptor& from) {
  char room[64];
  const ssize_t got = ::read(from.get(), room, sizeof room);
  return got < 0 ? "unreadable" : std::string(room, static_cast<std::size_t>(got));
}

}  // namespace

TEST(unix_stream, carries_every_byte_both_ways_and_then_ends) {
  const std::string all = noise(2'000'000);
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, [](const std::string* sent) -> lv::task<> {
      auto ends = connected();
      std::string first_got;
      std::string second_got;
      lv::scope both;
      both.spawn(send_parts, &ends.first, sent);
      both.spawn(send_parts, &ends.second, sent);
      both.spawn(read_to_end, &ends.first, &first_got);
      both.spawn(read_to_end, &ends.second, &second_got);
      co_await both.join();
      EXPECT_TRUE(first_got == *sent && second_got == *sent);
    }, &all);
  }
}

TEST(unix_stream, copy_and_buffers_take_it_as_any_stream) {
  const std::string all = noise(3'000'000);
  run_tasks(2, [](const std::string* sent) -> lv::task<> {
    auto near = connected();
    auto far = connected();
    std::string got;
    lv::scope tasks;
    tasks.spawn(send_parts, &near.first, sent);
    tasks.spawn(read_to_end, &far.second, &got);
    const auto copied = co_await lv::copy(near.second, far.first);
    EXPECT_TRUE(copied);
    EXPECT_EQ(copied.bytes, sent->size());
    EXPECT_TRUE(far.first.shutdown_write());
    co_await tasks.join();
    EXPECT_TRUE(got == *sent);

    auto talk = connected();
    lv::buffered_writer to(talk.first);
    lv::buffered_reader from(talk.second);
    EXPECT_TRUE(co_await to.write("one\ntwo\n"));
    EXPECT_TRUE(co_await to.flush());
    EXPECT_EQ((co_await from.read_line()).value(), "one");
    EXPECT_EQ((co_await from.read_line()).value(), "two");
  }, &all);
}

TEST(unix_stream, an_end_a_reset_and_a_closed_stream_are_told_apart_again_and_again) {
  struct sigaction as_usual {};
  as_usual.sa_handler = SIG_DFL;
  struct sigaction before;
  ASSERT_EQ(::sigaction(SIGPIPE, &as_usual, &before), 0);
  run_tasks(1, []() -> lv::task<> {
    auto in_order = connected();
    EXPECT_TRUE(co_await in_order.second.write_all("last words"));
    in_order.second.close();
    EXPECT_EQ((co_await in_order.first.write_all("x")).error(), io_failure::reset);
    EXPECT_EQ(text_of((co_await in_order.first.read_some()).value()), "last words");
    for (int i = 0; i < 3; i++) EXPECT_EQ(co_await read_failure(&in_order.first), io_failure::eof);

    auto torn = connected();
    EXPECT_TRUE(co_await torn.first.write_all("never read"));
    EXPECT_TRUE(co_await torn.second.write_all("last words"));
    torn.second.close();
    EXPECT_EQ(text_of((co_await torn.first.read_some()).value()), "last words");
    for (int i = 0; i < 3; i++) EXPECT_EQ(co_await read_failure(&torn.first), io_failure::reset);
    EXPECT_EQ((co_await torn.first.write_all("x")).error(), io_failure::reset);

    torn.first.close();
    torn.first.close();
    EXPECT_EQ(co_await read_failure(&torn.first), io_failure::closed);
    EXPECT_EQ((co_await torn.first.write_all("x")).error(), io_failure::closed);
    EXPECT_EQ(torn.first.shutdown_write().error(), io_failure::closed);
  });
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(unix_stream, one_that_waits_is_told_of_the_end_and_of_the_reset) {
  run_tasks(2, []() -> lv::task<> {
    for (const bool torn : {false, true}) {
      auto ends = connected();
      lv::scope waiting;
      const auto wait = [](lv::unix_stream* from, io_failure expected) -> lv::task<> {
        EXPECT_EQ(co_await read_failure(from), expected);
      };
      const auto fill = [](lv::unix_stream* to, levity::test::task_place* record) -> lv::task<> {
        levity::test::be_seen(*record);
        const std::string much(4 << 20, 'x');
        EXPECT_EQ((co_await to->write_all(much)).error(), io_failure::reset);
      };
      levity::test::task_place writer{nullptr};
      waiting.spawn(wait, &ends.first, torn ? io_failure::reset : io_failure::eof);
      if (torn) {
        waiting.spawn(fill, &ends.first, &writer);
        co_await lv::sleep(1ms);
        EXPECT_TRUE((co_await levity::test::wait_seen(&writer)).starts_with("unix write (fd "));
      }
      ends.second.close();
      co_await waiting.join();
    }
  });
}

TEST(unix_stream, cancelled_before_while_and_by_a_deadline_loses_nothing) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = connected();
    const auto read = [](lv::unix_stream* from) -> lv::task<> {
      EXPECT_EQ(co_await read_failure(from), io_failure::cancelled);
    };
    lv::scope early;
    early.cancel();
    EXPECT_TRUE(co_await ends.second.write_all("kept"));
    early.spawn(read, &ends.first);
    co_await early.join();
    EXPECT_EQ(text_of((co_await ends.first.read_some()).value()), "kept");
    lv::scope waiting;
    waiting.spawn(read, &ends.first);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_EQ(co_await lv::with_deadline(1ms, read_failure(&ends.first)), io_failure::timed_out);
    EXPECT_TRUE(co_await ends.second.write_all("again"));
    EXPECT_EQ(text_of((co_await ends.first.read_some()).value()), "again");
  });
}

TEST(unix_stream, cancellation_racing_a_write_takes_all_or_nothing) {
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      auto ends = connected();
      const auto read = [](lv::unix_stream* from, std::string* into) -> lv::task<> {
        std::byte room[16];
        lv::descriptor with[1];
        const auto got = co_await from->read_some(std::span(room), std::span(with));
        if (!got) co_return;
        *into = text_of(std::span(room).first(got->size));
        EXPECT_EQ(got->descriptors, 1u);
        EXPECT_TRUE(with[0].is_open());
      };
      const int sent[] = {STDERR_FILENO};
      for (int i = 0; i < 3000 / levity::test::slow_build_factor; i++) {
        std::string got;
        lv::scope reading;
        reading.spawn(read, &ends.first, &got);
        if (i % 2 == 0) co_await lv::yield();
        EXPECT_TRUE(co_await ends.second.write_all("w", std::span(sent)));
        reading.cancel();
        co_await reading.join();
        if (got.empty()) co_await read(&ends.first, &got);
        EXPECT_EQ(got, "w");
      }
    });
  }
}

TEST(unix_stream, a_dump_says_where_each_end_waits) {
  const temporary_folder folder;
  run_tasks(2, [](std::string path) -> lv::task<> {
    auto listener = lv::unix_listener::bind(path).value();
    const auto accept = [](lv::unix_listener* at, lv::unix_stream* into, levity::test::task_place* self) -> lv::task<> {
      levity::test::be_seen(*self);
      *into = (co_await at->accept()).value();
    };
    const auto read = [](lv::unix_stream* from, levity::test::task_place* self) -> lv::task<> {
      levity::test::be_seen(*self);
      (void)co_await from->read_some();
    };
    lv::unix_stream accepted;
    levity::test::task_place record{nullptr};
    lv::scope tasks;
    tasks.spawn(accept, &listener, &accepted, &record);
    const std::string accepts = co_await levity::test::wait_seen(&record);
    EXPECT_TRUE(accepts.starts_with("unix accept (fd ") && accepts.ends_with(path + ")")) << accepts;
    auto client = (co_await lv::unix_stream::connect(path)).value();
    co_await tasks.join();
    EXPECT_EQ(accepted.local_address().name(), path);
    EXPECT_EQ(client.peer_address().name(), path);
    EXPECT_TRUE(client.local_address().is_empty());
    for (lv::unix_stream* each : {&accepted, &client}) {
      lv::scope reading;
      record.store(nullptr, std::memory_order_relaxed);
      reading.spawn(read, each, &record);
      const std::string reads = co_await levity::test::wait_seen(&record);
      EXPECT_TRUE(reads.starts_with("unix read (fd ") && reads.ends_with(path + ")")) << reads;
      reading.cancel();
      co_await reading.join();
    }
  }, folder.file("a.sock"));
}

// ---- descriptors -----------------------------------------------------------------------------------------------------

TEST(unix_stream, descriptors_arrive_with_their_bytes_in_order_and_are_close_on_exec) {
  for (const unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      auto ends = connected();
      const lv::descriptor one = readable("one");
      const lv::descriptor two = readable("two");
      const lv::descriptor three = readable("three");
      const int first[] = {one.get(), two.get()};
      const int second[] = {three.get()};
      EXPECT_TRUE(co_await ends.first.write_all("plain"));
      EXPECT_TRUE(co_await ends.first.write_all("a", std::span(first)));
      EXPECT_TRUE(co_await ends.first.write_all("b", std::span(second)));
      EXPECT_TRUE(co_await ends.first.write_all("plain"));
      std::string bytes;
      std::vector<std::string> contents;
      while (bytes.size() < 12) {
        std::byte room[64];
        std::array<lv::descriptor, 3> with;
        const auto got = co_await ends.second.read_some(std::span(room), std::span(with));
        EXPECT_TRUE(got);
        if (!got) co_return;
        bytes += text_of(std::span(room).first(got->size));
        for (std::size_t i = 0; i < with.size(); i++) {
          EXPECT_EQ(with[i].is_open(), i < got->descriptors);
          if (!with[i].is_open()) continue;
          EXPECT_NE(::fcntl(with[i].get(), F_GETFD) & FD_CLOEXEC, 0);
          contents.push_back(content_of(with[i]));
          // What has come belongs to the last of the bytes that came with it.
          EXPECT_EQ(bytes.back(), contents.size() <= 2 ? 'a' : 'b');
        }
      }
      EXPECT_EQ(bytes, "plainabplain");
      EXPECT_EQ(contents, (std::vector<std::string>{"one", "two", "three"}));
    });
  }
}

TEST(unix_stream, more_descriptors_than_there_is_room_for_are_refused_and_none_leaks) {
  const int before = open_descriptors();
  run_tasks(1, []() -> lv::task<> {
    auto ends = connected();
    const int open_then = open_descriptors();
    const std::vector<int> many(9, STDERR_FILENO);
    std::byte room[8];
    for (const std::size_t wanted : {0, 1, 4, 5, 8}) {
      std::vector<lv::descriptor> with(wanted);
      EXPECT_TRUE(co_await ends.first.write_all("x", std::span(many)));
      const auto got = co_await ends.second.read_some(std::span(room), std::span(with));
      EXPECT_TRUE(!got && got.error() == io_failure::too_large) << wanted;
      if (got) co_return;
      EXPECT_NE(got.error().message().find("descriptors"), std::string::npos);
      EXPECT_EQ(open_descriptors(), open_then) << wanted;
    }
    // The stream goes on, and a read that asks for none closes what comes.
    EXPECT_TRUE(co_await ends.first.write_all("y", std::span(many)));
    EXPECT_TRUE(co_await ends.first.write_all("z"));
    EXPECT_EQ(text_of((co_await ends.second.read_some()).value()), "y");
    EXPECT_EQ(text_of((co_await ends.second.read_some()).value()), "z");
    EXPECT_EQ(open_descriptors(), open_then);
  });
  EXPECT_EQ(open_descriptors(), before);
}

TEST(unix_stream, a_message_carries_253_descriptors_and_one_more_is_refused_in_a_sentence) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = connected();
    std::vector<int> most(253, STDERR_FILENO);
    EXPECT_TRUE(co_await ends.first.write_all("x", std::span(most)));
    std::vector<lv::descriptor> with(300);
    std::byte room[8];
    const auto got = co_await ends.second.read_some(std::span(room), std::span(with));
    EXPECT_TRUE(got && got->descriptors == 253);
    most.push_back(STDERR_FILENO);
    const auto sent = co_await ends.first.write_all("x", std::span(most));
    EXPECT_TRUE(!sent && sent.error() == io_failure::too_large);
    if (sent) co_return;
    EXPECT_EQ(sent.error().message(), "sending descriptors (at most 253 go with one message): too large");
  });
}

TEST(unix_stream, descriptors_that_the_process_may_not_open_are_an_error_and_none_leaks) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = connected();
    const std::vector<int> some(4, STDERR_FILENO);
    EXPECT_TRUE(co_await ends.first.write_all("x", std::span(some)));
    EXPECT_TRUE(co_await ends.first.write_all("y"));
    rlimit before;
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const int open_then = open_descriptors();
    const int next = ::dup(STDERR_FILENO);
    ::close(next);
    const rlimit tight{static_cast<rlim_t>(next) + 2, before.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    std::byte room[8];
    std::array<lv::descriptor, 8> with;
    const auto got = co_await ends.second.read_some(std::span(room), std::span(with));
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(!got && got.error() == io_failure::no_descriptors);
    EXPECT_EQ(open_descriptors(), open_then);
    EXPECT_EQ(text_of((co_await ends.second.read_some()).value()), "y");
  });
}

TEST(unix_stream, between_processes_descriptors_and_credentials_are_those_of_the_other) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const pid_t child = ::fork();
  if (child == 0) {  // answers with a descriptor of a pipe that holds what it reads from the one it was sent
    ::close(fds[0]);
    char control[CMSG_SPACE(sizeof(int))];
    char byte;
    iovec piece{&byte, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(fds[1], &message, 0) != 1) ::_exit(1);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    if (rights == nullptr) ::_exit(2);
    int got;
    std::memcpy(&got, CMSG_DATA(rights), sizeof got);
    char text[16];
    const ssize_t size = ::read(got, text, sizeof text);
    int own[2];
    if (size <= 0 || ::pipe(own) != 0 || ::write(own[1], text, static_cast<std::size_t>(size)) != size) ::_exit(3);
    std::memcpy(CMSG_DATA(rights), &own[0], sizeof(int));
    message.msg_controllen = sizeof control;
    if (::sendmsg(fds[1], &message, 0) != 1) ::_exit(4);
    ::_exit(0);
  }
  ::close(fds[1]);
  run_tasks(2, [](int fd, pid_t other) -> lv::task<> {
    auto stream = lv::unix_stream::adopt(fd).value();
    const lv::descriptor question = readable("over there");
    const int sent[] = {question.get()};
    EXPECT_TRUE(co_await stream.write_all("?", std::span(sent)));
    std::byte room[8];
    std::array<lv::descriptor, 1> with;
    const auto got = co_await stream.read_some(std::span(room), std::span(with));
    EXPECT_TRUE(got && got->descriptors == 1);
    EXPECT_EQ(content_of(with[0]), "over there");
    EXPECT_EQ(co_await read_failure(&stream), io_failure::eof);
    const auto who = stream.peer_credentials();  // of a pair: of who made it
    EXPECT_TRUE(who && who->pid == ::getpid() && who->uid == ::getuid() && who->gid == ::getgid());
    EXPECT_NE(other, ::getpid());
  }, fds[0], child);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(unix_stream, adopts_streams_and_nothing_else) {
  const int before = open_descriptors();
  run_tasks(1, []() -> lv::task<> {
    EXPECT_EQ(lv::unix_stream::adopt(-1).error(), io_failure::closed);
    EXPECT_EQ(lv::unix_stream::adopt(readable("").release()).error(), io_failure::invalid);
    EXPECT_EQ(lv::unix_stream::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)).error(), io_failure::invalid);
    EXPECT_EQ(lv::unix_stream::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)).error(), io_failure::invalid);
    auto ends = connected();
    auto copy = lv::descriptor::duplicate(ends.first.native_handle());
    EXPECT_TRUE(copy);
    auto second = lv::unix_stream::adopt(copy->release());
    EXPECT_TRUE(second && co_await second->write_all("by another descriptor"));
    EXPECT_EQ(text_of((co_await ends.second.read_some()).value()), "by another descriptor");
    EXPECT_EQ(lv::descriptor::duplicate(-1).error(), io_failure::closed);
  });
  EXPECT_EQ(open_descriptors(), before);
}

TEST(unix_stream, a_simulated_run_passes_no_descriptors_and_takes_none_of_the_kernels) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, []() -> lv::task<> {
    auto ends = lv::unix_stream::pair().value();
    const int some[] = {0};
    const auto sent = co_await ends.first.write_all("x", some);
    EXPECT_TRUE(!sent && sent.error() == io_failure::unsupported);
    EXPECT_TRUE(!sent && sent.error().message().find("between simulated Unix sockets none can be passed") != std::string::npos);
    auto datagrams = lv::unix_datagram::pair().value();
    EXPECT_EQ((co_await datagrams.first.send("x", some)).error(), io_failure::unsupported);
    EXPECT_EQ(ends.first.native_handle(), -1);
    EXPECT_EQ(datagrams.first.native_handle(), -1);
    EXPECT_EQ(ends.first.peer_credentials().value().pid, lv::process_id());
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    EXPECT_EQ(lv::unix_stream::adopt(fds[0]).error(), io_failure::unsupported);
    EXPECT_EQ(lv::unix_stream::adopt(fds[1]).error(), io_failure::unsupported);
  });
}
