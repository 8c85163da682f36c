// One call fails, once, and it is every call in turn: a session of connections, datagrams, pipes, files and a process is run again
// and again, with the first call out of descriptors or memory, then the second, until none is left to fail. Whichever it is,
// the session ends, tells the right error or gets along without the call, and leaves no descriptor open.

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "levity/memory/frame_pool.hpp"
#include "platform/fault_plan.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;

using namespace std::chrono_literals;
using lv::io_failure;
using lv::detail::fault_plan;
namespace kernel = lv::detail::kernel;

namespace {

using outcome = lv::io_result<void>;

outcome failed(const lv::io_error& why) { return std::unexpected(why); }

lv::task<outcome> connections() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  if (!listener) co_return failed(listener.error());
  auto client = co_await lv::tcp_stream::connect(listener->local_address());
  if (!client) co_return failed(client.error());
  auto server = co_await lv::with_deadline(500ms, listener->accept());
  if (!server) co_return failed(server.error());
  const auto sent = co_await client->write_all("over a connection");
  if (!sent) co_return failed(sent.error());
  const auto got = co_await server->read_some();
  if (!got) co_return failed(got.error());
  EXPECT_EQ(got->size(), 17U);
  co_return outcome{};
}

lv::task<outcome> datagrams() {
  auto from = lv::udp_socket::bind("127.0.0.1:0");
  if (!from) co_return failed(from.error());
  auto to = lv::udp_socket::bind("127.0.0.1:0");
  if (!to) co_return failed(to.error());
  const auto sent = co_await from->send_to("a datagram", to->local_address());
  if (!sent) co_return failed(sent.error());
  std::byte room[100];
  const auto got = co_await to->receive(room);
  if (!got) co_return failed(got.error());
  EXPECT_EQ(got->bytes.size(), 10U);
  co_return outcome{};
}

lv::task<outcome> pipes() {
  auto ends = lv::make_pipe();
  if (!ends) co_return failed(ends.error());
  const auto sent = co_await ends->writer.write_all("through a pipe");
  if (!sent) co_return failed(sent.error());
  const auto got = co_await ends->reader.read_some();
  if (!got) co_return failed(got.error());
  auto signals = lv::signal_set::open({SIGUSR2});
  if (!signals) co_return failed(signals.error());
  co_return outcome{};
}

lv::task<outcome> files() {
  const std::string path = "/tmp/levity_sweep_" + std::to_string(::getpid());
  auto file = co_await lv::file::open(path, {.read = true, .write = true, .create = true, .truncate = true});
  if (!file) co_return failed(file.error());
  ::unlink(path.c_str());
  const auto written = co_await file->write_at(0, "into a file");
  if (!written) co_return failed(written.error());
  const auto synced = co_await file->sync_data();
  if (!synced) co_return failed(synced.error());
  std::byte room[100];
  const auto got = co_await file->read_at(0, room);
  if (!got) co_return failed(got.error());
  EXPECT_EQ(*got, 11U);
  co_return co_await file->close();
}

lv::task<outcome> processes() {
  lv::command what{"/bin/true"};
  what.output = lv::child_stream::pipe();
  auto child = co_await lv::process::spawn(std::move(what));
  if (!child) co_return failed(child.error());
  const auto end = co_await child->wait();
  if (!end) co_return failed(end.error());
  co_return outcome{};
}

using part = lv::task<outcome> (*)();
constexpr part parts[] = {&connections, &datagrams, &pipes, &files, &processes};

lv::task<outcome> session() {
  for (const part each : parts) {
    const outcome done = co_await each();
    if (!done) co_return done;
  }
  co_return outcome{};
}

// Descriptors that a part leaves to the ring thread or to a thread that reaps are closed soon.
lv::task<bool> comes_back_to(int descriptors) {
  for (int tries = 0; tries < 2000; tries++) {
    if (levity::test::open_descriptors() <= descriptors) co_return true;
    co_await lv::sleep(1ms);
  }
  co_return false;
}

// What one call does not say by its errno: an address that is not told is an empty one, to which nobody listens.
bool says_otherwise(kernel::call struck, io_failure failure) {
  switch (struck) {
    case kernel::call::getsockname:
    case kernel::call::getpeername: return true;
    // The connection was accepted and could not be watched: it is closed, and the listener goes on.
    case kernel::call::epoll_ctl: return failure == io_failure::timed_out || failure == io_failure::reset;
    default: return false;
  }
}

