// Child processes: what they get, how they end, and that none is left.

#include <gtest/gtest.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "levity/io/process.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

namespace {

lv::command shell(std::string line) {
  lv::command what;
  what.program = "/bin/sh";
  what.arguments = {"-c", std::move(line)};
  what.input = lv::child_stream::null();
  return what;
}

lv::command shell_to_pipe(std::string line) {
  lv::command what = shell(std::move(line));
  what.output = lv::child_stream::pipe();
  return what;
}

lv::task<std::string> read_all(lv::pipe_reader& from) {
  std::string all;
  for (;;) {
    const auto got = co_await from.read_some();
    if (!got) {
      EXPECT_EQ(got.error(), io_failure::eof);
      co_return all;
    }
    all.append(reinterpret_cast<const char*>(got->data()), got->size());
  }
}

lv::task<std::string> output_of(lv::command what) {
  auto child = co_await lv::process::spawn(std::move(what));
  EXPECT_TRUE(child) << child.error().message();
  if (!child) co_return std::string();
  std::string all = co_await read_all(child->output);
  const auto end = co_await child->wait();
  EXPECT_TRUE(end && end->success());
  co_return all;
}

// Children of this process, zombies too.
int children() {
  int count = 0;
  DIR* folder = ::opendir("/proc");
  while (const dirent* entry = ::readdir(folder)) {
    std::ifstream file("/proc/" + std::string(entry->d_name) + "/stat");
    std::string line;
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !std::getline(file, line)) continue;
    std::istringstream words(line.substr(line.rfind(')') + 1));
    std::string state;
    pid_t parent = 0;
    words >> state >> parent;
    count += parent == ::getpid() ? 1 : 0;
  }
  ::closedir(folder);
  return count;
}

lv::task<> wait_for_no_children() {
  for (int i = 0; i < 10'000 && children() > 0; i++) co_await lv::sleep(1ms);
  EXPECT_EQ(children(), 0);
}

}  // namespace

TEST(process, ends_with_a_code_or_by_a_signal) {
  run_tasks(2, []() -> lv::task<> {
    auto coded = (co_await lv::process::spawn(shell("exit 7"))).value();
    EXPECT_EQ((co_await coded.wait()).value(), (lv::process_exit{7, 0}));
    EXPECT_EQ((co_await coded.wait()).value(), (lv::process_exit{7, 0}));
    EXPECT_EQ(coded.kill(SIGTERM).error(), io_failure::closed);
    auto killed = (co_await lv::process::spawn(shell("exec sleep 600"))).value();
    EXPECT_TRUE(killed.kill(SIGTERM));
    EXPECT_EQ((co_await killed.wait()).value(), (lv::process_exit{0, SIGTERM}));
    EXPECT_FALSE((co_await killed.wait()).value().success());
    co_await wait_for_no_children();
  });
}

TEST(process, talks_through_pipes) {
  run_tasks(2, []() -> lv::task<> {
    lv::command what;
    what.program = "cat";
    what.input = lv::child_stream::pipe();
    what.output = lv::child_stream::pipe();
    auto child = (co_await lv::process::spawn(std::move(what))).value();
    const std::string much(500'000, 'y');
    const auto feed = [](lv::pipe_writer to, const std::string* text) -> lv::task<> {
      EXPECT_TRUE(co_await to.write_all(*text));
    };
    lv::scope feeding;
    feeding.spawn(feed, std::move(child.input), &much);
    EXPECT_TRUE(co_await read_all(child.output) == much);
    co_await feeding.join();
    EXPECT_TRUE((co_await child.wait()).value().success());
  });
}

TEST(process, errors_have_a_stream_of_their_own_and_files_are_streams_too) {
  run_tasks(1, []() -> lv::task<> {
    std::string path = "/tmp/levity_process_XXXXXX";
    ::close(::mkstemp(path.data()));
    auto out = (co_await lv::file::open(path, {.read = true, .write = true})).value();
    lv::command what = shell("echo to the file; echo to us >&2; cat /dev/stdin");
    what.output = lv::child_stream::to(out);
    what.errors = lv::child_stream::pipe();
    auto child = (co_await lv::process::spawn(std::move(what))).value();
    EXPECT_EQ(co_await read_all(child.errors), "to us\n");
    EXPECT_TRUE((co_await child.wait()).value().success());
    std::byte text[64];
    EXPECT_EQ((co_await out.read_at(0, std::span(text))).value(), 12u);
    ::unlink(path.c_str());
  });
}

TEST(process, gets_the_environment_directory_and_arguments_it_was_given) {
  run_tasks(1, []() -> lv::task<> {
    lv::command what = shell_to_pipe("echo $COLOUR $HOME; pwd; echo \"$0 $1\"");
    what.arguments.push_back("zero");
    what.arguments.push_back("with a  space");
    what.environment = std::vector<std::string>{"COLOUR=green"};
    what.directory = "/usr";
    EXPECT_EQ(co_await output_of(std::move(what)), "green\n/usr\nzero with a  space\n");
  });
}

TEST(process, inherits_no_descriptor_and_no_signal_setting) {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before;
  ::sigaction(SIGUSR2, &ignore, &before);
  const int leaky = ::open("/dev/null", 0);  // without close-on-exec
  run_tasks(1, []() -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    // ls itself opens the folder: one more.
    EXPECT_EQ(co_await output_of(shell_to_pipe("ls /proc/self/fd | wc -l")), "4\n");
    const std::string set = co_await output_of(shell_to_pipe("grep -E 'SigBlk|SigIgn' /proc/self/status"));
    // 32 and 33 are the C library's own: its spawn ignores them in the child.
    EXPECT_EQ(set, "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n");
  });
  ::close(leaky);
  ::sigaction(SIGUSR2, &before, nullptr);
}

