// Files by every means: the ring thread, threads, and the fall-back when the kernel refuses io_uring.

#include "levity/io/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/memory/frame_pool.hpp"
#include "platform/fault_plan.hpp"
#include "platform/syscall.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

#ifdef LEVITY_TSAN
// Some facts here need a process of their own, forked after others had threads; the child starts its own.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using means = lv::file_means;

using levity::test::temporary_folder;

template <class F, class... Args>
int run_by(means by, F f, Args... args) {
  lv::runtime_options options;
  options.workers = 2;
  options.handle_signals = false;
  options.backend = lv::runtime_options::sockets::epoll;  // some of these runs have no io_uring
  options.files = by;
  return lv::run_with(options, std::move(f), std::move(args)...);
}

class files : public testing::TestWithParam<means> {};

lv::task<> lock_twice(std::string path) {
  const lv::file_options how{.read = true, .write = true, .create = true};
  auto first = co_await lv::file::open(path, how);
  auto second = co_await lv::file::open(path, how);
  EXPECT_TRUE(first.has_value() && second.has_value());
  if (!first || !second) co_return;
  EXPECT_TRUE(first->try_lock().has_value());
  EXPECT_TRUE(first->try_lock().has_value()) << "it holds the lock already";
  const auto refused = second->try_lock();
  EXPECT_TRUE(!refused && refused.error() == lv::io_failure::would_block);
  EXPECT_TRUE((co_await second->write_at(0, "text")).has_value()) << "a lock keeps nobody from writing";
  EXPECT_TRUE((co_await first->close()).has_value());
  const auto closed = first->try_lock();
  EXPECT_TRUE(!closed && closed.error() == lv::io_failure::closed);
  EXPECT_TRUE(second->try_lock().has_value());
}

lv::task<> model_run(std::string path, std::uint64_t seed, int operations) {
  auto file = co_await lv::file::open(path, {.read = true, .write = true, .create = true});
  EXPECT_TRUE(file.has_value()) << file.error().message();
  if (!file) co_return;
  lv::rng random{seed};
  std::string model;
  for (int i = 0; i < operations; i++) {
    const std::uint64_t offset = random.below(20'000);
    const std::size_t size = random.below(5'000);
    switch (random.below(6)) {
      case 0:
      case 1: {
        const std::string bytes(size, static_cast<char>('a' + random.below(26)));
        const auto written = co_await file->write_at(offset, bytes);
        EXPECT_TRUE(written.has_value() && *written == size);
        if (size > 0) {
          if (model.size() < offset + size) model.resize(offset + size);
          model.replace(offset, size, bytes);
        }
        break;
      }
      case 2: {
        std::vector<std::byte> into(size);
        const auto got = co_await file->read_at(offset, into);
        const std::string expected = offset < model.size() ? model.substr(offset, size) : std::string{};
        EXPECT_TRUE(got.has_value());
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(into.data()), got.value_or(0)), expected);
        break;
      }
      case 3:
        EXPECT_TRUE((co_await file->truncate(offset)).has_value());
        model.resize(offset);
        break;
      case 5:
        model.append("durable");
        EXPECT_EQ(co_await file->write_durably_at(model.size() - 7, "durable"), 7U);
        break;
      default: EXPECT_TRUE((co_await file->sync_data()).has_value());
    }
    EXPECT_EQ(file->size().value_or(~0ULL), model.size());
  }
  EXPECT_TRUE((co_await file->close()).has_value());
  const auto late = co_await file->sync();
  EXPECT_TRUE(!late && late.error() == lv::io_failure::closed);
}

}  // namespace

TEST_P(files, a_lock_is_held_by_one_until_it_is_closed) {
  const temporary_folder folder;
  run_by(GetParam(), lock_twice, folder.file("lock"));
}

TEST_P(files, do_what_a_string_in_memory_does) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string in) -> lv::task<> {
    lv::scope all;
    for (int i = 0; i < 4; i++) {
      all.spawn(model_run, in + "/" + std::to_string(i), static_cast<std::uint64_t>(i + 1), 600 / lv::test::slow_build_factor + 20);
    }
    co_await all.join();
  }, folder.path());
}

// Pages of the file that the disk has not got, -1 where the kernel does not say (before Linux 6.5).
std::int64_t pages_not_on_disk(int fd) {
  levity::detail::kernel::cachestat_range range{0, 0};
  levity::detail::kernel::cachestat_answer answer{};
  if (levity::detail::kernel::cachestat(fd, &range, &answer) != 0) return -1;
  return static_cast<std::int64_t>(answer.pages_dirty + answer.pages_in_writeback);
}

