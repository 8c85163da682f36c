// The dump: every live task with its name, state, wait reason, age, spawn site and await chain; in any build.

#include "inspect/dump.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "levity/levity.hpp"
#include "sched/scheduler.hpp"
#include "tests/support/run_on_nodes.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;

lv::task<> innermost() { co_await lv::sleep(1h); }
lv::task<> middle() { co_await innermost(); }
lv::task<> spinner(const lv::atomic<bool>* stop) {
  while (!stop->load(std::memory_order_relaxed)) co_await lv::yield();
}

const lv::task_local<std::string> order{"order"};
const lv::task_local<int> attempt{"attempt"};

lv::task<> tell_and_wait(int ready_fd) {
  lv::scope children{lv::on_failure::cancel_siblings, "the family"};
  const auto hidden = order.bind("hidden");
  const auto bound = order.bind("a-7");
  const auto tried = attempt.bind(3);
  children.spawn("the sleeper", middle);
  const lv::atomic<bool> never{false};
  children.spawn("the spinner", spinner, &never);
  co_await lv::sleep(20ms);
  EXPECT_EQ(::write(ready_fd, "r", 1), 1);
  co_await children.join();
}

// What comes through `fd` until it says `last`, or ends.
std::string read_until(int fd, std::string_view last) {
  std::string text;
  char part[4096];
  while (text.find(last) == std::string::npos) {
    const ssize_t got = ::read(fd, part, sizeof part);
    if (got <= 0) break;
    text.append(part, static_cast<std::size_t>(got));
  }
  return text;
}

lv::task<> say_ready_and_wait(int ready_fd) {
  EXPECT_EQ(::write(ready_fd, "r", 1), 1);
  co_await middle();
}

TEST(dump, sigquit_shows_every_task_and_the_process_goes_on) {
  int said[2];
  int ready[2];
  ASSERT_EQ(::pipe(said), 0);
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(said[0]);
    ::dup2(said[1], STDERR_FILENO);
    ::close(said[1]);
    ::_exit(lv::run(tell_and_wait, ready[1]));
  }
  ::close(said[1]);
  ::close(ready[1]);
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGQUIT);
  std::string text = read_until(said[0], "levity: 3 tasks");
  // The main task says that it is ready a moment before it waits: ask again until it does.
  for (int i = 0; i < 1000 && text.find("waits: join") == std::string::npos; i++) {
    ::kill(child, SIGQUIT);
    text = read_until(said[0], "levity: 3 tasks");
  }
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), 0);  // it goes on
  ::kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  for (const char* expected : {"\"the sleeper\"", "\"the spinner\"", "\"main\"", "waits: sleep", "s left",
                               "waits: join (2 tasks of scope \"the family\")", "with attempt 3, order a-7\n", "innermost",
                               "middle", "dump_test.cpp", "levity: 3 tasks"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << "missing: " << expected << "\n" << text;
  }
}

lv::task<> counted(lv::atomic<int>* count) {
  count->fetch_add(1, std::memory_order_relaxed);
  co_await middle();
}

// Of a name each, so that the dump tells them one by one.
lv::task<> wait_with_many(int ready_fd) {
  static char names[500][24];
  lv::atomic<int> begun{0};
  lv::scope children;
  int number = 0;
  for (char(&name)[24] : names) {
    std::snprintf(name, sizeof name, "one of many, %d", number++);
    children.spawn(name, counted, &begun);
  }
  while (begun.load(std::memory_order_relaxed) < number) co_await lv::yield();
  EXPECT_EQ(::write(ready_fd, "r", 1), 1);
  co_await children.join();
}

lv::task<> deaf(int ready_fd) {
  EXPECT_EQ(::write(ready_fd, "r", 1), 1);
  co_await lv::shield(innermost());
}

// Starts `main` in a process that has `said` as its standard error, and waits until it is there.
pid_t start(lv::task<> (*main)(int), int said) {
  int ready[2];
  EXPECT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(said, STDERR_FILENO);
    ::_exit(lv::run(main, ready[1]));
  }
  ::close(ready[1]);
  char byte;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  return child;
}

TEST(dump, into_a_pipe_that_nobody_reads_is_broken_off_and_sigterm_is_heard) {
  int said[2];
  ASSERT_EQ(::pipe(said), 0);
  ASSERT_GE(::fcntl(said[1], F_SETPIPE_SZ, 16 * 1024), 16 * 1024);
  const pid_t child = start(wait_with_many, said[1]);
  ::close(said[1]);
  ::kill(child, SIGQUIT);
  ::kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);  // a dump that waits for a reader would never let it come here
  ASSERT_TRUE(WIFEXITED(status));
  const std::string text = read_until(said[0], "nothing says this");
  ::close(said[0]);
  EXPECT_NE(text.find("one of many"), std::string::npos);
  EXPECT_EQ(text.find("levity: 501 tasks"), std::string::npos) << "the pipe had room for all: the test tests nothing";
}

