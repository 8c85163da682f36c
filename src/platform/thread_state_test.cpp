#include "platform/thread_state.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/system_call_name.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/stalls.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::inline v0::detail {
namespace {

using namespace levity::test;

constexpr std::int64_t patience_ns = 20'000'000'000;

// Looks until the thread does that: a thread that is let go, or is on its way to sleep, takes its time.
template <class F>
thread_state look_until(thread_reader& at, F is_so) {
  const std::int64_t until_ns = kernel_now_ns() + patience_ns;
  for (;;) {
    thread_state seen = at.look();
    // No yield: in a crowd we would give away the only moments in which both of us have a CPU.
    if (is_so(seen) || kernel_now_ns() > until_ns) return seen;
  }
}

// It may sleep on its way there, for a page of its code or a lock of the sanitizer.
thread_state look_until_it_reads(thread_reader& at) {
  return look_until(at, [](const thread_state& seen) {
    return seen.does == thread_activity::asleep && system_call_name(seen.call) == "read";
  });
}

cpu_set_t allowed_cpus() {
  cpu_set_t all;
  CPU_ZERO(&all);
  EXPECT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  return all;
}

cpu_set_t nth_of(const cpu_set_t& all, int nth) {
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &all) || nth-- > 0) continue;
    CPU_SET(cpu, &one);
    break;
  }
  return one;
}

// On another CPU than ours: while we look, nobody else has that one.
TEST(thread_state, one_that_computes_is_on_a_cpu_and_its_clock_goes_on) {
  const cpu_set_t before = allowed_cpus();
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "one CPU cannot carry out who looks and who is looked at";
  spinning in;
  staller one(in);
  thread_reader at(one.sign());
  const cpu_set_t ours = nth_of(before, 0);
  const cpu_set_t theirs = nth_of(before, 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof ours, &ours), 0);
  ASSERT_EQ(::sched_setaffinity(one.sign().id, sizeof theirs, &theirs), 0);
  in.prepare();
  one.begin();
  const thread_state once = look_until(at, [](const thread_state& seen) { return seen.does == thread_activity::on_cpu; });
  EXPECT_EQ(once.does, thread_activity::on_cpu);
  const thread_state again = look_until(at, [&once](const thread_state& seen) { return seen.cpu_ns > once.cpu_ns + 1'000'000; });
  EXPECT_GT(again.cpu_ns, once.cpu_ns);
  EXPECT_GT(again.at_ns, once.at_ns);
  EXPECT_TRUE(levity::detail::is_runnable(one.sign()));
  in.let_go();
  one.wait_for_end();
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(thread_state, one_asleep_names_the_call_and_its_arguments) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  reading_a_pipe in;
  staller one(in);
  thread_reader at(one.sign());
  one.begin();
  const thread_state seen = look_until_it_reads(at);
  EXPECT_FALSE(levity::detail::is_runnable(one.sign()));
  in.let_go();
  one.wait_for_end();
  EXPECT_EQ(seen.does, thread_activity::asleep);
  EXPECT_EQ(system_call_name(seen.call), "read");
  EXPECT_EQ(seen.arguments[2], 1U);
  EXPECT_TRUE(seen.sees_call);
  EXPECT_FALSE(seen.is_uninterruptible);
  EXPECT_NE(seen.stack_at, 0U);
  EXPECT_NE(seen.code_at, 0U);
}

// An emulator reads by another call than we do.
TEST(thread_state, one_asleep_names_the_call_that_it_made_or_none) {
  reading_a_pipe in;
  staller one(in);
  thread_reader at(one.sign());
  one.begin();
  // It may sleep on its way there: until it has been in the same sleep for long.
  thread_state seen;
  for (int same = 0; same < 100;) {
    const thread_state again = look_until(at, [](const thread_state& each) { return each.does == thread_activity::asleep; });
    same = again.turns == seen.turns && one.number() == 1 ? same + 1 : 0;
    seen = again;
    ::usleep(1000);
  }
  in.let_go();
  one.wait_for_end();
  EXPECT_EQ(seen.does, thread_activity::asleep);
  EXPECT_EQ(seen.sees_call, thread_reader::tells_our_calls());
  EXPECT_EQ(system_call_name(seen.call), seen.sees_call ? "read" : "");
}

TEST(thread_state, one_that_waits_for_a_child_which_uses_its_memory_cannot_be_woken_by_a_signal) {
  having_a_child in;
  if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
  staller one(in);
  thread_reader at(one.sign());
  one.begin();
  const thread_state seen = look_until(at, [](const thread_state& each) { return each.is_uninterruptible; });
  EXPECT_EQ(seen.does, thread_activity::asleep);
  EXPECT_TRUE(seen.is_uninterruptible);
#ifdef SYS_vfork
  EXPECT_EQ(system_call_name(seen.call), "vfork");
#endif
  in.let_go();
  one.wait_for_end();
}

