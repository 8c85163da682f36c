#pragma once

// stalls: real ways in which a thread stands still, each until it is let go. For tests and benches of who finds out why.

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "platform/thread_sign.hpp"

namespace levity::test {

/// Why a test does not name the call that a thread is in: where detail::thread_reader::tells_our_calls() is false.
inline constexpr const char* calls_are_not_ours = "/proc tells the calls of an emulator, by the numbers of its machine";

/// A way in which a thread stands still.
class stall {
public:
  stall() = default;
  stall(const stall&) = delete;
  stall& operator=(const stall&) = delete;
  virtual ~stall() = default;

  /// Why it cannot be made here; empty if it can.
  [[nodiscard]] virtual std::string obstacle() const { return {}; }
  /// Of the thread that is to stand still, once, before anything else.
  virtual void settle() {}
  /// Before each; whoever lets go.
  virtual void prepare() {}
  /// The thread stands still in here.
  virtual void stand() = 0;
  /// It is let go. Some other thread.
  virtual void let_go() = 0;
  /// How much of that time it had no CPU, by its own measure; -1 where it has none.
  [[nodiscard]] virtual std::int64_t off_cpu_ns(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/) const { return -1; }
  /// How much of that it slept.
  [[nodiscard]] virtual std::int64_t asleep_ns(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/) const { return 0; }
};

/// A thread that stands still on demand.
class staller {
public:
  explicit staller(stall& in) : in_(in), thread_([this] { serve(); }) { settled_.acquire(); }
  staller(const staller&) = delete;
  staller& operator=(const staller&) = delete;
  ~staller() {
    if (number() % 2 != 0) in_.let_go();  // a test that has failed ends
    ending_.store(true, std::memory_order_relaxed);
    begin_.release();
    thread_.join();
  }

  void begin() { begin_.release(); }
  void wait_for_end() { ended_.acquire(); }
  /// Odd while it stands still.
  [[nodiscard]] std::uint64_t number() const { return number_.load(std::memory_order_acquire); }
  [[nodiscard]] detail::thread_sign sign() const { return sign_; }

private:
  void serve() {
    sign_ = detail::thread_sign::here();
    in_.settle();
    settled_.release();
    for (;;) {
      begin_.acquire();
      if (ending_.load(std::memory_order_relaxed)) return;
      number_.fetch_add(1, std::memory_order_release);
      in_.stand();
      number_.fetch_add(1, std::memory_order_release);
      ended_.release();
    }
  }

  stall& in_;
  detail::thread_sign sign_;
  atomic<std::uint64_t> number_{0};
  atomic<bool> ending_{false};
  std::binary_semaphore settled_{0};
  std::binary_semaphore begin_{0};
  std::binary_semaphore ended_{0};
  std::thread thread_;
};

/// Computes, and notes when its clock jumps and that of its CPU does not: then it had none.
class spinning : public stall {
public:
  static constexpr std::int64_t jump_ns = 30'000;

  void prepare() override {
    go_on_.store(true, std::memory_order_relaxed);
    jumps_.clear();
  }
  void stand() override {
    std::int64_t before_ns = detail::kernel_now_ns();
    std::int64_t off_ns = before_ns - cpu_ns();  // since the thread began
    for (bool goes_on = true; goes_on;) {
      goes_on = go_on_.load(std::memory_order_relaxed);
      const std::int64_t now_ns = detail::kernel_now_ns();
      if (now_ns - before_ns > jump_ns) {
        // A hypervisor may take a CPU while the thread's clock goes on: that is seen here, and by no look.
        const std::int64_t new_ns = std::clamp<std::int64_t>(now_ns - cpu_ns() - off_ns, 0, now_ns - before_ns);
        off_ns += new_ns;
        note_jump(now_ns - new_ns, now_ns);
      }
      before_ns = now_ns;
    }
  }
  void let_go() override { go_on_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t off_cpu_ns(std::int64_t from_ns, std::int64_t to_ns) const override {
    return within(jumps_, from_ns, to_ns);
  }

protected:
  struct jump {
    std::int64_t from_ns;
    std::int64_t to_ns;
  };
  static std::int64_t within(const std::vector<jump>& all, std::int64_t from_ns, std::int64_t to_ns) {
    std::int64_t sum_ns = 0;
    for (const jump& each : all) {
      sum_ns += std::max<std::int64_t>(0, std::min(each.to_ns, to_ns) - std::max(each.from_ns, from_ns));
    }
    return sum_ns;
  }
  void note_jump(std::int64_t from_ns, std::int64_t to_ns) { jumps_.push_back({from_ns, to_ns}); }
  // Carries out `step`: what the thread's clock misses of it, it had no CPU.
  template <class F>
  std::int64_t measure(F step) {
    const std::int64_t from_ns = detail::kernel_now_ns() - cpu_ns();
    step();
    const std::int64_t to_ns = detail::kernel_now_ns();
    const std::int64_t off_ns = to_ns - cpu_ns() - from_ns;
    if (off_ns > 0) note_jump(to_ns - off_ns, to_ns);
    return off_ns;
  }
  [[nodiscard]] bool goes_on() const { return go_on_.load(std::memory_order_relaxed); }

private:
  static std::int64_t cpu_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
  }

