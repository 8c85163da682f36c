// Goal: time in which a thread was ready to run is never called blocked, and every other stall is put down to what it was.
// Method: looks as the kernel gives them, by hand and at random; then real threads that stand still for real reasons.
#include "sched/stall_cause.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <vector>

#include "levity/base/rng.hpp"
#include "platform/system_call_name.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/watched_stall.hpp"

namespace levity::inline v0::detail {

void PrintTo(stall_cause cause, std::ostream* to) {
  constexpr const char* names[] = {"off_cpu", "on_cpu", "fault", "lock", "in_call", "unknown"};
  *to << names[static_cast<unsigned>(cause)];
}

namespace {

using namespace levity::test;
using thread_activity::asleep, thread_activity::hidden, thread_activity::on_cpu, thread_activity::waiting;

constexpr std::int64_t ms = 1'000'000;

// A look `at` so many ms, with so many of them on a CPU and waiting for one.
thread_state seen(std::int64_t at, std::int64_t cpu, std::int64_t waited, std::uint64_t turns, thread_activity does) {
  thread_state one;
  one.at_ns = at * ms;
  one.cpu_ns = cpu * ms;
  one.waited_ns = waited * ms;
  one.turns = turns;
  one.does = does;
  one.sees_call = does == asleep;
  one.sees_turns = one.sees_faults = one.sees_throttling = does != hidden;
  return one;
}

thread_state seen_in(int call, std::int64_t at, std::int64_t cpu, std::int64_t waited, std::uint64_t turns) {
  thread_state one = seen(at, cpu, waited, turns, asleep);
  one.call = call;
  return one;
}

thread_state with_faults(thread_state one, std::uint64_t faults) {
  one.major_faults = faults;
  return one;
}

thread_state throttled_for(thread_state one, std::int64_t for_ms) {
  one.throttled_ns = for_ms * ms;
  return one;
}

thread_state throttled_in(thread_state one, std::int64_t periods_ms) {
  one.throttled_periods_ns = periods_ms * ms;
  return one;
}

thread_state unseen(thread_state one) {
  one.sees_call = false;
  return one;
}

machine_state machine(std::int64_t outage, std::int64_t stolen = 0) {
  return {.outage_ns = outage * ms, .stolen_ns = stolen * ms};
}

machine_state lapsed(std::int64_t lapse) {
  return {.lapse_ns = lapse * ms};
}

stall_verdict judged(const thread_state& from, const thread_state& to, const machine_state& meanwhile = {}) {
  stall_account account;
  account.begin(from, {});
  account.add(to, meanwhile);
  return account.judge();
}

struct row {
  const char* what;
  thread_state from;
  thread_state to;
  machine_state meanwhile;
  stall_cause cause;
  int call;
  off_cpu_reason reason;
};

constexpr int none = thread_state::no_call;
using enum off_cpu_reason;

const row rows[] = {
    {"computes", seen(0, 0, 0, 1, on_cpu), seen(20, 20, 0, 1, on_cpu), {}, stall_cause::on_cpu, none, crowded},
    {"computes, gets most of a CPU", seen(0, 0, 0, 1, on_cpu), seen(20, 12, 8, 4, on_cpu), {}, stall_cause::on_cpu, none, crowded},
    {"gets less than half of a CPU", seen(0, 0, 0, 1, on_cpu), seen(20, 8, 12, 4, on_cpu), {}, stall_cause::off_cpu, none, crowded},
    {"waits for a CPU, which no counter has yet", seen(0, 0, 0, 1, on_cpu), seen(20, 5, 0, 1, waiting), {}, stall_cause::off_cpu,
     none, crowded},
    {"reads", seen_in(SYS_read, 0, 0, 0, 1), seen_in(SYS_read, 20, 0, 0, 1), {}, stall_cause::in_call, SYS_read, crowded},
    {"began to read", seen(0, 0, 0, 1, on_cpu), seen_in(SYS_read, 20, 3, 1, 2), {}, stall_cause::in_call, SYS_read, crowded},
    {"has just read", seen_in(SYS_read, 0, 0, 0, 1), seen(20, 1, 0, 2, on_cpu), {}, stall_cause::in_call, SYS_read, crowded},
    {"has read, and waits for a CPU", seen_in(SYS_read, 0, 0, 0, 1), seen(20, 0, 0, 1, waiting), {}, stall_cause::off_cpu, none,
     crowded},
    {"got the CPU that it waited for, and no other", seen(0, 0, 0, 1, waiting), seen(20, 2, 1, 2, on_cpu), {}, stall_cause::off_cpu,
     none, stolen},
    {"got another one than the one that it waited for", seen(0, 0, 0, 1, waiting), seen(20, 2, 1, 3, on_cpu), {},
     stall_cause::in_call, none, crowded},
    {"made calls that nobody saw", seen(0, 0, 0, 1, on_cpu), seen(20, 2, 1, 40, on_cpu), {}, stall_cause::in_call, none, crowded},
    {"wants a futex", seen(0, 0, 0, 1, on_cpu), seen_in(SYS_futex, 20, 1, 0, 1), {}, stall_cause::lock, SYS_futex, crowded},
    {"wants a file", seen(0, 0, 0, 1, on_cpu), seen_in(SYS_flock, 20, 1, 0, 1), {}, stall_cause::lock, SYS_flock, crowded},
    {"a fault lasts", seen(0, 0, 0, 1, on_cpu), seen_in(none, 20, 1, 0, 1), {}, stall_cause::fault, none, crowded},
    {"faults have ended", seen(0, 0, 0, 1, on_cpu), with_faults(seen(20, 2, 1, 30, on_cpu), 29), {}, stall_cause::fault, none,
     crowded},
    {"all stood still", seen(0, 0, 0, 1, on_cpu), seen(20, 2, 0, 3, on_cpu), machine(18), stall_cause::off_cpu, none, stopped},
    {"all stood still while it read", seen_in(SYS_read, 0, 0, 0, 1), seen_in(SYS_read, 20, 0, 0, 3), machine(18),
     stall_cause::off_cpu, none, stopped},
    {"the looker alone was late", seen(0, 0, 0, 1, on_cpu), seen(20, 20, 0, 1, on_cpu), machine(18), stall_cause::on_cpu, none,
     crowded},
    {"the looker was kept while awake, and so was this one", seen(0, 0, 0, 1, on_cpu), seen(20, 2, 0, 3, on_cpu), lapsed(18),
     stall_cause::off_cpu, none, stopped},
    {"the looker was kept while awake, this one read", seen_in(SYS_read, 0, 0, 0, 1), seen_in(SYS_read, 20, 0, 0, 3), lapsed(18),
     stall_cause::in_call, SYS_read, crowded},
    {"is stopped", seen(0, 0, 0, 1, on_cpu), seen(20, 1, 0, 1, thread_activity::stopped), {}, stall_cause::off_cpu, none,
     off_cpu_reason::stopped},
    {"its processor was taken away", seen(0, 0, 0, 1, on_cpu), seen(20, 8, 0, 1, on_cpu), {}, stall_cause::off_cpu, none, stolen},
    {"the machine says that it was stolen from", seen(0, 0, 0, 1, on_cpu), seen(20, 6, 1, 5, on_cpu), machine(0, 30),
     stall_cause::off_cpu, none, stolen},
    {"stolen from, and it slept all the same", seen_in(SYS_read, 0, 0, 0, 1), seen(20, 1, 0, 2, on_cpu), machine(0, 30),
     stall_cause::in_call, SYS_read, crowded},
    {"its group was held back", seen(0, 0, 0, 1, on_cpu), throttled_for(seen(20, 4, 16, 3, on_cpu), 15), {}, stall_cause::off_cpu,
     none, throttled},
    {"its group was held back, and it lasts", seen(0, 0, 0, 1, on_cpu), throttled_for(seen(20, 4, 0, 1, waiting), 15), {},
     stall_cause::off_cpu, none, throttled},
    {"its group is held back, that time is not counted yet", seen(0, 0, 0, 1, on_cpu), throttled_in(seen(20, 4, 0, 1, waiting), 15),
     {}, stall_cause::off_cpu, none, throttled},
    {"its group was held back, it computed", seen(0, 0, 0, 1, on_cpu), throttled_for(seen(20, 19, 1, 3, on_cpu), 15), {},
     stall_cause::on_cpu, none, throttled},
    {"sleeps where nobody can see", seen(0, 0, 0, 1, on_cpu), unseen(seen(20, 1, 0, 1, asleep)), {}, stall_cause::unknown, none,
     crowded},
    {"has no CPU, or sleeps, where nothing can be read", seen(0, 0, 0, 0, hidden), seen(20, 1, 0, 0, hidden), {},
     stall_cause::unknown, none, crowded},
    {"computes where nobody can see", seen(0, 0, 0, 0, hidden), seen(20, 20, 0, 0, hidden), {}, stall_cause::on_cpu, none, crowded},
    // Ties.
    {"half computing, half waiting for a CPU", seen(0, 0, 0, 1, on_cpu), seen(20, 10, 10, 2, on_cpu), {}, stall_cause::off_cpu,
     none, crowded},
    {"half computing, half asleep", seen(0, 0, 0, 1, on_cpu), seen_in(SYS_read, 20, 10, 0, 2), {}, stall_cause::on_cpu, none,
     crowded},
    {"half waiting for a CPU, half asleep", seen(0, 0, 0, 1, on_cpu), seen_in(SYS_read, 20, 0, 10, 2), {}, stall_cause::off_cpu,
     none, crowded},
    {"no time has passed", seen(5, 5, 0, 1, on_cpu), seen(5, 5, 0, 1, on_cpu), {}, stall_cause::unknown, none, crowded},
};

TEST(stall_cause, is_what_two_looks_tell) {
  for (const row& each : rows) {
    SCOPED_TRACE(each.what);
    const stall_verdict said = judged(each.from, each.to, each.meanwhile);
    EXPECT_EQ(said.cause, each.cause);
    EXPECT_EQ(said.call, each.call);
    EXPECT_EQ(said.reason, each.reason);
    EXPECT_EQ(said.shares.total_ns(), each.to.at_ns - each.from.at_ns);
  }
}

TEST(stall_cause, a_call_of_fcntl_is_a_lock_when_it_waits_for_one) {
  EXPECT_TRUE(waits_for_lock(SYS_fcntl, {3, F_SETLKW, 0, 0, 0, 0}));
  EXPECT_TRUE(waits_for_lock(SYS_fcntl, {3, F_OFD_SETLKW, 0, 0, 0, 0}));
  EXPECT_FALSE(waits_for_lock(SYS_fcntl, {3, F_GETFL, 0, 0, 0, 0}));
  EXPECT_FALSE(waits_for_lock(SYS_read, {3, F_SETLKW, 0, 0, 0, 0}));
}

// Whoever may merely have had no CPU is not said to sleep: in a process without descriptors all would be, and be replaced.
TEST(stall_cause, time_of_which_nothing_can_be_read_is_not_called_sleep) {
  for (const thread_activity does : {hidden, thread_activity::gone}) {
    const stall_shares got = judged(seen(0, 0, 0, 0, hidden), seen(20, 1, 0, 0, does)).shares;
    EXPECT_EQ(got.unseen_ns, 0);
    EXPECT_EQ(got.hidden_ns, does == hidden ? 19 * ms : 20 * ms);
  }
  EXPECT_EQ(judged(seen(0, 0, 0, 1, on_cpu), unseen(seen(20, 1, 0, 1, asleep))).shares.unseen_ns, 19 * ms);
}

// They appear when there are descriptors again.
TEST(stall_cause, counters_that_could_not_be_read_before_are_no_differences) {
  thread_state later = with_faults(throttled_for(seen(20, 8, 5'000, 900, on_cpu), 70), 30);
  later.user_ticks = 40;
  later.kernel_ticks = 50;
  const stall_verdict said = judged(seen(0, 0, 0, 0, hidden), later);
  EXPECT_EQ(said.shares.hidden_ns, 12 * ms);
  EXPECT_EQ(said.shares.waiting_ns + said.shares.fault_ns + said.shares.in_call_ns, 0);
  EXPECT_EQ(said.throttled_ns, 0);
  EXPECT_EQ(said.major_faults + said.user_ticks + said.kernel_ticks, 0U);
}

TEST(stall_cause, who_runs_again_is_stolen_from_by_nobody_where_its_turns_cannot_be_read) {
  thread_state from = seen(0, 0, 0, 0, on_cpu);
  thread_state to = seen(20, 2, 0, 0, on_cpu);
  from.sees_turns = to.sees_turns = false;
  EXPECT_EQ(judged(from, to).shares.hidden_ns, 18 * ms);
  EXPECT_EQ(judged(from, with_faults(to, 3)).cause, stall_cause::fault);
}

// At a look it waits for a CPU, at the next its counter has that wait, too.
TEST(stall_cause, a_wait_for_a_cpu_is_counted_once_when_it_ends_later) {
  stall_account account;
  account.begin(seen(0, 0, 0, 1, on_cpu), {});
  account.add(seen(10, 1, 0, 1, waiting), {});
  account.add(seen_in(SYS_read, 30, 2, 12, 2), {});
  const stall_verdict said = account.judge();
  EXPECT_EQ(said.shares.waiting_ns, 12 * ms);
  EXPECT_EQ(said.shares.in_call_ns, 16 * ms);
  EXPECT_EQ(said.cause, stall_cause::in_call);
}

TEST(stall_cause, of_many_calls_the_one_that_took_most_is_named) {
  stall_account account;
  account.begin(seen(0, 0, 0, 1, on_cpu), {});
  std::int64_t at = 0;
  for (const auto& [call, ns] : {std::pair{SYS_write, 3}, {SYS_openat, 1}, {SYS_fdatasync, 9}, {SYS_read, 2}, {SYS_close, 1},
                                 {SYS_write, 3}, {SYS_fstat, 1}, {SYS_futex, 10}, {SYS_fdatasync, 8}}) {
    at += ns;
    account.add(seen_in(call, at, 0, 0, 1), {});
  }
  EXPECT_EQ(account.judge().cause, stall_cause::in_call);
  EXPECT_EQ(account.judge().call, SYS_fdatasync);
  EXPECT_EQ(account.judge().shares.lock_ns, 10 * ms);
}

// Between the look at the thread and the one at the machine.
TEST(stall_cause, what_the_looker_missed_right_after_a_look_explains_the_next_interval_and_no_later_one) {
  for (const std::int64_t between : {0, 1}) {
    stall_account account;
    account.begin(seen(0, 0, 0, 1, on_cpu), {});
    account.add(seen(1, 1, 0, 1, on_cpu), lapsed(18));
    for (std::int64_t i = 1; i <= between; i++) account.add(seen(1 + i, 1 + i, 0, 1, on_cpu), lapsed(18));
    account.add(seen(20 + between, 2 + between, 0, 3, on_cpu), lapsed(18));
    EXPECT_EQ(account.judge().shares.stopped_ns, between == 0 ? 18 * ms : 0);
    EXPECT_EQ(account.judge().shares.in_call_ns, between == 0 ? 0 : 18 * ms);
  }
}

// Counters that a kernel may give: they never go back, and a thread does not get more than the time that passes. All that a look at
// random may say of the rest.
TEST(stall_cause, shares_of_random_looks_add_up_and_who_was_ready_to_run_is_not_called_blocked) {
  rng random{20261128};
  const auto below = [&random](std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound + 1));
  };
  for (int i = 0; i < 20'000; i++) {
    thread_state now;
    machine_state meanwhile;
    stall_account account;
    now.does = on_cpu;
    now.sees_turns = now.sees_faults = now.sees_throttling = true;
    account.begin(now, meanwhile);
    std::int64_t asleep_ns = 0;
    std::int64_t ready_ns = 0;
    std::int64_t unbooked_ns = 0;
    const auto looks = 1 + below(6);
    for (std::int64_t look = 0; look < looks; look++) {
      const std::int64_t wall_ns = 1 + below(20 * ms);
      const std::int64_t cpu_ns = below(wall_ns);
      const std::int64_t wait_ns = below(wall_ns - cpu_ns);
      const std::int64_t sleep_ns = wall_ns - cpu_ns - wait_ns;
      now.at_ns += wall_ns;
      now.cpu_ns += cpu_ns;
      now.turns += 1;
      now.major_faults += static_cast<std::uint64_t>(below(1));
      // Who sleeps at the look has no wait that lasts; who waits there has all of it still to be counted.
      now.does = below(2) == 0 ? waiting : asleep;
      if (now.does == waiting) {
        unbooked_ns += wait_ns + sleep_ns;
        ready_ns += wait_ns + sleep_ns;
      } else {
        now.waited_ns += wait_ns + unbooked_ns;
        unbooked_ns = 0;
        ready_ns += wait_ns;
        asleep_ns += sleep_ns;
      }
      now.sees_call = now.does == asleep && below(3) > 0;
      now.call = static_cast<int>(below(400)) - 1;
      account.add(now, meanwhile);
    }
    const stall_verdict said = account.judge();
    const stall_shares& got = said.shares;
    ASSERT_EQ(got.total_ns(), now.at_ns) << i;
    ASSERT_EQ(got.on_cpu_ns, now.cpu_ns) << i;
    ASSERT_EQ(got.off_cpu_ns(), ready_ns) << i;
    ASSERT_EQ(got.fault_ns + got.lock_ns + got.in_call_ns + got.unseen_ns, asleep_ns) << i;
    const std::int64_t shares[] = {got.off_cpu_ns(), got.on_cpu_ns, got.fault_ns, got.lock_ns, got.in_call_ns, got.unseen_ns};
    for (unsigned other = 0; other < std::size(shares); other++) {
      const auto mine = static_cast<unsigned>(said.cause);
      ASSERT_TRUE(shares[mine] > shares[other] || (shares[mine] == shares[other] && mine <= other)) << i;
    }
  }
}

// Counters that no kernel should give, and a hypervisor's clock does.
TEST(stall_cause, shares_add_up_whatever_the_counters_say) {
  rng random{7};
  for (int i = 0; i < 20'000; i++) {
    stall_account account;
    account.begin({}, {});
    std::int64_t last_ns = 0;
    for (int look = 0; look < 5; look++) {
      const auto any = [&random] { return static_cast<std::int64_t>(random() % (100 * ms)) - 30 * ms; };
      thread_state now = seen(0, 0, 0, random() % 3, static_cast<thread_activity>(random() % 6));
      now.at_ns = any();
      now.cpu_ns = any();
      now.waited_ns = any();
      now.major_faults = random() % 3;
      account.add(now, {.outage_ns = any(), .lapse_ns = any(), .stolen_ns = any()});
      last_ns = std::max(last_ns, now.at_ns);
    }
    ASSERT_EQ(account.judge().shares.total_ns(), last_ns) << i;
  }
}

// --- real threads ---

constexpr std::int64_t stall_ns = 15 * ms;
constexpr std::int64_t long_ns = 900 * ms;

// A machine that stands still meanwhile stops the thread, too, and is rightly called the cause: then more is seen of it.
stall_verdict found_out(stall& in) {
  staller one(in);
  watched by(one);
  by.begin(in);
  by.begin_when_asleep();
  EXPECT_TRUE(by.look_for(stall_ns));
  while (2 * by.account.shares().off_cpu_ns() > by.account.shares().total_ns() && by.last_ns() - by.account.began_ns() < long_ns) {
    EXPECT_TRUE(by.look());
  }
  in.let_go();
  one.wait_for_end();
  EXPECT_GE(by.account.shares().total_ns(), stall_ns);
  return by.account.judge();
}

TEST(stalls, of_one_that_reads_a_pipe_which_is_empty) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  reading_a_pipe in;
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::in_call);
  EXPECT_EQ(system_call_name(said.call), "read");
}

TEST(stalls, of_one_that_receives_from_a_peer_who_says_nothing) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  receiving in;
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::in_call);
  EXPECT_EQ(system_call_name(said.call), "recvfrom");
}