TEST_P(files, a_durable_write_is_on_the_disk_when_it_returns) {
  const temporary_folder folder;
  bool told = false;
  run_by(GetParam(), [](std::string path, bool* tells) -> lv::task<> {
    auto file = co_await lv::file::open(path, {.read = true, .write = true, .create = true});
    EXPECT_TRUE((co_await file->write_at(0, std::string(9000, 'a'))).has_value());
    if (pages_not_on_disk(file->native_handle()) <= 0) co_return;
    *tells = true;
    EXPECT_TRUE((co_await file->sync_data()).has_value());
    EXPECT_EQ(co_await file->write_durably_at(5000, std::string(9000, 'b')), 9000U);
    EXPECT_EQ(pages_not_on_disk(file->native_handle()), 0);
    auto log = co_await lv::file::open(path, {.read = true, .write = true, .append = true});
    EXPECT_EQ(co_await log->append_durably("the end"), 7U);
    EXPECT_EQ(pages_not_on_disk(log->native_handle()), 0);
    EXPECT_EQ(log->size().value_or(0), 14'007U);
  }, folder.file("one"), &told);
  if (!told) GTEST_SKIP() << "this kernel or file system does not say which pages are on the disk";
}

TEST_P(files, say_what_went_wrong) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string in) -> lv::task<> {
    const auto missing = co_await lv::file::open(in + "/none", {.read = true});
    EXPECT_TRUE(!missing && missing.error() == lv::io_failure::not_found);
    auto made = co_await lv::file::open(in + "/one", {.write = true, .create = true, .exclusive = true});
    EXPECT_TRUE(made.has_value());
    const auto again = co_await lv::file::open(in + "/one", {.write = true, .create = true, .exclusive = true});
    EXPECT_TRUE(!again && again.error() == lv::io_failure::exists);
    std::byte byte;
    const auto unreadable = co_await made->read_at(0, {&byte, 1});
    EXPECT_FALSE(unreadable.has_value());  // opened for writing only
    EXPECT_TRUE((co_await lv::rename_file(in + "/one", in + "/two")).has_value());
    EXPECT_TRUE((co_await lv::sync_directory(in)).has_value());
    EXPECT_TRUE((co_await lv::remove_file(in + "/two")).has_value());
    const auto gone = co_await lv::remove_file(in + "/two");
    EXPECT_TRUE(!gone && gone.error() == lv::io_failure::not_found);
  }, folder.path());
}

TEST_P(files, a_cancelled_task_waits_for_the_operation_and_gets_its_outcome) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string path) -> lv::task<> {
    for (int round = 0; round < 50; round++) {
      lv::atomic<int> written{0};
      lv::scope writers;
      for (int i = 0; i < 8; i++) {
        writers.spawn([](std::string to, int number, lv::atomic<int>* count) -> lv::task<> {
          auto file = co_await lv::file::open(to, {.write = true, .create = true});
          EXPECT_TRUE(file.has_value());
          char bytes[512];
          std::fill(std::begin(bytes), std::end(bytes), static_cast<char>('a' + number));
          const auto done = co_await file->write_at(static_cast<std::uint64_t>(number) * 512, std::string_view(bytes, 512));
          EXPECT_TRUE(done.has_value());
          count->fetch_add(1, std::memory_order_relaxed);
        }, path, i, &written);
      }
      co_await lv::yield();
      writers.cancel();
      co_await writers.join();
      EXPECT_EQ(written.load(std::memory_order_relaxed), 8);
    }
  }, folder.file("shared"));
}

TEST_P(files, a_full_device_is_an_error_and_loses_nothing_before_it) {
#if defined(LEVITY_TSAN) && !defined(__clang__)
  GTEST_SKIP() << "g++'s thread sanitizer forks while its allocator may be locked; a thread of the child waits for that";
#endif
  const temporary_folder folder;  // not the child's, which leaves without destructors
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{8192, 8192};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const int code = run_by(GetParam(), [](std::string path) -> lv::task<int> {
      auto file = co_await lv::file::open(path, {.write = true, .create = true});
      const bool first = (co_await file->write_at(0, std::string(8000, 'x'))).has_value();
      const bool beyond = (co_await file->write_at(8000, std::string(8000, 'y'))).has_value();
      co_return first && !beyond && file->size().value_or(0) == 8192 ? 0 : 1;
    }, folder.file("limited"));
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

namespace {

// Whether the kernel takes reads from the page cache on this file system without waiting: some cannot tell.
bool says_what_is_cached(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char byte;
  const iovec part{&byte, 1};
  const bool says = ::preadv2(fd, &part, 1, 0, RWF_NOWAIT) == 1;
  ::close(fd);
  return says;
}

void fill(const std::string& path, std::size_t size) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  std::string bytes(size, ' ');
  for (std::size_t i = 0; i < size; i++) bytes[i] = static_cast<char>('a' + i / 4096 % 26);
  EXPECT_EQ(::write(fd, bytes.data(), size), static_cast<ssize_t>(size));
  EXPECT_EQ(::fsync(fd), 0);
  ::close(fd);
}

template <class F, class... Args>
void run_on_one_worker(means by, F f, Args... args) {
  lv::runtime_options options;
  options.workers = 1;
  options.handle_signals = false;
  options.backend = lv::runtime_options::sockets::epoll;  // some of these runs have no io_uring
  options.files = by;
  EXPECT_EQ(lv::run_with(options, std::move(f), std::move(args)...), 0);
}

constexpr std::size_t odd_size = 131'072 + 100;

lv::task<> raises(bool* flag) {
  *flag = true;
  co_return;
}

}  // namespace