  atomic<bool> go_on_{true};
  std::vector<jump> jumps_;
};

/// Computes inside the kernel, in calls that copy for long.
class reading_zeros : public spinning {
public:
  reading_zeros() : fd_(::open("/dev/zero", O_RDONLY | O_CLOEXEC)), into_(8U << 20) {}
  ~reading_zeros() override { ::close(fd_); }
  void stand() override {
    while (goes_on()) {
      measure([this] {
        if (::read(fd_, into_.data(), into_.size()) <= 0) std::abort();
      });
    }
  }

private:
  int fd_;
  std::vector<char> into_;
};

class reading_a_pipe : public stall {
public:
  reading_a_pipe() {
    if (::pipe2(fds_, O_CLOEXEC) != 0) std::abort();
  }
  ~reading_a_pipe() override {
    for (const int fd : fds_) ::close(fd);
  }
  void stand() override {
    char byte = 0;
    failed = ::read(fds_[0], &byte, 1) != 1;
  }
  void let_go() override {
    if (::write(fds_[1], "x", 1) != 1) std::abort();
  }
  bool failed = false;

private:
  int fds_[2];
};

class receiving : public stall {
public:
  receiving() {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_) != 0) std::abort();
  }
  ~receiving() override {
    for (const int fd : fds_) ::close(fd);
  }
  void stand() override {
    char byte = 0;
    if (::recv(fds_[0], &byte, 1, 0) != 1) std::abort();
  }
  void let_go() override {
    if (::send(fds_[1], "x", 1, 0) != 1) std::abort();
  }

private:
  int fds_[2];
};

/// Sleeps for a time that is set before; it cannot be let go.
class sleeping : public stall {
public:
  void stand() override {
    const timespec pause{.tv_sec = 0, .tv_nsec = static_cast<long>(wanted_ns)};
    ::nanosleep(&pause, nullptr);
  }
  void let_go() override {}
  std::int64_t wanted_ns = 100'000'000;
};

class wanting_a_mutex : public stall {
public:
  void prepare() override { lock_.lock(); }
  void stand() override { const std::lock_guard guard{lock_}; }
  void let_go() override { lock_.unlock(); }

private:
  std::mutex lock_;
};

class wanting_a_condition : public stall {
public:
  void prepare() override { is_met_ = false; }
  void stand() override {
    std::unique_lock guard{lock_};
    met_.wait(guard, [this] { return is_met_; });
  }
  void let_go() override {
    const std::lock_guard guard{lock_};
    is_met_ = true;
    met_.notify_one();
  }

private:
  std::mutex lock_;
  std::condition_variable met_;
  bool is_met_ = false;
};

/// Another process, which does what it is told by one letter and answers with it.
class accomplice {
public:
  template <class F>
  explicit accomplice(F obey) {
    if (::pipe2(orders_, O_CLOEXEC) != 0 || ::pipe2(answers_, O_CLOEXEC) != 0) std::abort();
    child_ = ::fork();
    if (child_ != 0) return;
    ::close(orders_[1]);
    char order = 0;
    while (::read(orders_[0], &order, 1) == 1) {
      obey(order);
      if (::write(answers_[1], &order, 1) != 1) break;
    }
    ::_exit(0);
  }
  accomplice(const accomplice&) = delete;
  accomplice& operator=(const accomplice&) = delete;
  ~accomplice() {
    for (const int fd : {orders_[0], orders_[1], answers_[0], answers_[1]}) ::close(fd);
    ::waitpid(child_, nullptr, 0);
  }
  void tell(char order) {
    if (::write(orders_[1], &order, 1) != 1) std::abort();
  }
  void wait() {
    char answer = 0;
    while (::read(answers_[0], &answer, 1) < 0 && errno == EINTR) {
    }
  }
  void tell_and_wait(char order) {
    tell(order);
    wait();
  }

private:
  int orders_[2];
  int answers_[2];
  pid_t child_;
};

