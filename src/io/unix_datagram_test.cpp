// Unix datagrams: whole, in order, with names and descriptors; a full receiver holds its senders up and loses nothing.

#include "levity/io/unix_datagram.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

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

constexpr unsigned worker_counts[] = {1, 2, 4};

std::string_view text_of(lv::byte_view bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

lv::task<io_failure> receive_failure(lv::unix_datagram* from) {
  std::byte room[16];
  const auto got = co_await from->receive(std::span(room));
  co_return got ? io_failure::other : got.error().failure();
}

lv::task<> send_numbers(lv::unix_datagram* from, lv::unix_address to, int count) {
  for (int i = 0; i < count; i++) {
    const std::string text = std::to_string(i);
    if (to.is_empty()) {
      EXPECT_TRUE(co_await from->send(text));
    } else {
      EXPECT_TRUE(co_await from->send_to(text, to));
    }
  }
}

}  // namespace

TEST(unix_datagram, arrives_whole_says_who_sent_it_and_can_be_answered) {
  const temporary_folder folder;
  run_tasks(2, [](std::string path, std::string abstract) -> lv::task<> {
    auto server = lv::unix_datagram::bind(path).value();
    auto client = lv::unix_datagram::bind(abstract).value();
    auto nameless = lv::unix_datagram::unnamed().value();
    std::byte room[64];
    for (const std::string_view text : {"hello", "", "again"}) {
      EXPECT_TRUE(co_await client.send_to(text, server.local_address()));
      const auto got = co_await server.receive(std::span(room));
      EXPECT_TRUE(got);
      if (!got) co_return;
      EXPECT_EQ(text_of(got->bytes), text);
      EXPECT_EQ(got->from.to_string(), abstract);
      EXPECT_FALSE(got->truncated);
      EXPECT_TRUE(co_await server.send_to("answer", got->from));
      const auto answer = co_await client.receive(std::span(room));
      EXPECT_TRUE(answer && answer->from.name() == path);
    }
    EXPECT_TRUE(co_await nameless.send_to("who asks?", server.local_address()));
    const auto nobody = co_await server.receive(std::span(room));
    EXPECT_TRUE(nobody && nobody->from.is_empty());
    EXPECT_TRUE(nameless.connect(server.local_address()));
    EXPECT_TRUE(co_await nameless.send("too long for it"));
    const auto cut = co_await server.receive(std::span(room).first(8));
    EXPECT_TRUE(cut && cut->truncated && text_of(cut->bytes) == "too long");
    server.close();
    struct stat status;
    EXPECT_NE(::lstat(path.c_str(), &status), 0);
    EXPECT_EQ((co_await nameless.send("x")).error(), io_failure::refused);
    EXPECT_EQ((co_await nameless.send_to("x", *lv::unix_address::path(path))).error(), io_failure::not_found);
    EXPECT_EQ((co_await server.send_to("x", client.local_address())).error(), io_failure::closed);
    EXPECT_EQ(co_await receive_failure(&server), io_failure::closed);
  }, folder.file("a.sock"), "@levity-test-datagram-" + std::to_string(::getpid()));
}

TEST(unix_datagram, a_full_receiver_holds_connected_and_other_senders_up_and_loses_nothing) {
  const temporary_folder folder;
  for (const unsigned workers : worker_counts) {
    for (const bool connected : {true, false}) {
      run_tasks(workers, [](std::string path, bool connects) -> lv::task<> {
        constexpr int count = 1500;
        auto server = lv::unix_datagram::bind(path).value();
        auto client = lv::unix_datagram::unnamed().value();
        if (connects) {
          EXPECT_TRUE(client.connect(server.local_address()));
        }
        lv::scope sending;
        sending.spawn(send_numbers, &client, connects ? lv::unix_address{} : server.local_address(), count);
        co_await lv::sleep(2ms);
        for (int i = 0; i < count; i++) {
          std::byte room[16];
          const auto got = co_await server.receive(std::span(room));
          EXPECT_TRUE(got);
          if (!got || text_of(got->bytes) != std::to_string(i)) {
            ADD_FAILURE() << i;
            co_return;
          }
        }
        co_await sending.join();
      }, folder.file("a.sock"), connected);
    }
  }
}