TEST(process, what_cannot_be_started_says_why) {
  run_tasks(1, []() -> lv::task<> {
    lv::command what;
    what.program = "/no/such/program";
    EXPECT_EQ((co_await lv::process::spawn(what)).error(), io_failure::not_found);
    std::string path = "/tmp/levity_process_XXXXXX";
    ::close(::mkstemp(path.data()));  // not executable
    what.program = path;
    EXPECT_EQ((co_await lv::process::spawn(what)).error(), io_failure::permission);
    ::unlink(path.c_str());
    what.program = "true";
    what.directory = "/no/such/folder";
    EXPECT_EQ((co_await lv::process::spawn(what)).error(), io_failure::not_found);
    what.directory.clear();
    what.output = lv::child_stream::to(lv::file{});
    EXPECT_EQ((co_await lv::process::spawn(what)).error(), io_failure::closed);
    lv::process none;
    EXPECT_EQ((co_await none.wait()).error(), io_failure::closed);
    EXPECT_EQ(none.kill(SIGTERM).error(), io_failure::closed);
    EXPECT_EQ(children(), 0);
  });
}

TEST(process, a_wait_that_is_cancelled_or_late_can_be_made_again) {
  run_tasks(1, []() -> lv::task<> {
    auto child = (co_await lv::process::spawn(shell("exec sleep 600"))).value();
    EXPECT_EQ((co_await lv::with_deadline(2ms, child.wait())).error(), io_failure::timed_out);
    const auto wait = [](lv::process* on) -> lv::task<> { EXPECT_EQ((co_await on->wait()).error(), io_failure::cancelled); };
    lv::scope early;
    early.cancel();
    early.spawn(wait, &child);
    co_await early.join();
    lv::scope waiting;
    waiting.spawn(wait, &child);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_TRUE(child.kill(SIGINT));
    EXPECT_EQ((co_await child.wait()).value(), (lv::process_exit{0, SIGINT}));
  });
}

TEST(process, a_task_that_was_cancelled_starts_none) {
  run_tasks(1, []() -> lv::task<> {
    const auto start = []() -> lv::task<> {
      const auto child = co_await lv::process::spawn(shell("exec sleep 600"));
      EXPECT_TRUE(!child && child.error() == io_failure::cancelled);
    };
    lv::scope early;
    early.cancel();
    early.spawn(start);
    co_await early.join();
    EXPECT_EQ(children(), 0);
  });
}

TEST(process, cancellation_racing_the_end_gives_one_of_the_two) {
  run_tasks(2, []() -> lv::task<> {
    const auto wait = [](lv::process* on) -> lv::task<> {
      const auto end = co_await on->wait();
      EXPECT_TRUE(end ? end->signal == SIGKILL : end.error() == io_failure::cancelled);
    };
    for (int i = 0; i < 60 / (levity::test::slow_build_factor > 1 ? 4 : 1); i++) {
      auto child = (co_await lv::process::spawn(shell("exec sleep 600"))).value();
      lv::scope waiting;
      waiting.spawn(wait, &child);
      EXPECT_TRUE(child.kill(SIGKILL));
      if (i % 3 != 0) co_await lv::sleep(std::chrono::microseconds(i * 50));
      waiting.cancel();
      co_await waiting.join();
      EXPECT_EQ((co_await child.wait()).value().signal, SIGKILL);
    }
    EXPECT_EQ(children(), 0);
  });
}

TEST(process, is_sent_signals_by_one_task_while_another_waits_for_its_end) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 20; i++) {
      auto child = (co_await lv::process::spawn(shell("exec sleep 600"))).value();
      lv::scope waiting;
      waiting.spawn([](lv::process* on) -> lv::task<> { EXPECT_EQ((co_await on->wait()).value().signal, SIGKILL); }, &child);
      co_await lv::yield();
      EXPECT_TRUE(child.kill(SIGKILL));
      while (child.kill(0)) co_await lv::yield();  // until it is known to have ended
      co_await waiting.join();
      EXPECT_EQ(child.kill(0).error(), io_failure::closed);
    }
  });
}

TEST(process, one_that_is_dropped_is_killed_and_reaped) {
  run_tasks(1, []() -> lv::task<> {
    pid_t pid;
    {
      auto child = (co_await lv::process::spawn(shell("trap '' TERM INT HUP; exec sleep 600"))).value();
      pid = child.pid();
      EXPECT_EQ(::kill(pid, 0), 0);
    }
    co_await wait_for_no_children();
    EXPECT_EQ(::kill(pid, 0), -1);
  });
}

TEST(process, one_that_is_detached_goes_on_and_is_reaped_later) {
  run_tasks(1, []() -> lv::task<> {
    lv::command what = shell_to_pipe("read line; echo still here");
    what.input = lv::child_stream::pipe();
    auto child = (co_await lv::process::spawn(std::move(what))).value();
    child.detach();
    EXPECT_EQ((co_await child.wait()).error(), io_failure::closed);
    EXPECT_TRUE(co_await child.input.write_all("go\n"));
    EXPECT_EQ(co_await read_all(child.output), "still here\n");
    for (int i = 0; i < 10'000 && children() > 0; i++) {
      auto next = (co_await lv::process::spawn(shell("true"))).value();
      EXPECT_TRUE((co_await next.wait()).value().success());
    }
    EXPECT_EQ(children(), 0);
  });
}

TEST(process, a_simulated_run_starts_none) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  lv::run_with(options, []() -> lv::task<> {
    EXPECT_EQ((co_await lv::process::spawn(shell("true"))).error(), io_failure::unsupported);
  });
}