/// Wants a lock of a file that another process has.
class wanting_a_file : public stall {
public:
  enum class kind { flock, fcntl };
  wanting_a_file(kind of, const std::string& path)
      : kind_(of),
        fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
        owner_([of, path](char order) {
          static const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
          set(of, fd, order == 'l');
        }) {}
  ~wanting_a_file() override { ::close(fd_); }
  void prepare() override { owner_.tell_and_wait('l'); }
  void stand() override {
    set(kind_, fd_, true);
    set(kind_, fd_, false);
  }
  void let_go() override { owner_.tell_and_wait('u'); }

private:
  static void set(kind of, int fd, bool locked) {
    struct flock whole{};
    whole.l_type = static_cast<short>(locked ? F_WRLCK : F_UNLCK);
    whole.l_whence = SEEK_SET;
    const int done = of == kind::flock ? ::flock(fd, locked ? LOCK_EX : LOCK_UN) : ::fcntl(fd, F_SETLKW, &whole);
    if (done != 0) std::abort();
  }

  kind kind_;
  int fd_;
  accomplice owner_;
};

/// Touches a page that somebody else has to provide, and who takes their time.
class touching_a_page : public stall {
public:
  touching_a_page() : fd_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))) {
    if (fd_ < 0) return;
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    page_ = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    uffdio_register wanted{.range = range(), .mode = UFFDIO_REGISTER_MODE_MISSING, .ioctls = 0};
    if (::ioctl(fd_, UFFDIO_API, &api) != 0 || ::ioctl(fd_, UFFDIO_REGISTER, &wanted) != 0) std::abort();
  }
  ~touching_a_page() override {
    if (fd_ < 0) return;
    ::munmap(page_, 4096);
    ::close(fd_);
  }
  [[nodiscard]] std::string obstacle() const override { return fd_ < 0 ? "userfaultfd is refused" : ""; }
  void prepare() override { ::madvise(page_, 4096, MADV_DONTNEED); }
  void stand() override { *static_cast<volatile char*>(page_) = 1; }
  void let_go() override {
    uffdio_zeropage zeros{.range = range(), .mode = 0, .zeropage = 0};
    // Until it has asked for it: a page that is there already would not be faulted upon.
    if (::ioctl(fd_, UFFDIO_ZEROPAGE, &zeros) != 0) std::abort();
  }

private:
  [[nodiscard]] uffdio_range range() const { return {.start = reinterpret_cast<std::uint64_t>(page_), .len = 4096}; }

  int fd_;
  char* page_ = nullptr;
};

/// Touches page after page of a file that is not in memory. How much of that a CPU does depends on the disk.
class touching_a_file : public spinning {
public:
  static constexpr std::size_t pages = 16384;
  explicit touching_a_file(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    const std::vector<char> some(1U << 20, 'x');
    for (std::size_t i = 0; i < pages * 4096 / some.size(); i++) {
      if (::write(fd_, some.data(), some.size()) < 0) std::abort();
    }
    ::fsync(fd_);
    all_ = static_cast<char*>(::mmap(nullptr, pages * 4096, PROT_READ, MAP_SHARED, fd_, 0));
    ::madvise(all_, pages * 4096, MADV_RANDOM);
  }
  ~touching_a_file() override {
    ::munmap(all_, pages * 4096);
    ::close(fd_);
    ::close(schedstat_);
  }
  // It is woken for each page. On a busy machine it would wait for a CPU longer than for the page, and that is another stall.
  void settle() override {
    ::setpriority(PRIO_PROCESS, 0, -20);
    schedstat_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  }
  void prepare() override {
    spinning::prepare();
    sleeps_.clear();
    ::madvise(all_, pages * 4096, MADV_DONTNEED);
    ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }
  void stand() override {
    for (std::size_t i = 0; goes_on(); i++) {
      const std::int64_t waited_before_ns = waited_ns();
      const std::int64_t off_ns =
          measure([this, i] { static_cast<void>(static_cast<volatile char*>(all_)[i * 7919 % pages * 4096]); });
      const std::int64_t asleep_ns = off_ns - (waited_ns() - waited_before_ns);
      const std::int64_t now_ns = detail::kernel_now_ns();
      if (asleep_ns > 0) sleeps_.push_back({now_ns - asleep_ns, now_ns});
    }
  }
  [[nodiscard]] std::int64_t asleep_ns(std::int64_t from_ns, std::int64_t to_ns) const override {
    return within(sleeps_, from_ns, to_ns);
  }

private:
  [[nodiscard]] std::int64_t waited_ns() const {
    char text[96] = "";
    long long waited = 0;
    if (::pread(schedstat_, text, sizeof text - 1, 0) > 0) static_cast<void>(std::sscanf(text, "%*d %lld", &waited));
    return waited;
  }

