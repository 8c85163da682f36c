#include "inspect/stall_report.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <string>

#include "tests/support/stalls.hpp"

namespace levity::inline v0::detail {

// In no call of this test: a name for the linker.
[[gnu::noinline]] void function_for_test();
void function_for_test() { asm volatile("nop; nop; nop; nop"); }

namespace {

using namespace levity::test;

constexpr std::int64_t ms = 1'000'000;

stalled_task facts(stall_cause cause, std::source_location at = std::source_location::current()) {
  stalled_task known{.id = 17, .name = "reserve", .spawned_at = at, .worker = 1, .lasted_ns = 23'400'000};
  known.why.cause = cause;
  known.why.shares.on_cpu_ns = 4 * ms;
  known.why.shares.in_call_ns = 19 * ms;
  return known;
}

std::string reported(const stalled_task& what) {
  stall_reporter to;
  char text[4096];
  return std::string(to.report(what, ms, text));
}

TEST(stall_report, names_the_task_the_worker_the_time_and_where_it_went) {
  stalled_task what = facts(stall_cause::in_call);
  what.why.call = SYS_read;
  const std::string text = reported(what);
  EXPECT_NE(text.find("levity: task 17 \"reserve\" spawned at stall_report_test.cpp:"), std::string::npos) << text;
  EXPECT_NE(text.find(" has kept worker 1 for 23.4 ms: it waits in the system call read; "), std::string::npos) << text;
  EXPECT_NE(text.find("    of 23.0 ms seen, 19.0 ms in system calls, 4.0 ms on a CPU\n"), std::string::npos) << text;
  what.why.major_faults = 312;
  EXPECT_NE(reported(what).find("4.0 ms on a CPU, 312 page faults that read\n"), std::string::npos);
}

TEST(stall_report, says_nothing_of_a_place_that_is_not_known) {
  stalled_task what = facts(stall_cause::on_cpu, {});
  what.name = "main";
  EXPECT_EQ(reported(what).find("levity: task 17 \"main\" has kept worker 1 for 23.4 ms: "), 0U) << reported(what);
}

TEST(stall_report, says_something_else_of_every_cause) {
  struct {
    stall_cause cause;
    off_cpu_reason reason;
    const char* words;
  } const all[] = {{stall_cause::on_cpu, {}, "it computes; "},
                   {stall_cause::fault, {}, "it touches memory that has to be read first"},
                   {stall_cause::lock, {}, "it waits for a lock (futex)"},
                   {stall_cause::in_call, {}, "it waits in the system call futex"},
                   {stall_cause::unknown, {}, "the kernel hides in what"},
                   {stall_cause::off_cpu, off_cpu_reason::crowded, "gets no CPU"},
                   {stall_cause::off_cpu, off_cpu_reason::throttled, "used up its quota"},
                   {stall_cause::off_cpu, off_cpu_reason::stopped, "stood still as a whole"},
                   {stall_cause::off_cpu, off_cpu_reason::stolen, "hypervisor"}};
  for (const auto& each : all) {
    stalled_task what = facts(each.cause);
    what.why.reason = each.reason;
    what.why.call = SYS_futex;
    const std::string text = reported(what);
    for (const auto& other : all) {
      EXPECT_EQ(text.find(other.words) != std::string::npos, &other == &each) << text;
    }
  }
  stalled_task what = facts(stall_cause::in_call);
  what.why.call = 100'000;
  EXPECT_NE(reported(what).find("the system call number 100000"), std::string::npos);
  what.why.call = thread_state::no_call;
  EXPECT_NE(reported(what).find("each over before it could be seen"), std::string::npos);
  what = facts(stall_cause::unknown);
  what.why.shares.hidden_ns = 5 * ms;
  EXPECT_NE(reported(what).find("task/*/stat cannot be read; mount /proc, or allow more descriptors"), std::string::npos);
  EXPECT_NE(reported(what).find(", 5.0 ms hidden"), std::string::npos);
  what = facts(stall_cause::on_cpu);
  what.why.kernel_ticks = 3;
  EXPECT_NE(reported(what).find("computes inside the kernel"), std::string::npos);
}

TEST(stall_report, shows_the_stack_with_names_and_marks_guesses) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "with some layouts of an instrumented program no names are found";
#endif
  stalled_task what = facts(stall_cause::in_call);
  what.stack.add(reinterpret_cast<std::uint64_t>(&function_for_test), false);
  what.stack.add(reinterpret_cast<std::uint64_t>(&function_for_test) + 3, true);
  what.stack.add(16, false);
  const std::string text = reported(what);
  EXPECT_NE(text.find("      levity::v0::detail::function_for_test+0x0 in inspect_test\n"), std::string::npos) << text;
  EXPECT_NE(text.find("    ? levity::v0::detail::function_for_test+0x3 in inspect_test\n"), std::string::npos) << text;
  EXPECT_NE(text.find("      0x10\n"), std::string::npos) << text;
}

TEST(stall_report, of_one_cause_and_spawn_site_comes_once_a_second_and_counts_the_others) {
  stall_reporter to;
  char text[2048];
  stalled_task what = facts(stall_cause::lock);
  const std::int64_t start_ns = 5'000 * ms;
  EXPECT_FALSE(to.report(what, start_ns, text).empty());
  for (int i = 1; i < 1000; i++) {
    what.since_ns = start_ns + i * ms;  // of the same task, another stall each time
    EXPECT_TRUE(to.report(what, start_ns + i * ms, text).empty());
  }
  EXPECT_FALSE(to.report(facts(stall_cause::on_cpu, what.spawned_at), start_ns + 999 * ms, text).empty());
  EXPECT_FALSE(to.report(facts(stall_cause::lock), start_ns + 999 * ms, text).empty()) << "another site";
  EXPECT_EQ(to.left_out(), 999U);
  const std::string later{to.report(what, start_ns + 1000 * ms, text)};
  EXPECT_NE(later.find("and 999 like it since the last report"), std::string::npos) << later;
  EXPECT_EQ(std::string(to.report(what, start_ns + 2000 * ms, text)).find("like it"), std::string::npos);
}

TEST(stall_report, of_a_stall_that_was_told_comes_again_within_the_second_and_is_not_counted_as_one_like_it) {
  stall_reporter to;
  char text[2048];
  stalled_task what = facts(stall_cause::on_cpu);
  what.since_ns = 5'000 * ms;
  stalled_task other = what;
  other.id = 18;
  EXPECT_FALSE(to.report(what, what.since_ns + 100 * ms, text).empty());
  EXPECT_TRUE(to.report(other, what.since_ns + 101 * ms, text).empty());
  std::string again{to.report(what, what.since_ns + 1000 * ms, text)};
  EXPECT_NE(again.find("and 1 like it since the last report"), std::string::npos) << again;
  EXPECT_TRUE(to.report(other, what.since_ns + 1001 * ms, text).empty()) << "one of many that began together speaks for them";
  again = to.report(what, what.since_ns + 1900 * ms, text);
  EXPECT_NE(again.find("and 1 like it since the last report"), std::string::npos) << again;
  again = to.report(what, what.since_ns + 1901 * ms, text);
  EXPECT_FALSE(again.empty());
  EXPECT_EQ(again.find("like it"), std::string::npos) << again;
}

TEST(stall_report, does_not_write_past_its_buffer) {
  stalled_task what = facts(stall_cause::fault);
  for (int i = 0; i < 40; i++) what.stack.add(reinterpret_cast<std::uint64_t>(&function_for_test), i % 2 == 0);
  char text[4200];
  for (std::size_t size = 0; size < 4096; size += 37) {
    std::fill(std::begin(text), std::end(text), '#');
    stall_reporter to;
    const std::string_view said = to.report(what, ms, std::span<char>(text, size));
    EXPECT_LE(said.size(), size);
    EXPECT_EQ(text[size], '#') << size;
    EXPECT_TRUE(size == 0 || said.ends_with('\n')) << size;
  }
}

}  // namespace
}  // namespace levity::detail
