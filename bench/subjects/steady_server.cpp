// steady_server PORT [KIND COUNT SECONDS] - the echo service of the README, and beside it tasks that keep their threads. At each
// SIGUSR1 it starts COUNT of them, for SECONDS: each keeps its thread for a second, gives it back for a moment, and keeps the one
// that it finds itself on then. They begin evenly over the first second, those of the kind `spin_at_once` together. KIND is what
// they do instead of waiting as a task should:
//
//   spin, spin_at_once   computes
//   vfork                waits for a child that sleeps, in a state (D) that no signal ends
//   asleep               sleeps, reads a pipe, waits for a file's lock, for a mutex, polls: one of the five
//   nanosleep            sleeps
//   blocking             sleeps, and says so: co_await lv::blocking(...)
//   half                 nothing of the kind: computes for 2 ms, then sleeps for 2 ms as a task should, time and again
//
// At SIGTERM it prints what became of its threads.
//
// The PLANTED_* variants exist for `bench/run --selftest` alone: each is a defect that a row has to find.
#include <levity/levity.hpp>
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

void spin() {
  const lv::time_point until = lv::clock::now() + 1s;
  while (lv::clock::now() < until) {
  }
}

// By the clock of the processor: who is stopped meanwhile has as much to do afterwards.
void compute_for_a_while() {
  const auto used = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto until = used() + 2ms;
  while (used() < until) {
  }
}

