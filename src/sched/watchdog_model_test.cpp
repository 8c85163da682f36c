// The protocol by which the watchdog takes a slot from under a task or a call (watchdog.hpp), in all orders of all its steps.
//
// Why: its errors need three threads within nanoseconds of each other. One was met by thinking alone, and not once in runs of the
// program itself.
//
// watchdog_model/ has the memory (memory.hpp), the steps and what has to hold (protocol.hpp), and who goes through them
// (explorer.hpp). That the model is the program is a matter of reading: who changes the protocol changes both.
//
// Weakenings. Each has to break what it is said to break, or the model would prove nothing. A new one: a word in `mutant`,
// `is(...)` where the step differs, a line in weakenings() with the scene that shows it. LEVITY_MODEL_TRACE=1 prints a shortest way
// to what breaks.
//
// Not needed, see not_needed(). The release of take_slot(), E362: it writes nothing between its barrier, a full fence, and the
// exchange. The release of begin_call(), E182: the watchdog has seen that very call before its barrier, which lets all become
// visible that the worker wrote before. Neither that it is the very call, nor that a task makes none: whoever leaves any call looks
// at hold_ all the same, and only who is quick is spared by it. Both releases are what the language asks for, which knows no
// barrier of the process.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "levity/base/atomic.hpp"
#include "sched/watchdog_model/explorer.hpp"

// Under ThreadSanitizer, which has nothing to see in one thread, it would take minutes.
#if !defined(LEVITY_TSAN)

