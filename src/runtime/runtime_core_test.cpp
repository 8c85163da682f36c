// A runtime whose sockets are carried by io_uring, as its users see it: who is stuck strands nobody, the end leaves nothing behind,
// and a refusal is told.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "levity/runtime/runtime.hpp"
#include "runtime/refusal.hpp"
#include "tests/support/open_descriptors.hpp"

#ifdef LEVITY_TSAN
// Some facts here need a process of their own, forked after others had threads; the child starts its own.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace lv = levity;
using namespace std::chrono_literals;
using sockets = lv::runtime_options::sockets;

namespace {

lv::runtime_options over(sockets backend, unsigned workers) {
  lv::runtime_options options;
  options.backend = backend;
  options.workers = workers;
  options.handle_signals = false;
  return options;
}

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

lv::task<> serve(lv::tcp_listener* listener, lv::scope* connections) {
  while (auto peer = co_await listener->accept()) connections->spawn(echo, std::move(*peer));
}

lv::tcp_listener listen_anywhere() {
  return lv::tcp_listener::bind("127.0.0.1:0", {.sharding = lv::accept_sharding::round_robin}).value();
}

// One byte there and back.
lv::task<bool> round_trip(lv::tcp_stream* stream) {
  if (!co_await stream->write_all("x")) co_return false;
  const auto back = co_await stream->read_some();
  co_return back.has_value() && back->size() == 1;
}

struct stall {
  lv::atomic<bool> begun{false};
  lv::atomic<int> served{0};
};

// Keeps its worker, without a word to the runtime, until others have been served; far too long if they are not.
lv::task<> hogs(stall* all) {
  all->begun.store(true, std::memory_order_relaxed);
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (all->served.load(std::memory_order_relaxed) < 20 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(1ms);
  }
  co_return;
}

// Clients outside of the runtime: plain sockets of the thread of the test.
int dial(const lv::address& to) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(to.port());
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  return fd;
}

bool answers(int fd) {
  char byte = 'x';
  if (::send(fd, &byte, 1, MSG_NOSIGNAL) != 1) return false;
  pollfd watched{fd, POLLIN, 0};
  return ::poll(&watched, 1, 100) == 1 && ::recv(fd, &byte, 1, 0) == 1;
}

}  // namespace

namespace {

lv::task<> serve_shard(lv::tcp_listener* listener, std::size_t shard, lv::scope* connections) {
  while (auto peer = co_await listener->accept(shard)) connections->spawn(echo, std::move(*peer));
}

lv::task<> serve_shards(lv::tcp_listener listener) {
  lv::scope connections;
  lv::scope acceptors;
  const std::size_t shards = listener.open_shards().value();
  for (std::size_t i = 0; i < shards; i++) acceptors.spawn(serve_shard, &listener, i, &connections);
  co_await acceptors.join();
  co_await connections.join();
}

}  // namespace

TEST(ring_sockets, a_stuck_worker_does_not_keep_connections_of_others_from_being_accepted_and_served) {
  stall all;  // outlives the runtime, whose end waits for who hogs
  lv::runtime tasks(over(sockets::ring, 2));
  lv::tcp_listener listener = lv::tcp_listener::bind("127.0.0.1:0", {.sharding = lv::accept_sharding::reuse_port}).value();
  const lv::address at = listener.local_address();
  tasks.spawn(serve_shards, std::move(listener));
  std::vector<int> clients{dial(at)};
  EXPECT_TRUE(answers(clients.front()));
  tasks.spawn(hogs, &all);
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!all.begun.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  // Of the connections that come now, those whose reactor the other worker polls are served.
  while (all.served.load(std::memory_order_relaxed) < 20 && std::chrono::steady_clock::now() < end && clients.size() < 200) {
    clients.push_back(dial(at));
    for (int round = 0; round < 5 && answers(clients.back()); round++) all.served.fetch_add(1, std::memory_order_relaxed);
  }
  EXPECT_GE(all.served.load(std::memory_order_relaxed), 20);
  for (const int each : clients) ::close(each);
}

TEST(ring_sockets, the_end_with_operations_in_flight_leaves_no_descriptor_and_no_thread) {
  const int before = levity::test::open_descriptors();
  for (int round = 0; round < 4; round++) {
    lv::atomic<bool> served{false};
    lv::runtime tasks(over(sockets::ring, 2));
    tasks.spawn([](lv::atomic<bool>* all_served) -> lv::task<> {
      lv::tcp_listener listener = listen_anywhere();
      lv::scope connections;
      lv::scope acceptors;
      acceptors.spawn(serve, &listener, &connections);
      std::vector<lv::tcp_stream> clients;
      for (int i = 0; i < 50; i++) {
        auto client = co_await lv::tcp_stream::connect(listener.local_address());
        if (client) clients.push_back(std::move(*client));
      }
      int back = 0;
      for (lv::tcp_stream& each : clients) back += static_cast<int>(co_await round_trip(&each));
      all_served->store(back == 50, std::memory_order_relaxed);
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled&) {
      }
      acceptors.cancel();
      connections.cancel();
      co_await acceptors.join();
      co_await connections.join();
    }, &served);
    // The first one ends before it has begun, the others in the middle of it.
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (round > 0 && !served.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    EXPECT_TRUE(round == 0 || served.load(std::memory_order_relaxed));
  }
  EXPECT_EQ(levity::test::open_descriptors(), before);
}