TEST(stalls, of_one_that_sleeps) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  sleeping in;
  in.wanted_ns = 999'000'000;
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::in_call);
  EXPECT_NE(system_call_name(said.call).find("nanosleep"), std::string_view::npos);
}

TEST(stalls, of_one_that_wants_a_mutex_which_another_thread_has) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  wanting_a_mutex in;
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::lock);
  EXPECT_EQ(said.call, SYS_futex);
}

TEST(stalls, of_one_that_waits_on_a_condition) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  wanting_a_condition in;
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::lock);
  EXPECT_EQ(said.call, SYS_futex);
}

TEST(stalls, of_one_that_wants_a_file_which_another_process_has_locked) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  temporary_folder folder;
  wanting_a_file in(wanting_a_file::kind::flock, folder.file("locked"));
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::lock);
  EXPECT_EQ(said.call, SYS_flock);
}

TEST(stalls, of_one_that_wants_a_range_of_a_file_which_another_process_has_locked) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  temporary_folder folder;
  wanting_a_file in(wanting_a_file::kind::fcntl, folder.file("locked"));
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::lock);
  EXPECT_EQ(said.call, SYS_fcntl);
}

TEST(stalls, of_one_that_touches_a_page_which_another_has_to_provide) {
  touching_a_page in;
  if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
  EXPECT_EQ(found_out(in).cause, stall_cause::fault);
}