TEST(dump, with_a_pipe_full_to_the_brim_a_second_sigterm_ends_the_process) {
  int said[2];
  ASSERT_EQ(::pipe(said), 0);
  ASSERT_EQ(::fcntl(said[1], F_SETFL, O_NONBLOCK), 0);
  const std::string page(4096, 'x');
  while (::write(said[1], page.data(), page.size()) > 0) {
  }
  ASSERT_EQ(::fcntl(said[1], F_SETFL, 0), 0);
  const pid_t child = start(deaf, said[1]);
  ::kill(child, SIGQUIT);
  int status = 0;
  pid_t ended = 0;
  // Two that come while the first is not yet taken are one: again until it is gone.
  for (int i = 0; i < 30'000 && ended == 0; i++) {
    ::kill(child, SIGTERM);
    ::usleep(1000);
    ended = ::waitpid(child, &status, WNOHANG);
  }
  if (ended == 0) ::kill(child, SIGKILL);
  ASSERT_EQ(ended, child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  ::close(said[0]);
  ::close(said[1]);
}

// Ends with bytes still on their way to a peer that reads nothing, so that the runtime lingers for them.
lv::task<> leave_bytes_behind(int ready_fd) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto both = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  lv::tcp_stream writer = std::move(std::get<0>(both).value());
  static const lv::tcp_stream* deaf_peer = new lv::tcp_stream(std::move(std::get<1>(both).value()));
  EXPECT_TRUE(deaf_peer->native_endpoint() != nullptr);
  const std::string page(64 * 1024, 'x');
  for (int i = 0; i < 10'000; i++) {
    const auto written = co_await lv::with_deadline(50ms, writer.write_all(page));
    if (!written) break;
  }
  EXPECT_EQ(::write(ready_fd, "r", 1), 1);
}

volatile std::sig_atomic_t sigquits_of_the_program = 0;

