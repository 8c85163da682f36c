// The ring of a worker that has nothing else to do: that it is used, and that a submission that blocks holds up nobody.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "io/ring_thread.hpp"
#include "levity/base/atomic.hpp"
#include "levity/levity.hpp"
#include "platform/fault_plan.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::temporary_folder;

constexpr std::size_t page = 4096;

int open_rings() {
  int count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    count += std::filesystem::read_symlink(each.path(), gone).native().find("io_uring") != std::string::npos;
  }
  return count;
}

// Whether files go over io_uring here, and sockets over epoll.
bool has_lines() {
  const char* sockets = std::getenv("LEVITY_SOCKETS");
  if (sockets != nullptr && std::strcmp(sockets, "epoll") != 0) return false;
  const long ring = ::syscall(SYS_io_uring_setup, 0, nullptr);
  return ring < 0 && errno != ENOSYS && errno != EPERM;
}

lv::task<bool> appends(lv::file* file, int count) {
  for (int i = 0; i < count; i++) {
    const auto written = co_await file->write_at(static_cast<std::uint64_t>(i) * 8, std::string_view("8 bytes "));
    if (!written) co_return false;
  }
  co_return true;
}

}  // namespace

TEST(file_line, transfers_that_follow_each_other_need_no_second_thread) {
  if (!has_lines() || std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "no io_uring, or one that refuses";
  const temporary_folder folder;
  run_tasks(1, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.write = true, .create = true})).value();
    const int before = open_rings();
    EXPECT_TRUE(co_await appends(&file, 50));
    EXPECT_EQ(open_rings(), before + 1);
    EXPECT_EQ(file.size().value(), 400U);
  }, folder.file("appended"));
}

TEST(file_line, what_many_tasks_and_one_write_by_turns_is_all_there) {
  const temporary_folder folder;
  run_tasks(2, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.read = true, .write = true, .create = true})).value();
    constexpr std::uint64_t writers = 20;
    for (std::uint64_t round = 0; round < 20; round++) {
      const auto write = [](lv::file* to, std::uint64_t at) -> lv::task<> {
        const std::string text(100, static_cast<char>('a' + at % 26));
        for (std::uint64_t i = 0; i < 5; i++) {
          const auto written = co_await to->write_at((at * 5 + i) * 100, text);
          EXPECT_EQ(written.value_or(0), 100U);
        }
      };
      if (round % 2 == 0) {
        lv::scope tasks;
        for (std::uint64_t i = 0; i < writers; i++) tasks.spawn(write, &file, i);
        co_await tasks.join();
      } else {
        for (std::uint64_t i = 0; i < writers; i++) co_await write(&file, i);
      }
    }
    std::string all(writers * 500, ' ');
    const auto got = co_await file.read_at(0, std::as_writable_bytes(std::span{all.data(), all.size()}));
    EXPECT_EQ(got.value_or(0), all.size());
    for (std::size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i], static_cast<char>('a' + i / 500 % 26)) << i;
  }, folder.file("shared"));
}

// Whether a signal came between the write and its sync nobody can say, so it is told, and the bytes are there once or not at all.
TEST(file_line, a_durable_append_that_was_interrupted_is_told_and_not_made_twice) {
  if (!has_lines() || std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "no io_uring, or one that refuses";
  const temporary_folder folder;
  run_tasks(1, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.write = true, .create = true, .append = true})).value();
    std::uint64_t size = 0;
    bool told = false;
    for (int round = 0; round < 200 && !told; round++) {
      for (int i = 0; i < 5; i++) {  // a run, so that the next one goes over the line, unless the machine makes it pause
        const auto written = co_await file.append_durably("8 bytes ");
        EXPECT_EQ(written.value_or(0), 8U);
        size += 8;
      }
      lv::detail::fault_plan::install_one(EINTR, 1, lv::detail::kernel::call::ring_operation);
      const auto struck = co_await file.append_durably("8 bytes ");
      lv::detail::fault_plan::remove();
      told = !struck;
      if (struck) size += 8;
      EXPECT_TRUE(struck || struck.error().code() == EINTR);
      EXPECT_EQ(file.size().value(), size);
    }
    EXPECT_TRUE(told);
    const auto goes_on = co_await file.append_durably("8 bytes ");
    EXPECT_EQ(goes_on.value_or(0), 8U);
  }, folder.file("log"));
}

// By no test on this disk's file system can an append be cut in two; that none is tried in a way that may cut it can be seen.
TEST(file_line, an_append_is_left_to_where_it_may_wait) {
  for (const bool appends : {false, true}) {
    lv::detail::file_operation write;
    write.what = lv::detail::file_operation::kind::write;
    write.flags = appends ? O_APPEND : 0;
    io_uring_sqe entry{};
    lv::detail::fill_entry(entry, write);
    EXPECT_EQ((entry.flags & IOSQE_ASYNC) != 0, appends);
  }
}