TEST(stalls, of_one_whose_child_uses_its_memory) {
  having_a_child in;
  if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
  const stall_verdict said = found_out(in);
  EXPECT_EQ(said.cause, stall_cause::in_call);
#ifdef SYS_vfork
  EXPECT_EQ(said.call, SYS_vfork);
#endif
}

// Of those that compute the machine decides how much of a CPU they get; they know themselves. For no more than `missed_ns` the
// process was stopped and the looker was not. What a hypervisor takes is told in pieces of 10 ms, so that less is a nameless call.
void found_out_as_it_was(stall& in, staller& one, watched& by, [[maybe_unused]] std::int64_t missed_ns = 0) {
  in.let_go();
  one.wait_for_end();
  const stall_shares& said = by.account.shares();
  const std::int64_t off_ns = in.off_cpu_ns(by.account.began_ns(), by.last_ns());
  const std::int64_t tolerance_ns = said.total_ns() / 8 + ms;
#if !defined(LEVITY_TSAN) && !defined(LEVITY_ASAN)  // they make calls of their own in its name
  EXPECT_LE(said.total_ns() - said.on_cpu_ns - said.off_cpu_ns(), missed_ns + tolerance_ns) << "one that makes no call is in none";
  EXPECT_NEAR(static_cast<double>(said.off_cpu_ns()), static_cast<double>(off_ns), static_cast<double>(tolerance_ns));
#endif
  if (std::abs(2 * off_ns - said.total_ns()) > 2 * tolerance_ns) {
    EXPECT_EQ(by.account.judge().cause, 2 * off_ns > said.total_ns() ? stall_cause::off_cpu : stall_cause::on_cpu);
  }
}

