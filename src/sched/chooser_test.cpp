// What a seeded run asks its chooser, in which order, and what becomes of the answers.

#include "sched/chooser.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <source_location>
#include <span>
#include <string>
#include <utility>

#include "levity/levity.hpp"
#include "levity/sched/detail/apart_call.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {
namespace {

using picker = std::function<std::size_t(std::span<const ready_choice>)>;

std::size_t first_of(std::span<const ready_choice>) { return 0; }
std::size_t last_of(std::span<const ready_choice> ready) { return ready.size() - 1; }

/// Answers as it is told to, and counts.
class scripted_chooser final : public chooser {
public:
  explicit scripted_chooser(picker picks, bool sets_aside = false) : picks_(std::move(picks)), sets_aside_(sets_aside) {}

  std::size_t pick(std::span<const ready_choice> ready) noexcept override { return picks_(ready); }
  void gives_way(std::uint32_t) noexcept override { ways_given++; }
  bool detaches() const noexcept override { return sets_aside_; }
  bool sets_aside(std::uint32_t) noexcept override {
    asked++;
    return true;
  }

  int ways_given = 0;
  int asked = 0;

private:
  const picker picks_;
  const bool sets_aside_;
};

template <class F, class... Args>
void run_chosen(chooser& by, bool in_turns, F f, Args... args) {
  scheduler_options options;
  options.reactors.push_back(make_sim_reactor(1));
  options.seed = 1;
  options.chooses = &by;
  scheduler runs(std::move(options));
  task<> main = f(args...);
  auto frame = std::move(main).release_frame();
  runs.root().adopt(frame, frame.promise(), "main", std::source_location::current());
  if (!in_turns) return runs.run_here();
  while (!runs.turn_here(1)) continue;
}

task<> says(char what, std::string* said) {
  for (int i = 0; i < 3; i++) {
    said->push_back(what);
    co_await yield();
  }
}

task<> three_say(std::string* said) {
  scope all;
  for (const char each : {'a', 'b', 'c'}) all.spawn(says, each, said);
  co_await all.join();
}

task<> says_and_sends(char what, std::string* said, channel<int>* into) {
  for (int i = 0; i < 3; i++) {
    said->push_back(what);
    (void)co_await into->send(i);  // there is room
  }
}

task<> two_send(std::string* said) {
  channel<int> roomy(100);
  scope all;
  for (const char each : {'a', 'b'}) all.spawn(says_and_sends, each, said, &roomy);
  co_await all.join();
}

void say(std::string* said, char what) { said->push_back(what); }

task<> says_and_blocks(std::string* said) {
  said->push_back('a');
  co_await blocking(&say, said, 'c');
  said->push_back('d');
}

task<> says_once(std::string* said) {
  said->push_back('b');
  co_return;
}

task<> one_blocks(std::string* said) {
  scope all;
  all.spawn(says_and_blocks, said);
  all.spawn(says_once, said);
  co_await all.join();
}

task<> one_spawns_and_blocks(std::string* said) {
  scope all;
  all.spawn(says_once, said);
  said->push_back('a');
  co_await blocking(&say, said, 'c');
  said->push_back('d');
  co_await all.join();
}

task<> leaves_its_call(std::string* said) {
  try {
    co_await blocking({.abandon_on_cancel = true}, &say, said, 'c');
  } catch (const cancelled&) {
    said->push_back('x');
  }
}

task<> cancels(scope* all) {
  all->cancel();
  co_return;
}

task<> one_leaves_its_call(std::string* said) {
  scope all;
  all.spawn(leaves_its_call, said);
  all.spawn(cancels, &all);
  co_await all.join();
}

}  // namespace

TEST(chooser, is_given_what_is_ready_in_the_order_in_which_it_came) {
  for (const bool in_turns : {false, true}) {
    std::string said;
    scripted_chooser by(first_of);
    run_chosen(by, in_turns, three_say, &said);
    EXPECT_EQ(said, "abcabcabc");
    EXPECT_EQ(by.ways_given, 9) << "three of each task, and none of main, which came from outside";
    EXPECT_EQ(by.asked, 0);
  }
}

TEST(chooser, has_what_it_picks_run_next) {
  std::string said;
  scripted_chooser by(last_of);
  run_chosen(by, true, three_say, &said);
  EXPECT_EQ(said, "cccbbbaaa");
}

TEST(chooser, sets_a_task_aside_at_an_await_that_needs_no_wait) {
  std::string goes_on;
  scripted_chooser never(first_of);
  run_chosen(never, false, two_send, &goes_on);
  EXPECT_EQ(goes_on, "aaabbb");

  std::string aside;
  scripted_chooser always(first_of, true);
  run_chosen(always, false, two_send, &aside);
  EXPECT_EQ(aside, "ababab");
  EXPECT_EQ(always.asked, 6) << "only where somebody is ready to overtake";
}

TEST(chooser, puts_a_blocking_call_off_and_others_overtake_its_task) {
  std::string goes_on;
  scripted_chooser never(first_of);
  run_chosen(never, false, one_blocks, &goes_on);
  EXPECT_EQ(goes_on, "acdb");
  EXPECT_EQ(never.ways_given, 0);

  std::string aside;
  scripted_chooser always(first_of, true);
  run_chosen(always, false, one_blocks, &aside);
  EXPECT_EQ(aside, "abcd");
  EXPECT_EQ(always.ways_given, 1) << "and none where the call wakes its task";
}

TEST(chooser, is_given_a_call_behind_whom_its_task_has_spawned_before) {
  std::string said;
  scripted_chooser by(first_of, true);
  run_chosen(by, false, one_spawns_and_blocks, &said);
  EXPECT_EQ(said, "abcd");
}

TEST(chooser, of_a_call_that_is_left_behind_has_it_never_made_and_gone_at_the_end) {
  for (const bool in_turns : {false, true}) {
    std::string said;
    scripted_chooser by([](std::span<const ready_choice> ready) { return ready[0].call != nullptr ? ready.size() - 1 : 0; }, true);
    run_chosen(by, in_turns, one_leaves_its_call, &said);
    EXPECT_EQ(said, "x");
    EXPECT_EQ(apart_call::left_behind_approx(), 0U);
  }
}

}  // namespace levity::detail