lv::task<> sweep(int code, io_failure kind) {
  const outcome first = co_await session();  // what is made once is made
  EXPECT_TRUE(first) << first.error().message();
  const int descriptors = levity::test::open_descriptors();
  std::uint64_t number = 1;
  int told = 0;
  for (;; number++) {
    fault_plan::install_one(code, number);
    const outcome done = co_await lv::with_deadline(10s, session());
    const auto struck = fault_plan::struck_call();
    fault_plan::remove();
    if (!struck) {
      EXPECT_TRUE(done) << done.error().message();
      break;
    }
    const std::string where = "call " + std::to_string(number) + ", " + kernel::name_of(*struck);
    if (!done) {
      told++;
      EXPECT_TRUE(done.error() == kind || says_otherwise(*struck, done.error().failure()))
          << where << ": " << done.error().message();
    }
    const bool closed = co_await comes_back_to(descriptors);
    EXPECT_TRUE(closed) << where << " leaves a descriptor open";
    if (!closed || number > 1000) break;
  }
  EXPECT_GT(number, 8U) << "the session makes more calls than that";
  EXPECT_GT(told, 4) << "some of them cannot be done without";
}

struct fault_sweep : testing::Test {
  void SetUp() override {
    if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  }
};

}  // namespace

TEST_F(fault_sweep, without_a_descriptor_each_call_tells_it_and_leaks_none) {
  levity::test::run_tasks(1, sweep, EMFILE, io_failure::no_descriptors);
}

TEST_F(fault_sweep, without_memory_each_call_tells_it_and_leaks_none) {
  levity::test::run_tasks(1, sweep, ENOMEM, io_failure::no_memory);
}

TEST_F(fault_sweep, without_buffers_each_call_tells_it_and_leaks_none) {
  levity::test::run_tasks(1, sweep, ENOBUFS, io_failure::no_memory);
}

#ifndef LEVITY_ASAN  // there each frame is a block of malloc's, so that its end is seen
TEST_F(fault_sweep, a_mapping_that_fails_is_a_bad_alloc_and_the_next_one_is_made) {
  levity::test::run_tasks(1, []() -> lv::task<> {
    constexpr std::size_t bytes = 8 * 1024;
    constexpr std::size_t blocks_max = 4096;
    std::vector<void*> taken;
    int refused = 0;
    fault_plan::install_one(ENOMEM, 1, kernel::call::mmap);
    while (taken.size() < blocks_max && (refused == 0 || taken.size() % 512 != 0)) {
      try {
        taken.push_back(lv::detail::frame_allocate(bytes));
      } catch (const std::bad_alloc&) {
        refused++;
      }
    }
    EXPECT_EQ(refused, 1);
    EXPECT_EQ(fault_plan::struck_call(), kernel::call::mmap);
    fault_plan::remove();
    for (void* each : taken) lv::detail::frame_free(each, bytes);
    co_return;
  });
}
#endif

TEST_F(fault_sweep, a_listener_outlives_the_limit_of_watches_and_connections_that_died_waiting) {
  levity::test::run_tasks(1, []() -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    for (const int code : {ENETDOWN, EHOSTUNREACH, EPERM, ECONNABORTED, EMFILE, ENOBUFS}) {
      auto client = (co_await lv::tcp_stream::connect(listener.local_address())).value();
      fault_plan::install_one(code, 1, kernel::call::accept);
      const auto server = co_await lv::with_deadline(5s, listener.accept());
      EXPECT_TRUE(server) << std::strerror(code) << ": " << server.error().message();
      EXPECT_EQ(fault_plan::struck_call(), kernel::call::accept);
      fault_plan::remove();
    }
    auto lost = (co_await lv::tcp_stream::connect(listener.local_address())).value();
    fault_plan::install_one(ENOSPC, 1, kernel::call::epoll_ctl);
    const auto none = co_await lv::with_deadline(50ms, listener.accept());
    EXPECT_TRUE(!none && none.error() == io_failure::timed_out) << "it waits, it does not end";
    EXPECT_EQ(fault_plan::struck_call(), kernel::call::epoll_ctl);
    fault_plan::remove();
    auto client = (co_await lv::tcp_stream::connect(listener.local_address())).value();
    EXPECT_TRUE(co_await lv::with_deadline(5s, listener.accept()));
  });
}