TEST(stalls, of_one_that_computes) {
  spinning in;
  staller one(in);
  watched by(one);
  by.begin(in);
  ASSERT_TRUE(by.look_for(stall_ns));
  found_out_as_it_was(in, one, by);
}

TEST(stalls, of_one_that_computes_among_eight_on_two_cores) {
  being_crowded in(4 * std::thread::hardware_concurrency() - 1);
  staller one(in);
  watched by(one);
  by.begin(in);
  ASSERT_TRUE(by.look_for(4 * stall_ns));
  found_out_as_it_was(in, one, by);
}

constexpr int stop_ms = 100;

struct stop_seen {
  stall_shares added;
  std::int64_t missed_ns = 0;  // at most: who ends a stop may be late, too
};

// Stops the process while one of these looks is due: what that look added. On a busy machine the looker waits for its CPU before
// the signal reaches it, so it may miss less than all of the stop, or nothing; and a crowd may take more of the whole than the stop
// does.
stop_seen shares_of_stop(being_stopped& stops, watched& by) {
  stop_seen seen;
  stall_shares& added = seen.added;
  for (int stop = 0; stop < 10 && added.stopped_ns < stop_ms * ms * 4 / 10; stop++) {
    seen.missed_ns += stop_ms * ms;
    stops.stop_for(stop_ms);
    const std::int64_t until_ns = kernel_now_ns() + 2'000 * ms;
    while (added.stopped_ns < stop_ms * ms * 4 / 10 && kernel_now_ns() < until_ns) {
      const stall_shares before = by.account.shares();
      EXPECT_TRUE(by.look());
      const stall_shares& after = by.account.shares();
      added.stopped_ns = after.stopped_ns - before.stopped_ns;
      added.in_call_ns = after.in_call_ns - before.in_call_ns;
      added.waiting_ns = after.waiting_ns - before.waiting_ns;
    }
    stops.wait_for_stop();
  }
  seen.missed_ns = 2 * std::max<std::int64_t>(seen.missed_ns - added.stopped_ns, 0);
  return seen;
}