namespace {

using namespace levity::detail::watchdog_model;
constexpr auto tso = memory_order_of::tso;
constexpr auto weak = memory_order_of::weak;

const std::vector<op> plain;

const scene stuck{.name = "a_stuck_task", .tasks = {{push(1), wait_here_for(1)}, plain}, .queued = {0}, .early = 1};
const scene tasks{.name = "tasks", .tasks = {plain, plain}, .queued = {0, 1}, .early = 1};
const scene fair{.name = "fair_turns", .tasks = {plain, plain}, .queued = {0, 1}, .early = 1, .oldest = true};
const scene there_and_back{.name = "there_and_back", .tasks = {plain, plain}, .queued = {0, 1}, .early = 2};
const scene idle_home{.name = "an_idle_home", .tasks = {{look_at_guest}}, .queued = {0}, .early = 1};
const scene guest{.name = "a_guest", .tasks = {plain}, .queued = {0}, .early = 1, .guest_calls = 1};
const scene call{.name = "a_call", .tasks = {{quick_call}}, .queued = {0}, .early = 1};
const scene two_calls{.name = "two_calls", .tasks = {{quick_call, quick_call}}, .queued = {0}, .early = 1};
const scene calls{.name = "calls", .tasks = {{push(1), call_that_waits_for(1)}, {quick_call}}, .queued = {0}};
const scene slow_call{.name = "a_slow_call", .tasks = {{push(1), call_that_waits_for(1)}, plain}, .queued = {0}, .early = 1};
const scene rest{.name = "a_slot_that_rests", .tasks = {plain, plain}, .queued = {0, 1}, .changes = 2};
const scene rests_for_good{.name = "a_slot_that_rests_for_good", .tasks = {{push(1)}, plain}, .queued = {0}, .changes = 3};
const scene rest_in_doubt{.name = "rest_in_doubt", .tasks = {plain, plain}, .queued = {0, 1}, .early = 1, .changes = 1};
const scene rest_of_another{.name = "rest_of_another", .tasks = {{push(1), wait_here_for(1)}, plain}, .queued = {0}, .changes = 1};
const scene rest_and_dozes{.name = "rest_and_dozes", .tasks = {plain}, .queued = {0}, .dozes = 2, .changes = 2};
const scene doze{.name = "dozes", .tasks = {{push(1), call_that_waits_for(1)}, plain}, .queued = {0}, .dozes = 2};

struct run {
  std::string name;
  setup of;
  const char* breaks = nullptr;
};

void PrintTo(const run& what, std::ostream* to) { *to << what.name; }

std::vector<run> promises() {
  std::vector<run> all;
  for (const scene* each : {&stuck, &tasks, &idle_home, &guest, &call, &calls, &rest}) {
    all.push_back({std::string(each->name) + "_weak", {*each, weak}});
  }
  for (const scene* each : {&stuck, &tasks, &fair, &there_and_back, &idle_home, &guest, &call, &two_calls, &calls, &slow_call,
                            &rest, &rests_for_good, &rest_in_doubt, &rest_of_another, &rest_and_dozes, &doze}) {
    all.push_back({each->name, {*each}});
  }
  return all;
}

std::vector<run> weakenings() {
  return {
    {"no_barrier", {tasks, tso, mutant::no_barrier}, acts},
    {"no_barrier_for_a_call", {guest, tso, mutant::no_barrier}, acts},
    {"no_second_look_at_slow_at", {tasks, tso, mutant::no_second_look_at_slow_at}, acts},
    {"no_second_look_at_call", {guest, tso, mutant::no_second_look_at_call}, acts},
    {"slice_without_hold", {stuck, tso, mutant::slice_without_hold}, twice},
    {"no_drain_lock", {stuck, tso, mutant::no_drain_lock}, twice},
    {"keeps_by_load", {tasks, tso, mutant::keeps_by_load}, acts},
    {"keeps_by_load_after_a_call", {guest, tso, mutant::keeps_by_load}, acts},
    {"no_surrender_in_look", {stuck, tso, mutant::no_surrender_in_look}, never},
    {"look_before_end_of_task", {tasks, tso, mutant::look_before_end_of_task}, acts},
    {"look_before_end_of_call", {guest, tso, mutant::look_before_end_of_call}, acts},
    {"look_before_idle_home", {idle_home, tso, mutant::look_before_idle_home}, acts},
    {"look_before_call", {doze, tso, mutant::look_before_call}, never},
    {"no_barrier_before_doze", {doze, tso, mutant::no_barrier_before_doze}, never},
    {"doze_without_look", {doze, tso, mutant::doze_without_look}, never},
    {"relaxed_enter_task", {stuck, weak, mutant::relaxed_enter_task}, twice},
    {"relaxed_enter_task_in_a_fair_turn", {fair, weak, mutant::relaxed_enter_task}, acts},
    {"relaxed_pass", {stuck, weak, mutant::relaxed_pass}, unwritten},
    {"relaxed_unlock", {stuck, weak, mutant::relaxed_unlock}, twice},
    {"rest_keeps_hold", {rest, tso, mutant::rest_keeps_hold}, never},
    {"rest_without_lock", {rest, weak, mutant::rest_without_lock}, twice},
    {"rest_without_look", {rest_and_dozes, tso, mutant::rest_without_look}, never},
    {"no_fence_in_rest", {rest_and_dozes, tso, mutant::no_fence_in_rest}, never},
    {"no_fence_in_want", {rest_and_dozes, tso, mutant::no_fence_in_want}, never},
    {"no_look_for_lacking", {rest_and_dozes, tso, mutant::no_look_for_lacking}, never},
    {"no_look_after_grant", {rests_for_good, tso, mutant::no_look_after_grant}, never},
  };
}

std::vector<run> not_needed() {
  return {
    {"relaxed_take_of_a_task", {tasks, weak, mutant::relaxed_take}},
    {"relaxed_take_of_a_call", {calls, weak, mutant::relaxed_take}},
    {"relaxed_enter_call", {calls, weak, mutant::relaxed_enter_call}},
    {"any_call", {two_calls, tso, mutant::any_call}},
    {"call_in_task", {call, tso, mutant::call_in_task}},
  };
}

class watchdog_model : public testing::TestWithParam<run> {
protected:
  static verdict explore() {
    const verdict found = explorer(GetParam().of).explore();
    std::printf("%zu states, %s\n", found.states, found.broken != nullptr ? found.broken : "nothing breaks");
    if (found.broken != nullptr && std::getenv("LEVITY_MODEL_TRACE") != nullptr) {
      for (const std::string& line : found.trace) std::printf("  %s\n", line.c_str());
    }
    return found;
  }
};
using watchdog_model_weakened = watchdog_model;

std::string name_of(const testing::TestParamInfo<run>& info) { return info.param.name; }

TEST_P(watchdog_model, keeps_its_promises) { EXPECT_EQ(explore().broken, nullptr); }

TEST_P(watchdog_model_weakened, breaks_one_of_them) { EXPECT_STREQ(explore().broken, GetParam().breaks); }

// Or a promise could hold because nobody comes by.
TEST(watchdog_model_scenes, take_each_step) {
  steps took;
  for (const scene* each : {&stuck, &fair, &idle_home, &guest, &call, &calls, &rest_and_dozes, &doze}) {
    took |= explorer({*each}).explore().took;
  }
  for (const at each : steps_of_mutants) took.set(static_cast<std::size_t>(each));
  for (unsigned i = 0; i < names.size(); i++) EXPECT_TRUE(took[i]) << "nobody takes the step " << names[i];
}

INSTANTIATE_TEST_SUITE_P(scenes, watchdog_model, testing::ValuesIn(promises()), name_of);
INSTANTIATE_TEST_SUITE_P(not_needed, watchdog_model, testing::ValuesIn(not_needed()), name_of);
INSTANTIATE_TEST_SUITE_P(by, watchdog_model_weakened, testing::ValuesIn(weakenings()), name_of);

}  // namespace

#endif