TEST(file_line, a_blocking_call_beside_a_transfer_in_flight_is_made) {
  const temporary_folder folder;
  run_tasks(1, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.write = true, .create = true})).value();
    lv::atomic<bool> ends{false};
    int calls = 0;
    {
      lv::scope tasks;
      const auto writes = [](lv::file* to, lv::atomic<bool>* until) -> lv::task<> {
        EXPECT_TRUE(co_await appends(to, 200));
        until->store(true, std::memory_order_relaxed);
      };
      const auto call = [](lv::atomic<bool>* until, int* made) -> lv::task<> {
        while (!until->load(std::memory_order_relaxed)) {
          co_await lv::blocking([] { ::usleep(100); });
          ++*made;
        }
      };
      tasks.spawn(writes, &file, &ends);
      tasks.spawn(call, &ends, &calls);
      co_await tasks.join();
    }
    EXPECT_GT(calls, 0);
    EXPECT_EQ(file.size().value(), 1600U);
  }, folder.file("beside"));
}

namespace {

// A page that is not there until give(): a thread that touches it, in the kernel too, waits.
class absent_page {
public:
  absent_page() {
    fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
    if (fd_ < 0) return;
    uffdio_api api{};
    api.api = UFFD_API;
    at_ = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uffdio_register range{};
    range.range = {reinterpret_cast<std::uint64_t>(at_), page};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    works_ = at_ != MAP_FAILED && ::ioctl(fd_, UFFDIO_API, &api) == 0 && ::ioctl(fd_, UFFDIO_REGISTER, &range) == 0;
  }
  absent_page(const absent_page&) = delete;
  absent_page& operator=(const absent_page&) = delete;
  ~absent_page() {
    if (at_ != MAP_FAILED) ::munmap(at_, page);
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] std::byte* at() const { return static_cast<std::byte*>(at_); }
  [[nodiscard]] bool somebody_waits() const {
    pollfd watched{fd_, POLLIN, 0};
    return ::poll(&watched, 1, 0) == 1;
  }
  void give() const {
    uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<std::uint64_t>(at_), page};
    ::ioctl(fd_, UFFDIO_ZEROPAGE, &zero);
  }

private:
  int fd_ = -1;
  void* at_ = MAP_FAILED;
  bool works_ = false;
};

// Gives the page when this task has had twenty turns beside the thread that waits for it.
lv::task<> gives_after_a_while(const absent_page* missing) {
  int seen = 0;
  for (int i = 0; i < 100'000 && seen < 20; i++) {
    co_await lv::sleep(1ms);
    seen += missing->somebody_waits();
  }
  EXPECT_EQ(seen, 20) << "turns beside a thread that waits for the page";
  missing->give();
}

}  // namespace

TEST(file_line, a_submission_that_blocks_holds_up_no_other_task_of_its_worker) {
  const absent_page absent;
  if (!absent.works()) GTEST_SKIP() << "no userfaultfd that catches the kernel";
  const temporary_folder folder;
  const std::string path = folder.file("direct");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::ftruncate(fd, 16 * page), 0);
  ::close(fd);
  run_tasks(1, [](std::string name, const absent_page* missing) -> lv::task<> {
    auto file = co_await lv::file::open(name, {.read = true, .direct = true});
    if (!file) co_return;  // a file system without
    const auto reads = [](lv::file* from, const absent_page* into) -> lv::task<> {
      alignas(page) static std::byte block[page];
      for (int i = 0; i < 10; i++) EXPECT_EQ((co_await from->read_at(0, block)).value_or(0), page);
      EXPECT_EQ((co_await from->read_at(0, std::span{into->at(), page})).value_or(0), page);
      // By then another thread holds the slot, and submits on the same ring.
      for (int i = 0; i < 10; i++) EXPECT_EQ((co_await from->read_at(0, block)).value_or(0), page);
    };
    lv::scope tasks;
    tasks.spawn(reads, &*file, missing);
    co_await gives_after_a_while(missing);
    co_await tasks.join();
  }, path, &absent);
}

// Through the page cache: the kernel copies into the buffer when the page has come, on the thread that has submitted the read.
TEST(file_line, a_read_whose_buffer_is_not_there_holds_up_no_other_task_of_its_worker) {
  const absent_page absent;
  if (!absent.works()) GTEST_SKIP() << "no userfaultfd that catches the kernel";
  const temporary_folder folder;
  const std::string path = folder.file("cold");
  constexpr std::size_t stride = 512 * 1024;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  const std::string text(24 * stride, 'x');
  ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::fsync(fd), 0);
  ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  ::close(fd);
  run_tasks(1, [](std::string name, const absent_page* missing) -> lv::task<> {
    auto file = (co_await lv::file::open(name, {.read = true})).value();
    const auto reads = [](lv::file* from, const absent_page* into) -> lv::task<> {
      std::byte block[page];
      for (std::size_t i = 0; i < 20; i++) EXPECT_EQ((co_await from->read_at(i * stride, block)).value_or(0), page);
      EXPECT_EQ((co_await from->read_at(22 * stride, std::span{into->at(), page})).value_or(0), page);
    };
    lv::scope tasks;
    tasks.spawn(reads, &file, missing);
    co_await gives_after_a_while(missing);
    co_await tasks.join();
  }, path, &absent);
}