// Once the runtime is over SIGQUIT is the program's again, and by default its end: the program counts those instead. A few may come
// before it has said its exit code; a runtime that lingers without the signal would let them come by the hundred.
TEST(dump, sigquit_while_the_runtime_lingers_for_what_was_written_ends_nothing) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    lv::runtime_options options;
    options.backend = lv::runtime_options::sockets::ring;
    ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);  // a dump for each signal until the main task has ended
    std::signal(SIGQUIT, [](int) { sigquits_of_the_program = sigquits_of_the_program + 1; });
    const int code = lv::run_with(options, leave_bytes_behind, ready[1]);
    ::_exit(sigquits_of_the_program < 100 ? code : 100);
  }
  ::close(ready[1]);
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 30'000 && ended == 0; i++) {
    ::kill(child, SIGQUIT);
    ::usleep(1000);
    ended = ::waitpid(child, &status, WNOHANG);
  }
  if (ended == 0) ::kill(child, SIGKILL);
  ASSERT_EQ(ended, child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(dump, sigterm_ends_by_cancelling_and_says_so_in_the_exit_code) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(lv::run(say_ready_and_wait, ready[1]));
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

// What one dump of the runtime of the calling task says. Meant for a blocking call too.
std::string dump_of(lv::detail::scheduler* runs) {
  const int fd = ::memfd_create("dump", MFD_CLOEXEC);
  EXPECT_GE(fd, 0);
  lv::detail::print_tasks(*runs, fd);
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  ::close(fd);
  return text;
}

lv::task<> waits_for(lv::event* end) { co_await end->wait(); }

lv::task<> waits_in_a_crowd(lv::event* end, const int* number) {
  const auto bound = attempt.bind(*number);
  co_await waits_for(end);
}

// In virtual time, so that the figures are exact.
lv::task<> tell_of_a_crowd(std::string* text) {
  lv::event over;
  lv::scope crowd{lv::on_failure::cancel_siblings, "the crowd"};
  static const int early = 7;
  static const int late = 8;
  crowd.spawn("loner", waits_for, &over);
  for (int i = 0; i < 10'000; i++) {
    if (i == 1) co_await lv::sleep(5s);
    crowd.spawn("one of the crowd", waits_in_a_crowd, &over, i == 0 ? &early : &late);
  }
  co_await lv::sleep(2s);
  *text = dump_of(static_cast<lv::detail::scheduler*>(lv::detail::current_run().exec));
  over.set();
  co_await crowd.join();
}

std::string dump_of_a_crowd() {
  std::string text;
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  options.seed = 42;
  EXPECT_EQ(lv::run_with(options, tell_of_a_crowd, &text), 0);
  return text;
}

std::size_t times(std::string_view what, std::string_view in) {
  std::size_t count = 0;
  for (std::size_t at = in.find(what); at != std::string_view::npos; at = in.find(what, at + 1)) count++;
  return count;
}

TEST(dump, ten_thousand_that_wait_at_one_place_are_one_entry_with_their_number_and_the_longest_wait) {
  const std::string text = dump_of_a_crowd();
  EXPECT_LT(text.size(), 2000u) << text;
  EXPECT_EQ(times("\"one of the crowd\"", text), 1u) << text;
  for (const char* expected : {"  10000 tasks \"one of the crowd\" spawned at dump_test.cpp:",
                               " wait: event wait, the longest for 7.000 s\n", "  task ", "levity: 10002 tasks\n"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << "missing: " << expected << "\n" << text;
  }
}

TEST(dump, of_many_at_one_place_those_that_have_waited_longest_are_told_with_what_they_are_bound_to) {
  const std::string text = dump_of_a_crowd();
  const std::size_t longest = text.find(", for 7.000 s, with attempt 7\n");
  const std::size_t next = text.find(", for 2.000 s, with attempt 8\n");
  EXPECT_LT(longest, next) << text;
  EXPECT_NE(next, std::string::npos) << text;
  EXPECT_EQ(times(", with attempt ", text), 3u) << text;
}

namespace {

lv::task<> joins_nameless(lv::event* end) {
  lv::scope nameless;
  nameless.spawn(waits_for, end);
  co_await nameless.join();
}

lv::task<> tell_of_nameless(std::string* text) {
  lv::event over;
  lv::scope nameless;
  nameless.spawn(joins_nameless, &over);
  nameless.spawn([](lv::event* end) -> lv::task<> { (void)co_await lv::race(waits_for(end), waits_for(end)); }, &over);
  nameless.spawn([](lv::event* end) -> lv::task<> { (void)co_await lv::when_all(waits_for(end), waits_for(end)); }, &over);
  co_await lv::sleep(1s);
  nameless.spawn(waits_for, &over);  // and has not run yet
  *text = dump_of(static_cast<lv::detail::scheduler*>(lv::detail::current_run().exec));
  over.set();
  co_await nameless.join();
}

}  // namespace

// Not in a header or a source of levity.
TEST(dump, what_has_no_name_is_told_by_the_line_of_the_program_that_made_it) {
  std::string text;
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  EXPECT_EQ(lv::run_with(options, tell_of_nameless, &text), 0);
  for (const char* expected : {"  1 of scope opened at dump_test.cpp:", "waits: join (1 task of the scope opened at dump_test.cpp:",
                               " \"race\" spawned at dump_test.cpp:", " \"when_all\" spawned at dump_test.cpp:",
                               " spawned at dump_test.cpp:"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << "missing: " << expected << "\n" << text;
  }
  EXPECT_EQ(times(" at dump_test.cpp:", text), times(" at ", text)) << text;
  EXPECT_NE(text.find(" \"main\" running"), std::string::npos) << text;
}

TEST(dump, a_task_that_waits_alone_at_its_place_is_told_by_itself) {
  const std::string text = dump_of_a_crowd();
  EXPECT_NE(text.find("\"loner\" spawned at dump_test.cpp:"), std::string::npos) << text;
  EXPECT_NE(text.find(" waits: event wait ("), std::string::npos) << text;
  EXPECT_NE(text.find(", for 7.000 s\n"), std::string::npos) << text;
}

// The spare has never run anything before: it has neither a reactor nor a clock until it takes the slot over.
TEST(dump, while_a_spare_takes_a_slot_over_and_after_it_the_times_are_right) {
  for (int i = 0; i < 20; i++) {
    lv::test::run_tasks(1, []() -> lv::task<> {
      lv::event over;
      lv::atomic<bool> waits{false};
      lv::scope others;
      others.spawn("the waiting one", [](lv::event* end, lv::atomic<bool>* told) -> lv::task<> {
        told->store(true, std::memory_order_relaxed);
        co_await end->wait();
      }, &over, &waits);
      auto* runs = static_cast<lv::detail::scheduler*>(lv::detail::current_run().exec);
      const std::string text = co_await lv::blocking([](lv::detail::scheduler* of, lv::atomic<bool>* told) {
        const auto since = std::chrono::steady_clock::now();
        while (!told->load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < since + 30s) (void)dump_of(of);
        std::string said;
        while (said.find("waits: event wait") == std::string::npos && std::chrono::steady_clock::now() < since + 30s) {
          said = dump_of(of);
        }
        return said;
      }, runs, &waits);
      constexpr std::string_view before_time = ", for ";
      const std::size_t at = text.find(before_time, std::min(text.find("waits: event wait"), text.size()));
      EXPECT_NE(at, std::string::npos) << text;
      if (at != std::string::npos) {
        EXPECT_LT(std::stod(text.substr(at + before_time.size())), 40.0) << text;
      }
      over.set();
      co_await others.join();
    });
  }
}

TEST(dump, says_of_several_nodes_what_was_taken_from_one_to_another) {
  const auto dump = [](lv::detail::scheduler* runs, std::string* into) -> lv::task<> {
    *into = dump_of(runs);
    co_return;
  };
  for (const unsigned nodes : {1U, 2U}) {
    std::string text;
    lv::test::scheduler_on_nodes on({0, nodes - 1});
    on.run(dump(&on.runs, &text));
    EXPECT_EQ(text.find("levity: 2 nodes; ") != std::string::npos, nodes == 2) << text;
  }
}

}  // namespace