  int fd_;
  int schedstat_ = -1;
  std::vector<jump> sleeps_;
  char* all_ = nullptr;
};

/// Has a child that uses its memory until it ends. No signal wakes it.
class having_a_child : public stall {
public:
#ifdef LEVITY_TSAN
  [[nodiscard]] std::string obstacle() const override { return "the thread sanitizer makes fork() of vfork()"; }
#else
  [[nodiscard]] std::string obstacle() const override {
    return shares_memory() ? "" : "vfork() gives the child a memory of its own, as an emulator does";
  }
#endif
  having_a_child() {
    if (::pipe2(fds_, O_CLOEXEC) != 0) std::abort();
  }
  ~having_a_child() override {
    for (const int fd : fds_) ::close(fd);
  }
  void stand() override {
    const pid_t child = begin_child(fds_[0]);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  void let_go() override {
    if (::write(fds_[1], "x", 1) != 1) std::abort();
  }

private:
  [[maybe_unused, gnu::noinline]] static bool shares_memory() {
    volatile bool is_seen = false;
    const pid_t child = ::vfork();
    if (child == 0) {
      is_seen = true;
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    return is_seen;
  }
  [[gnu::noinline]] static pid_t begin_child(int fd) {
    const pid_t child = ::vfork();
    if (child == 0) {
      char byte;
      [[maybe_unused]] const long got = ::syscall(SYS_read, fd, &byte, 1L);
      ::_exit(0);
    }
    return child;
  }

  int fds_[2];
};

/// Computes while another process stops and continues this one.
class being_stopped : public spinning {
public:
  being_stopped()
      : other_([parent = ::getpid()](char ms) {
          const timespec pause{.tv_sec = 0, .tv_nsec = ms * 1'000'000L};
          // At once, when whoever ordered it has hardly let go of its CPU, or at any moment of the next millisecond.
          const std::int64_t at_ns = detail::kernel_now_ns() % 2'000'000 - 1'000'000;
          const timespec moment{.tv_sec = 0, .tv_nsec = at_ns};
          if (at_ns > 0) ::nanosleep(&moment, nullptr);
          ::kill(parent, SIGSTOP);
          ::nanosleep(&pause, nullptr);
          ::kill(parent, SIGCONT);
        }) {}
  /// Stops this process for so long, some moments from now. Less than 128.
  void stop_for(int ms) { other_.tell(static_cast<char>(ms)); }
  /// After it went on.
  void wait_for_stop() { other_.wait(); }

private:
  accomplice other_;
};

/// Computes among others who do the same.
class being_crowded : public spinning {
public:
  explicit being_crowded(unsigned others) : others_(others) {}
  void prepare() override {
    spinning::prepare();
    crowd_.store(true, std::memory_order_relaxed);
    for (unsigned i = 0; i < others_; i++) {
      threads_.emplace_back([this] {
        while (crowd_.load(std::memory_order_relaxed)) {
        }
      });
    }
  }
  void let_go() override {
    crowd_.store(false, std::memory_order_relaxed);
    spinning::let_go();
    threads_.clear();
  }

private:
  unsigned others_;
  atomic<bool> crowd_{true};
  std::vector<std::jthread> threads_;
};

/// Computes, in a control group (v1) that may use a tenth of a CPU.
class being_throttled : public spinning {
public:
  being_throttled() : folder_("/sys/fs/cgroup/cpu/levity-stall-" + std::to_string(::getpid())) {
    if (::mkdir(folder_.c_str(), 0700) != 0) {
      obstacle_ = "no control group can be made at " + folder_ + ": " + std::strerror(errno);
    } else if (!write_to("cpu.cfs_period_us", "20000") || !write_to("cpu.cfs_quota_us", "2000")) {
      obstacle_ = folder_ + " takes no quota";
    }
  }
  ~being_throttled() override { ::rmdir(folder_.c_str()); }
  [[nodiscard]] std::string obstacle() const override { return obstacle_; }
  void settle() override { static_cast<void>(write_to("tasks", std::to_string(::syscall(SYS_gettid)))); }

private:
  [[nodiscard]] bool write_to(const char* file, const std::string& what) const {
    const int fd = ::open((folder_ + "/" + file).c_str(), O_WRONLY | O_CLOEXEC);
    const bool done = fd >= 0 && ::write(fd, what.data(), what.size()) == static_cast<ssize_t>(what.size());
    if (fd >= 0) ::close(fd);
    return done;
  }

  std::string folder_;
  std::string obstacle_;
};

}  // namespace levity::test