TEST(unix_datagram, a_sender_that_is_not_connected_says_whom_it_waits_for_and_answers_cancellation) {
  const temporary_folder folder;
  run_tasks(2, [](std::string path) -> lv::task<> {
    auto server = lv::unix_datagram::bind(path).value();
    auto client = lv::unix_datagram::unnamed().value();
    const auto send = [](lv::unix_datagram* from, lv::unix_address to, levity::test::task_place* self) -> lv::task<> {
      levity::test::be_seen(*self);
      for (;;) {
        const auto sent = co_await from->send_to("x", to);
        if (sent) continue;
        EXPECT_EQ(sent.error(), io_failure::cancelled);
        co_return;
      }
    };
    levity::test::task_place record{nullptr};
    lv::scope sending;
    sending.spawn(send, &client, server.local_address(), &record);
    EXPECT_EQ(co_await levity::test::wait_seen(&record), "unix datagram send to (" + path + ")");
    sending.cancel();
    co_await sending.join();
    const auto timed = [](lv::unix_datagram* from, lv::unix_address to) -> lv::task<io_failure> {
      const auto sent = co_await from->send_to("x", to);
      co_return sent ? io_failure::other : sent.error().failure();
    };
    io_failure last = io_failure::other;  // until the queue is full
    for (int i = 0; i < 10'000 && last == io_failure::other; i++) {
      last = co_await lv::with_deadline(1ms, timed(&client, server.local_address()));
    }
    EXPECT_EQ(last, io_failure::timed_out);
  }, folder.file("a.sock"));
}

TEST(unix_datagram, cancelled_before_while_and_by_a_deadline_takes_nothing) {
  run_tasks(1, []() -> lv::task<> {
    auto ends = lv::unix_datagram::pair().value();
    const auto receive = [](lv::unix_datagram* from) -> lv::task<> {
      EXPECT_EQ(co_await receive_failure(from), io_failure::cancelled);
    };
    EXPECT_TRUE(co_await ends.first.send("kept"));
    lv::scope early;
    early.cancel();
    early.spawn(receive, &ends.second);
    co_await early.join();
    std::byte room[16];
    const auto got = co_await ends.second.receive(std::span(room));
    EXPECT_TRUE(got && text_of(got->bytes) == "kept");
    lv::scope waiting;
    waiting.spawn(receive, &ends.second);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_EQ(co_await lv::with_deadline(1ms, receive_failure(&ends.second)), io_failure::timed_out);
  });
}

TEST(unix_datagram, carries_descriptors_and_leaks_none) {
  const int before = open_descriptors();
  run_tasks(2, []() -> lv::task<> {
    auto ends = lv::unix_datagram::pair().value();
    const std::vector<int> sent(3, STDERR_FILENO);
    std::byte room[16];
    std::array<lv::descriptor, 3> with;
    EXPECT_TRUE(co_await ends.first.send("three", std::span(sent)));
    const auto got = co_await ends.second.receive(std::span(room), std::span(with));
    EXPECT_TRUE(got && got->descriptors == 3 && with[2].is_open());
    const int open_then = open_descriptors();
    EXPECT_TRUE(co_await ends.first.send("three", std::span(sent)));
    const auto few = co_await ends.second.receive(std::span(room), std::span(with).first(2));
    EXPECT_TRUE(!few && few.error() == io_failure::too_large);
    EXPECT_TRUE(co_await ends.first.send("three", std::span(sent)));
    const auto none = co_await ends.second.receive(std::span(room));
    EXPECT_TRUE(none && text_of(none->bytes) == "three");
    EXPECT_EQ(open_descriptors(), open_then - 2);  // those that the room for them held before
  });
  EXPECT_EQ(open_descriptors(), before);
}