TEST_P(files, a_read_of_what_is_cached_does_not_leave_the_worker) {
  const temporary_folder folder;
  const std::string path = folder.file("cached");
  fill(path, 65536);
  if (!says_what_is_cached(path)) GTEST_SKIP() << "the file system of /tmp cannot tell what is cached";
  run_on_one_worker(GetParam(), [](std::string from) -> lv::task<> {
    auto file = co_await lv::file::open(from, {.read = true});
    std::vector<std::byte> into(4096);
    co_await lv::yield();  // a whole budget
    bool another_ran = false;
    lv::scope others;
    others.spawn(raises, &another_ran);
    for (std::uint64_t i = 0; i < 16; i++) {
      const auto got = co_await file->read_at(i * 4096, into);
      EXPECT_EQ(got.value_or(0), 4096u);
      EXPECT_EQ(static_cast<char>(into[4095]), static_cast<char>('a' + i));
    }
    EXPECT_FALSE(another_ran);
    co_await others.join();
    EXPECT_TRUE(another_ran);
  }, path);
}

TEST_P(files, a_task_that_reads_what_is_cached_lets_others_run) {
  const temporary_folder folder;
  const std::string path = folder.file("cached");
  fill(path, 4096);
  run_on_one_worker(GetParam(), [](std::string from) -> lv::task<> {
    auto file = co_await lv::file::open(from, {.read = true});
    std::vector<std::byte> into(4096);
    bool another_ran = false;
    lv::scope others;
    others.spawn(raises, &another_ran);
    for (int i = 0; i < 100'000 && !another_ran; i++) {
      const auto got = co_await file->read_at(0, into);
      EXPECT_EQ(got.value_or(0), 4096u);
    }
    EXPECT_TRUE(another_ran);
    co_await others.join();
  }, path);
}