void wait_for_vfork() {
  const pid_t child = vfork();
  if (child == 0) {
    const timespec second{1, 0};
    nanosleep(&second, nullptr);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
}

void sleep_in_kernel() {
#ifdef PLANTED_LEAKING
  static std::once_flag leaked;
  std::call_once(leaked, [] { std::thread([] { std::this_thread::sleep_for(1h); }).detach(); });
#endif
  std::this_thread::sleep_for(1s);
}

// Things to wait for. A thread of its own, as that of some library, holds them for a second and lets go of them for a moment.
class obstacles {
public:
  obstacles() {
    std::FILE* locked = std::tmpfile();
    if (locked == nullptr || pipe(pipe_) != 0) std::abort();
    const std::string path = "/proc/self/fd/" + std::to_string(fileno(locked));
    own_lock_ = fileno(locked);
    other_lock_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
    std::thread([this] { hold(); }).detach();
  }

  void read_pipe() {
    char byte = 0;
    if (read(pipe_[0], &byte, 1) != 1) std::abort();
  }
  void wait_for_file_lock() {
    flock(other_lock_, LOCK_EX);
    flock(other_lock_, LOCK_UN);
  }
  void wait_for_mutex() { const std::lock_guard waits{mutex_}; }

private:
  [[noreturn]] void hold() {
    for (;;) {
      flock(own_lock_, LOCK_EX);
      mutex_.lock();
      std::this_thread::sleep_for(1s);
      mutex_.unlock();
      flock(own_lock_, LOCK_UN);
      if (write(pipe_[1], "", 1) != 1) std::abort();
      std::this_thread::sleep_for(5ms);
    }
  }

  int own_lock_ = -1;
  int other_lock_ = -1;
  int pipe_[2] = {-1, -1};
  std::mutex mutex_;
};

void sleep_somehow(unsigned how) {
  static obstacles in_the_way;
  switch (how % 5) {
    case 0: return sleep_in_kernel();
    case 1: return in_the_way.read_pipe();
    case 2: return in_the_way.wait_for_file_lock();
    case 3: return in_the_way.wait_for_mutex();
    default: poll(nullptr, 0, 1000);
  }
}

struct disturbance {
  std::string kind;
  unsigned count = 0;
  lv::duration lasts{};
};

lv::task<> keep_thread(std::string kind, unsigned index) {
  if (kind.starts_with("spin")) {
    spin();
  } else if (kind == "half") {
    compute_for_a_while();
    co_await lv::sleep(2ms);
  } else if (kind == "vfork") {
    wait_for_vfork();
  } else if (kind == "asleep") {
    sleep_somehow(index);
  } else if (kind == "nanosleep") {
    sleep_in_kernel();
  } else {
#ifdef PLANTED_COMPUTING
    co_await lv::blocking(spin);
#else
    co_await lv::blocking(sleep_in_kernel);
#endif
  }
}

// A lock that has just been had is free for some milliseconds, and is not asked for within them.
lv::task<> keep_threads(disturbance does, unsigned index) {
  const lv::time_point until = lv::clock::now() + does.lasts;
  if (does.kind != "spin_at_once") co_await lv::sleep(lv::duration(1s) * index / does.count);
  while (lv::clock::now() < until) {
    co_await keep_thread(does.kind, index);
    co_await lv::sleep(does.kind == "asleep" ? 10ms : 0ms);
  }
}

lv::task<> disturb_when_told(lv::signal_set told, disturbance does) {
  lv::scope all;
  while (co_await told.next()) {
    for (unsigned i = 0; i < does.count; i++) all.spawn(keep_threads, does, i);
  }
  co_await all.join();
}

#if defined(PLANTED_SLOW)
lv::task<> planted() { co_await lv::sleep(60ms); }
#elif defined(PLANTED_MUTE)
lv::task<> planted() {
  static lv::atomic<unsigned> echoes{0};
  if (echoes.fetch_add(1, std::memory_order_relaxed) == 250) co_await lv::sleep(1h);
}
#elif defined(PLANTED_STRANDING)
// Some echoes wait for nothing. Two threads of the server wait for a processor meanwhile, which has nothing to do with them.
lv::task<> planted() {
  static lv::atomic<unsigned> echoes{0};
  if (echoes.fetch_add(1, std::memory_order_relaxed) % 1000 == 999) co_await lv::sleep(30ms);
}
#else
lv::task<> planted() { co_return; }
#endif

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    co_await planted();
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

lv::task<> serve(std::string port, disturbance does) {
  // Who can connect can tell, too.
  lv::signal_set told = lv::signal_set::open({SIGUSR1}).value();
  lv::tcp_listener listener = lv::tcp_listener::bind("127.0.0.1:" + port).value();
  lv::scope connections;
  connections.spawn(disturb_when_told, std::move(told), std::move(does));
#ifdef PLANTED_SPINNING
  connections.spawn(keep_threads, disturbance{"spin", 1, 1h}, 0U);
#endif
  while (auto peer = co_await listener.accept()) connections.spawn(echo, std::move(*peer));
  co_await connections.join();
  const lv::thread_counts seen = lv::threads_of_runtime();
  std::printf("{\"workers\": %u, \"threads\": %u, \"replaced\": %llu, \"unreplaced\": %llu}\n", seen.workers, seen.threads,
              static_cast<unsigned long long>(seen.replaced), static_cast<unsigned long long>(seen.unreplaced));
  std::fflush(stdout);
}

lv::runtime_options options() {
  lv::runtime_options as_they_come;
#if defined(PLANTED_UNREPLACED)
  as_they_come.stuck_threads_max = 0;
#elif defined(PLANTED_FIXED)
  as_they_come.workers = 2;
#elif defined(PLANTED_THREADS)
  // One of them ticks under the name of the runtime's own.
  for (int i = 0; i < 64; i++) std::thread([] { std::this_thread::sleep_for(1h); }).detach();
  std::thread([] {
    pthread_setname_np(pthread_self(), "levity watchdog");
    for (;;) {
      std::this_thread::sleep_for(1ms);
      for (const lv::time_point until = lv::clock::now() + 20us; lv::clock::now() < until;) {
      }
    }
  }).detach();
#elif defined(PLANTED_STRANDING)
  for (int i = 0; i < 2; i++) {
    std::thread([] {
      for (;;) spin();
    }).detach();
  }
#endif
  return as_they_come;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 5) {
    std::fputs("usage: steady_server PORT [KIND COUNT SECONDS]\n", stderr);
    return 2;
  }
  disturbance does;
  if (argc == 5) does = {argv[2], static_cast<unsigned>(std::atoi(argv[3])), std::chrono::seconds(std::atoi(argv[4]))};
  return lv::run_with(options(), serve, std::string(argv[1]), std::move(does));
}
