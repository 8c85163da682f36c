// Goal: what the watchdog notes of a task is what its thread does, and no more is believed than could be read.
// Method: threads that stand still for a known reason, looked at as the watchdog does.
#include "sched/stall_watch.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string_view>

#include "platform/code_name.hpp"
#include "platform/looker.hpp"
#include "platform/system_call_name.hpp"
#include "tests/support/stalls.hpp"

namespace levity::inline v0::detail {
namespace {

using namespace levity::test;

constexpr std::int64_t ms = 1'000'000;

void pause_a_look() {
  const timespec pause{.tv_sec = 0, .tv_nsec = ms};
  ::nanosleep(&pause, nullptr);
}

// The calling thread, and those that it starts meanwhile, have one CPU.
class on_one_cpu {
public:
  on_one_cpu() {
    CPU_ZERO(&before_);
    EXPECT_EQ(::sched_getaffinity(0, sizeof before_, &before_), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
    EXPECT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~on_one_cpu() { ::sched_setaffinity(0, sizeof before_, &before_); }

private:
  cpu_set_t before_;
};

#ifndef LEVITY_ASAN  // it asks by a pipe of its own whether memory can be read

// In a process that has run out of descriptors nothing but the clock can be read. Who shares its CPU with others sleeps no more
// than before.
TEST(stall_watch, who_is_crowded_out_where_no_file_can_be_opened_is_not_said_to_sleep) {
  const on_one_cpu narrow;
  spinning first;
  spinning second;
  staller one(first);
  staller other(second);
  first.prepare();
  second.prepare();
  one.begin();
  other.begin();
  looker by;
  stack_sampler sampler;
  stall_watch notes;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  notes.begin(one.sign(), kernel_now_ns(), 0, by);
  for (int i = 0; i < 50; i++) {
    pause_a_look();
    EXPECT_FALSE(notes.look(by, sampler));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const stall_shares seen = notes.why().shares;
  EXPECT_EQ(seen.unseen_ns + seen.in_call_ns + seen.lock_ns + seen.fault_ns, 0);
  EXPECT_GE(seen.on_cpu_ns + seen.hidden_ns, 40 * ms);
  notes.end(sampler);
  first.let_go();
  second.let_go();
  one.wait_for_end();
  other.wait_for_end();
}

#endif

[[maybe_unused]] bool shows(const stack_trace& stack, std::string_view name) {
  code_names names;
  for (const stack_frame& each : stack.all()) {
    char text[256];
    if (code_names::readable(names.find(each.code_at - 1).function, text).ends_with(name)) return true;
  }
  return false;
}

// Notes of `one` until it is to be told of.
void look_until_told(stall_watch& notes, staller& one) {
  looker by;
  stack_sampler sampler;
  const std::int64_t since_ns = kernel_now_ns();
  notes.begin(one.sign(), since_ns, 20 * ms, by);
  bool is_told = false;
  while (!is_told && kernel_now_ns() - since_ns < 20'000 * ms) {
    pause_a_look();
    is_told = notes.look(by, sampler);
    EXPECT_TRUE(!is_told || notes.lasted_ns() >= 20 * ms);
  }
  EXPECT_TRUE(is_told);
  notes.end(sampler);
}

TEST(stall_watch, one_that_sleeps_is_told_of_with_what_it_sleeps_in_and_where) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  reading_a_pipe in;
  staller one(in);
  one.begin();
  thread_reader at(one.sign());
  while (system_call_name(at.look().call) != "read") ::sched_yield();
  stall_watch notes;
  look_until_told(notes, one);
  EXPECT_EQ(system_call_name(notes.why().call), "read");
#if !defined(LEVITY_ASAN) && !defined(LEVITY_TSAN)  // with some layouts of an instrumented program no names are found
  EXPECT_TRUE(shows(notes.stack(), "reading_a_pipe::stand"));
#endif
  in.let_go();
  one.wait_for_end();
}

#ifndef LEVITY_TSAN  // it keeps signals back

// Whoever gets no CPU for 20 ms after it was asked does not answer in time, so it is tried more than once.
TEST(stall_watch, one_that_computes_is_told_of_with_where) {
  if (!stack_sampler::is_possible()) GTEST_SKIP() << "this kernel cannot ask a thread without disturbing its calls";
  spinning in;
  staller one(in);
  in.prepare();
  one.begin();
  while (one.number() == 0) ::sched_yield();
  bool is_there = false;
  for (int attempt = 0; attempt < 20 && !is_there; attempt++) {
    stall_watch notes;
    look_until_told(notes, one);
#if !defined(LEVITY_ASAN)
    const stall_shares seen = notes.why().shares;
    EXPECT_EQ(seen.on_cpu_ns + seen.off_cpu_ns(), seen.total_ns());
    is_there = shows(notes.stack(), "spinning::stand");
#else
    is_there = notes.stack().size > 0;
#endif
  }
  EXPECT_TRUE(is_there);
  in.let_go();
  one.wait_for_end();
}

#endif

}  // namespace
}  // namespace levity::detail
