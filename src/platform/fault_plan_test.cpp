#include "platform/fault_plan.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "platform/ring.hpp"
#include "platform/syscall.hpp"

namespace levity::test {
namespace {

using detail::fault_plan;
namespace kernel = detail::kernel;

// The tests of the plan install their own; a lane's plan is none of their business.
struct fault_plans : testing::Test {
  void SetUp() override {
    if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  }
  void TearDown() override { fault_plan::remove(); }
};

struct two_ends {
  two_ends() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0); }
  ~two_ends() {
    for (const int fd : fds) kernel::close(fd);
  }
  int fds[2];
};

// How `count` writes of 100 bytes end: the bytes moved, or an errno, negative.
std::vector<int> writes(int count) {
  two_ends pair;
  std::vector<int> all;
  const char bytes[100] = {};
  for (int i = 0; i < count; i++) {
    const ssize_t moved = kernel::write(pair.fds[0], bytes, sizeof bytes);
    all.push_back(moved < 0 ? -errno : static_cast<int>(moved));
  }
  return all;
}

TEST_F(fault_plans, an_ordinary_run_has_none) {
  EXPECT_EQ(kernel::planned_calls.load(std::memory_order_relaxed), 0U);
  EXPECT_EQ(writes(3), (std::vector{100, 100, 100}));
}

TEST_F(fault_plans, the_same_seed_strikes_the_same_calls) {
  ASSERT_FALSE(fault_plan::install("eintr=3,short=3,seed=7"));
  const std::vector<int> once = writes(200);
  fault_plan::restart();
  EXPECT_EQ(writes(200), once);
  ASSERT_FALSE(fault_plan::install("eintr=3,short=3,seed=8"));
  EXPECT_NE(writes(200), once);
}

TEST_F(fault_plans, a_fault_happens_about_as_often_as_its_period_says) {
  ASSERT_FALSE(fault_plan::install("eintr=4,seed=1"));
  writes(4000);
  const auto tally = fault_plan::tallies()[0];
  EXPECT_STREQ(tally.fault, "eintr");
  EXPECT_GT(tally.struck, 800U);
  EXPECT_LT(tally.struck, 1200U);
}

TEST_F(fault_plans, a_loop_that_tries_again_gets_through) {
  ASSERT_FALSE(fault_plan::install("eintr=1"));
  int row = 0;
  for (const int each : writes(40)) {
    row = each == -EINTR ? row + 1 : 0;
    EXPECT_LE(row, static_cast<int>(fault_plan::in_a_row_max));
  }
}

TEST_F(fault_plans, a_cut_leaves_something_and_takes_something) {
  ASSERT_FALSE(fault_plan::install("short=1"));
  for (const int each : writes(100)) {
    EXPECT_GE(each, 1);
    EXPECT_LT(each, 100);
  }
}

TEST_F(fault_plans, pieces_are_cut_as_one_whole) {
  ASSERT_FALSE(fault_plan::install("short=1"));
  two_ends pair;
  char first[8] = {};
  char second[8] = {};
  const iovec pieces[3] = {{first, 0}, {first, sizeof first}, {second, sizeof second}};
  for (int i = 0; i < 20; i++) {
    const ssize_t moved = kernel::writev(pair.fds[0], pieces, 3);
    EXPECT_GE(moved, 1);
    EXPECT_LT(moved, 16);
  }
}

TEST_F(fault_plans, what_is_aligned_for_a_file_stays_aligned) {
  ASSERT_FALSE(fault_plan::install("short=1"));
  const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  std::vector<char> bytes(64 * 1024);
  for (int i = 0; i < 100; i++) {
    const ssize_t moved = kernel::pread(fd, bytes.data(), bytes.size(), 0);
    EXPECT_EQ(moved % 4096, 0);
    EXPECT_LT(moved, 64 * 1024);
    EXPECT_EQ(kernel::pread(fd, bytes.data(), 20 * 512, 0) % 512, 0);
  }
  EXPECT_EQ(kernel::pread(fd, bytes.data(), 4096, 0), 4096);
  ::close(fd);
}