TEST(ring_sockets, an_embedded_runtime_serves_and_is_quiet_when_nothing_happens) {
  lv::runtime_options options = over(sockets::ring, 1);
  options.embedded = true;
  lv::runtime tasks(options);
  ASSERT_GE(tasks.pollable_fd(), 0);
  lv::atomic<int> sum{0};
  tasks.spawn([](lv::atomic<int>* counted) -> lv::task<> {
    lv::tcp_listener listener = listen_anywhere();
    lv::scope all;
    lv::scope acceptors;
    acceptors.spawn(serve, &listener, &all);
    auto client = co_await lv::tcp_stream::connect(listener.local_address());
    for (int i = 0; i < 10; i++) {
      if (co_await round_trip(&client.value())) counted->fetch_add(1, std::memory_order_relaxed);
    }
    client->close();
    acceptors.cancel();
    co_await acceptors.join();
    co_await all.join();
    counted->fetch_add(100, std::memory_order_relaxed);
  }, &sum);
  pollfd watched{tasks.pollable_fd(), POLLIN, 0};
  for (int turns = 0; sum.load(std::memory_order_relaxed) < 110 && turns < 10'000; turns++) {
    ASSERT_EQ(::poll(&watched, 1, 10'000), 1) << "asleep with work to do";
    tasks.run_ready();
  }
  EXPECT_EQ(sum.load(std::memory_order_relaxed), 110);
  // What the ring thread had to say of the closed sockets may come late; then there is nothing.
  bool quiet = false;
  for (int turns = 0; !quiet && turns < 100; turns++) {
    tasks.run_ready();
    quiet = ::poll(&watched, 1, 50) == 0;
  }
  EXPECT_TRUE(quiet);
}

namespace {

// From here on io_uring_setup fails with EPERM in this process, as under the filters of container engines.
void forbid_io_uring() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(100);
}

struct said {
  int code;
  std::string text;
};

// A child without io_uring that echoes once; what it said and how it ended.
said echo_without_io_uring(sockets backend, const char* wish) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    forbid_io_uring();
    lv::detail::tell_refusal = [](const std::runtime_error& why) {
      lv::detail::print_refusal(why);
      ::_exit(7);
    };
    if (wish != nullptr) ::setenv("LEVITY_SOCKETS", wish, 1);
    ::_exit(lv::run_with(over(backend, 1), []() -> lv::task<int> {
      lv::tcp_listener listener = listen_anywhere();
      auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
      lv::scope all;
      all.spawn(echo, std::move(*std::get<1>(both)));
      lv::tcp_stream client = std::move(*std::get<0>(both));
      const bool came_back = co_await round_trip(&client);
      client.close();
      co_await all.join();
      co_return came_back ? 0 : 1;
    }));
  }
  ::close(ends[1]);
  said all{};
  char chunk[512];
  for (ssize_t got; (got = ::read(ends[0], chunk, sizeof chunk)) > 0;) all.text.append(chunk, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  all.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return all;
}

}  // namespace

TEST(ring_sockets, a_refused_ring_is_no_runtime_and_the_message_names_cause_and_remedy) {
  const said end = echo_without_io_uring(sockets::ring, nullptr);
  EXPECT_EQ(end.code, 7);
  EXPECT_NE(end.text.find("io_uring is refused (EPERM"), std::string::npos) << end.text;
  EXPECT_NE(end.text.find("ring_or_epoll"), std::string::npos) << end.text;
}

TEST(ring_sockets, a_refused_ring_falls_back_to_epoll_where_the_options_or_the_environment_allow_it) {
  const said end = echo_without_io_uring(sockets::ring_or_epoll, nullptr);
  EXPECT_EQ(end.code, 0) << end.text;
  EXPECT_NE(end.text.find("io_uring is refused (EPERM"), std::string::npos) << end.text;
  EXPECT_NE(end.text.find("sockets use epoll"), std::string::npos) << end.text;
  EXPECT_EQ(echo_without_io_uring(sockets::automatic, "ring_or_epoll").code, 0);
  EXPECT_EQ(echo_without_io_uring(sockets::automatic, "ring").code, 7);
  EXPECT_EQ(echo_without_io_uring(sockets::automatic, "epoll").text, "");
  EXPECT_EQ(echo_without_io_uring(sockets::automatic, "").code, 0) << "as if it were not set";
  const said wrong = echo_without_io_uring(sockets::automatic, "kqueue");
  EXPECT_EQ(wrong.code, 7);
  EXPECT_NE(wrong.text.find("LEVITY_SOCKETS says \"kqueue\""), std::string::npos) << wrong.text;
}