TEST(thread_state, one_that_touches_a_page_which_is_not_there_is_in_no_call) {
  touching_a_page in;
  if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
  staller one(in);
  thread_reader at(one.sign());
  one.begin();
  const thread_state seen = look_until(
      at, [](const thread_state& each) { return each.does == thread_activity::asleep && each.call == thread_state::no_call; });
  EXPECT_TRUE(seen.sees_call);
  EXPECT_EQ(seen.call, thread_state::no_call);
  EXPECT_NE(seen.code_at, 0U);
  in.let_go();
  one.wait_for_end();
}

// More of them than processors, on one of them: whoever has it, the others wait, and none of them is asleep.
TEST(thread_state, one_that_is_ready_and_has_no_cpu_waits_and_is_not_asleep) {
  spinning first;
  spinning second;
  const cpu_set_t before = allowed_cpus();
  const cpu_set_t one_cpu = nth_of(before, 0);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one_cpu, &one_cpu), 0);
  {
    staller one(first);
    staller other(second);
    thread_reader at(one.sign());
    first.prepare();
    second.prepare();
    one.begin();
    other.begin();
    // We share that processor: while we look nobody else has it, unless the look itself was interrupted.
    const thread_state seen = look_until(
        at, [](const thread_state& each) { return each.does == thread_activity::waiting && each.waited_ns > 20'000'000; });
    EXPECT_EQ(seen.does, thread_activity::waiting);
    EXPECT_GT(seen.waited_ns, 20'000'000);
    EXPECT_TRUE(levity::detail::is_runnable(one.sign()));
    first.let_go();
    second.let_go();
    one.wait_for_end();
    other.wait_for_end();
  }
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(thread_state, one_that_has_ended_is_gone) {
  thread_sign sign;
  std::binary_semaphore known{0};
  std::binary_semaphore go{0};
  std::thread ends([&] {
    sign = thread_sign::here();
    known.release();
    go.acquire();
  });
  known.acquire();
  thread_reader at(sign);
  EXPECT_NE(at.look().does, thread_activity::gone);
  go.release();
  ends.join();
  const thread_state seen = look_until(at, [](const thread_state& each) { return each.does == thread_activity::gone; });
  EXPECT_EQ(seen.does, thread_activity::gone);
}

TEST(thread_state, looks_at_threads_that_come_and_go_meanwhile_end_with_gone) {
  for (int i = 0; i < 200; i++) {
    thread_sign sign;
    std::binary_semaphore known{0};
    std::thread ends([&] {
      sign = thread_sign::here();
      known.release();
    });
    known.acquire();
    thread_reader at(sign);
    EXPECT_EQ(look_until(at, [](const thread_state& seen) { return seen.does == thread_activity::gone; }).does,
              thread_activity::gone);
    ends.join();
  }
}

TEST(thread_state, a_look_without_a_descriptor_to_be_had_sees_the_clock_and_says_that_the_rest_is_hidden) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  reading_a_pipe in;
  staller one(in);
  one.begin();
  {
    thread_reader at(one.sign());
    static_cast<void>(look_until_it_reads(at));  // its clock stands still from here on
  }
  const int before_tests = open_descriptors(true);
  {
    thread_reader at(one.sign());
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const thread_state hidden = at.look();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_FALSE(hidden.sees_call);
    EXPECT_FALSE(hidden.sees_turns);
    EXPECT_FALSE(hidden.sees_faults);
    EXPECT_EQ(hidden.does, thread_activity::hidden);
    EXPECT_GT(hidden.cpu_ns, 0);
    const thread_state seen = look_until_it_reads(at);
    EXPECT_TRUE(seen.sees_turns);
    EXPECT_TRUE(seen.sees_faults);
    EXPECT_GT(seen.turns, 0U);
    EXPECT_EQ(system_call_name(seen.call), "read");
  }
  EXPECT_EQ(open_descriptors(true), before_tests);
  in.let_go();
  one.wait_for_end();
}

// Who has changed its user may not open `syscall`. It stays so, as far as a look is concerned: it would be asked in vain a thousand
// times a second.
TEST(thread_state, a_file_that_was_refused_is_not_asked_for_again) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(3);
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) ::_exit(3);
    const int before = open_descriptors(true);
    int refused = 0;
    {
      thread_reader self(thread_sign::here());
      static_cast<void>(self.look());
      refused = open_descriptors(true);
      if (::prctl(PR_SET_DUMPABLE, 1) != 0) ::_exit(3);
      static_cast<void>(self.look());
      if (open_descriptors(true) != refused) ::_exit(1);
    }
    thread_reader other(thread_sign::here());
    static_cast<void>(other.look());
    ::_exit(refused > before && open_descriptors(true) == refused + 1 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: it was asked for again, 2: it was not refused, 3: this kernel does not let us try";
}

TEST(system_call_name, knows_the_calls_of_this_machine_and_no_others) {
  EXPECT_EQ(system_call_name(SYS_read), "read");
  EXPECT_EQ(system_call_name(SYS_futex), "futex");
  EXPECT_EQ(system_call_name(SYS_epoll_ctl), "epoll_ctl");
  EXPECT_EQ(system_call_name(SYS_clock_nanosleep), "clock_nanosleep");
  EXPECT_EQ(system_call_name(-1), "");
  EXPECT_EQ(system_call_name(1'000'000), "");
}

}  // namespace
}  // namespace levity::detail