TEST_F(fault_plans, would_block_strikes_only_what_a_reactor_watches_and_brings_an_event) {
  ASSERT_FALSE(fault_plan::install("eagain=1"));
  two_ends pair;
  char byte = 'x';
  ASSERT_EQ(::write(pair.fds[1], &byte, 1), 1);
  const int epoll_fd = kernel::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{EPOLLIN | EPOLLET, {.u64 = 5}};
  ASSERT_EQ(kernel::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair.fds[0], &event), 0);
  epoll_event told{};
  ASSERT_EQ(kernel::epoll_wait(epoll_fd, &told, 1, 0), 1);
  ASSERT_EQ(kernel::epoll_wait(epoll_fd, &told, 1, 0), 0) << "edge-triggered";
  EXPECT_EQ(kernel::read(pair.fds[0], &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  told = {};
  EXPECT_EQ(kernel::epoll_wait(epoll_fd, &told, 1, 0), 1) << "the event that it owes";
  EXPECT_EQ(std::uint64_t{told.data.u64}, 5U);  // a copy: the event is packed
  EXPECT_EQ(kernel::write(pair.fds[1], &byte, 1), 1) << "nobody watches this end";
  kernel::close(epoll_fd);
}

TEST_F(fault_plans, an_interrupted_close_has_closed) {
  ASSERT_FALSE(fault_plan::install("eintr=1"));
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(kernel::close(fd), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(fault_plans, one_call_is_struck_once_and_known_afterwards) {
  fault_plan::install_one(EMFILE, 2);
  const int first = kernel::eventfd(0, EFD_CLOEXEC);
  EXPECT_GE(first, 0);
  EXPECT_FALSE(fault_plan::struck_call());
  EXPECT_EQ(kernel::socket(AF_INET, SOCK_STREAM, 0), -1);
  EXPECT_EQ(errno, EMFILE);
  EXPECT_EQ(fault_plan::struck_call(), kernel::call::socket);
  const int last = kernel::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_GE(last, 0);
  kernel::close(first);
  kernel::close(last);
}

TEST_F(fault_plans, what_cannot_be_read_is_named) {
  EXPECT_EQ(fault_plan::install("eintr=3,shrot=2"), "shrot=2");
  EXPECT_EQ(fault_plan::install("eintr"), "eintr");
  EXPECT_EQ(fault_plan::install("eintr=0"), "eintr=0");
  EXPECT_EQ(fault_plan::install("eintr@reed=1"), "eintr@reed=1");
  EXPECT_EQ(fault_plan::install("emfile@write=1"), "emfile@write=1") << "no write can fail so";
  EXPECT_EQ(kernel::planned_calls.load(std::memory_order_relaxed), 0U) << "half a plan is none";
}

TEST_F(fault_plans, every_call_has_a_name_of_its_own) {
  std::set<std::string> names;
  for (int i = 0; i < static_cast<int>(kernel::call::count); i++) names.insert(kernel::name_of(static_cast<kernel::call>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kernel::call::count));
}

// ---- rings -----------------------------------------------------------------------------------------------------------------

struct told {
  std::uint64_t user_data;
  std::int32_t result;
  bool operator==(const told&) const = default;
};

std::vector<told> reap_some(detail::ring& from) {
  std::vector<told> all;
  from.reap([&all](const detail::completion& each) { all.push_back({each.data, each.result}); });
  return all;
}

TEST_F(fault_plans, an_operation_of_a_ring_ends_cancelled_and_was_not_carried_out) {
  detail::ring ring;
  if (!ring.open(8)) GTEST_SKIP() << "io_uring is refused here";
  two_ends pair;
  char byte = 'x';
  const auto write_once = [&] {
    io_uring_sqe& entry = ring.next_entry();
    io_uring_prep_write(&entry, pair.fds[0], &byte, 1, 0);
    io_uring_sqe_set_data64(&entry, 77);
    ring.submit_and_wait();
    return reap_some(ring);
  };
  ASSERT_FALSE(fault_plan::install("ecanceled=1"));
  EXPECT_EQ(write_once(), (std::vector<told>{{77, -ECANCELED}}));
  EXPECT_EQ(::read(pair.fds[1], &byte, 1), -1) << "nothing was written";
  fault_plan::remove();
  EXPECT_EQ(write_once(), (std::vector<told>{{77, 1}}));
}

TEST_F(fault_plans, a_queue_of_two_completions_overflows_and_loses_none) {
  ASSERT_FALSE(fault_plan::install("completions=2"));
  detail::ring ring;
  if (!ring.open(64)) GTEST_SKIP() << "io_uring is refused here";
  constexpr int count = 50;
  for (int i = 0; i < count; i++) {
    io_uring_sqe& entry = ring.next_entry();
    io_uring_prep_nop(&entry);
    io_uring_sqe_set_data64(&entry, static_cast<std::uint64_t>(i));
  }
  std::set<std::uint64_t> seen;
  for (int round = 0; round < 1000 && seen.size() < count; round++) {
    ring.submit_and_wait();
    for (const told& each : reap_some(ring)) EXPECT_TRUE(seen.insert(each.user_data).second);
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
  EXPECT_GT(fault_plan::tallies()[0].struck, 0U) << "it never overflowed";
}

}  // namespace
}  // namespace levity::test