TEST_P(files, a_read_goes_on_where_the_page_cache_ends_and_stops_where_the_file_does) {
  const temporary_folder folder;
  const std::string path = folder.file("half");
  fill(path, odd_size);
  run_by(GetParam(), [](std::string from) -> lv::task<> {
    auto file = co_await lv::file::open(from, {.read = true});
    for (int round = 0; round < 16; round++) {
      const auto kept = static_cast<off_t>(round) * 8192;
      EXPECT_EQ(::posix_fadvise(file->native_handle(), kept, 0, POSIX_FADV_DONTNEED), 0);
      std::vector<std::byte> into(200'000, std::byte{'!'});
      const auto got = co_await file->read_at(0, into);
      EXPECT_EQ(got.value_or(0), odd_size);
      bool right = true;
      for (std::size_t i = 0; i < odd_size; i++) {
        right = right && static_cast<char>(into[i]) == static_cast<char>('a' + i / 4096 % 26);
      }
      EXPECT_TRUE(right);
      EXPECT_EQ(static_cast<char>(into[odd_size]), '!');
      const auto end = co_await file->read_at(odd_size, into);
      EXPECT_EQ(end.value_or(1), 0u);  // the end is no error
    }
  }, path);
}

TEST_P(files, a_task_that_is_cancelled_already_gets_what_it_reads) {
  const temporary_folder folder;
  const std::string path = folder.file("cached");
  fill(path, 131'072);
  run_by(GetParam(), [](std::string from) -> lv::task<> {
    int read = 0;
    lv::scope readers;
    readers.spawn([](std::string name, int* count) -> lv::task<> {
      auto file = co_await lv::file::open(name, {.read = true});
      for (int i = 0; i < 32; i++) {
        if (i % 2 == 1) ::posix_fadvise(file->native_handle(), 0, 0, POSIX_FADV_DONTNEED);
        std::vector<std::byte> into(4096);
        const auto got = co_await file->read_at(static_cast<std::uint64_t>(i) * 4096, into);
        EXPECT_EQ(got.value_or(0), 4096u);
        EXPECT_EQ(static_cast<char>(into[0]), static_cast<char>('a' + i % 26));
        ++*count;
      }
    }, from, &read);
    readers.cancel();
    co_await readers.join();
    EXPECT_EQ(read, 32);
  }, path);
}

INSTANTIATE_TEST_SUITE_P(by, files, testing::Values(means::automatic, means::ring, means::blocking),
                         [](const auto& each) {
                           return each.param == means::ring ? "ring" : each.param == means::blocking ? "threads" : "automatic";
                         });

TEST(files_in_a_simulation, run_inline) {
  const temporary_folder folder;
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  EXPECT_EQ(lv::run_with(options, model_run, folder.file("one"), std::uint64_t{5}, 100), 0);
}

namespace {

// A child in which io_uring_setup fails with `code`; what it says on standard error, and its exit code.
std::string refused_run(int code, means by, int& exit_code) {
  int said[2];
  if (::pipe(said) != 0) return {};
  const temporary_folder folder;  // not the child's, which leaves without destructors
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(said[1], STDERR_FILENO);
    sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(code)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof rules / sizeof rules[0], rules};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(99);
    ::_exit(run_by(by, [](std::string path) -> lv::task<int> {
      auto file = co_await lv::file::open(path, {.write = true, .create = true});
      if (!file) co_return 3;
      co_return (co_await file->write_at(0, std::string_view("kept"))).has_value() && file->size().value_or(0) == 4 ? 0 : 4;
    }, folder.file("refused")));
  }
  ::close(said[1]);
  std::string text;
  char part[512];
  for (ssize_t got; (got = ::read(said[0], part, sizeof part)) > 0;) text.append(part, static_cast<std::size_t>(got));
  ::close(said[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return text;
}

}  // namespace

TEST(files_without_io_uring, use_threads_and_say_why_in_one_line) {
  for (const auto& [code, word] : {std::pair{EPERM, "EPERM"}, {ENOSYS, "ENOSYS"}, {EINVAL, "EINVAL"}, {ENOMEM, "ENOMEM"}}) {
    int exit_code = -1;
    const std::string said = refused_run(code, means::automatic, exit_code);
    EXPECT_EQ(exit_code, 0) << said;
    EXPECT_NE(said.find(word), std::string::npos) << said;
    EXPECT_NE(said.find("files use threads"), std::string::npos) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

namespace {

// All memory of frames of this size taken, and none to be had from the kernel: at most three calls in a row are refused.
class no_frames {
public:
  explicit no_frames(std::size_t bytes) : bytes_(bytes) {
    EXPECT_EQ(lv::detail::fault_plan::install("enomem@mmap=1"), std::nullopt);
    try {
      for (;;) taken_.push_back(lv::detail::frame_allocate(bytes));
    } catch (const std::bad_alloc&) {
    }
  }
  no_frames(const no_frames&) = delete;
  no_frames& operator=(const no_frames&) = delete;
  ~no_frames() {
    lv::detail::fault_plan::remove();
    for (void* each : taken_) lv::detail::frame_free(each, bytes_);
  }

private:
  std::size_t bytes_;
  std::vector<void*> taken_;
};

bool has_no_frame_pool() {
#ifdef LEVITY_ASAN
  return true;
#else
  return std::getenv("LEVITY_FAULTS") != nullptr;  // or a plan already
#endif
}

}  // namespace

TEST(files_without_memory, close_all_the_same) {
  if (has_no_frame_pool()) GTEST_SKIP() << "nothing can be refused here";
  const temporary_folder folder;
  run_on_one_worker(means::automatic, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.write = true, .create = true})).value();
    const int fd = file.native_handle();
    {
      const no_frames left(sizeof(lv::detail::file_operation));
      const lv::file ends = std::move(file);
    }
    EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  }, folder.file("one"));
}

TEST(files_without_memory, go_on_over_threads) {
  if (has_no_frame_pool()) GTEST_SKIP() << "nothing can be refused here";
  const temporary_folder folder;
  run_on_one_worker(means::blocking, [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.write = true, .create = true})).value();
    const auto first = co_await file.write_durably_at(0, "there is a thread");
    EXPECT_TRUE(first.has_value());
    const no_frames left(3 * sizeof(void*));  // of a job and whose it is
    const auto second = co_await file.write_durably_at(0, "and needs nothing");
    EXPECT_TRUE(second.has_value());
  }, folder.file("one"));
}

TEST(files_without_io_uring, fail_when_only_the_ring_will_do) {
  int exit_code = -1;
  const std::string said = refused_run(EPERM, means::ring, exit_code);
  EXPECT_EQ(exit_code, 3) << said;
  EXPECT_NE(said.find("EPERM"), std::string::npos) << said;
}