TEST(stalls, of_one_that_computes_while_its_process_is_stopped) {
  being_stopped in;
  staller one(in);
  watched by(one);
  by.begin(in);
  const auto [added, missed_ns] = shares_of_stop(in, by);
  found_out_as_it_was(in, one, by, missed_ns);
  EXPECT_GE(added.stopped_ns, stop_ms * ms * 4 / 10);
  EXPECT_GT(added.stopped_ns, added.in_call_ns);
}

TEST(stalls, of_one_that_reads_while_its_process_is_stopped) {
  being_stopped stops;
  reading_a_pipe in;
  staller one(in);
  watched by(one);
  by.begin(in);
  const stall_shares added = shares_of_stop(stops, by).added;
  in.let_go();
  one.wait_for_end();
  EXPECT_FALSE(in.failed);
  EXPECT_GE(added.stopped_ns, stop_ms * ms * 4 / 10);
}

TEST(stalls, of_one_that_computes_in_a_control_group_which_is_held_back) {
  being_throttled in;
  if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
  {
    staller one(in);
    watched by(one);
    by.begin(in);
    ASSERT_TRUE(by.look_for(4 * stall_ns));
    // As above: of a machine that stood still.
    while (by.account.judge().reason != off_cpu_reason::throttled && by.last_ns() - by.account.began_ns() < long_ns) {
      ASSERT_TRUE(by.look());
    }
    found_out_as_it_was(in, one, by);
    EXPECT_EQ(by.account.judge().cause, stall_cause::off_cpu);
    EXPECT_EQ(by.account.judge().reason, off_cpu_reason::throttled);
  }
}

}  // namespace
}  // namespace levity::detail
