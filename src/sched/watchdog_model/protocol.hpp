#pragma once

// protocol: who holds the slot (watchdog.hpp), step by step: workers A, who holds the only one at first, and B, a spare, and the
// watchdog. Each step of a thread is one access to shared memory; `at` lists them by the functions of worker.cpp, deque.hpp and
// watchdog.cpp in which they stand. Who changes the program changes the steps.
//
// The barrier of the process empties the buffers of all at one point. Each worker has one deque, which knows no thieves; what all
// share is one set. A fair turn may be due at any time. A doubt of a task is raised whenever the watchdog likes, as often as the
// scene says, and without limit where it is stuck; a call may be found slow as soon as it is seen, for between two of its looks a
// worker may be held up anywhere. A doze lasts until somebody wakes the watchdog, but for those after which the scene allows
// another one. A scene says what tasks do.
//
// Where the limit of CPUs changes (scheduler.hpp) this slot is one too many now and then, and goes to rest. Nobody runs a task
// then; the watchdog gives it to either worker when it is wanted again. After a doze it looks what is lacking, as the program does
// before each look. There a worker that sleeps has a permit to be woken by, of the watchdog alone.
//
// What has to hold, in each state that can be reached:
//
//   who acts outside a task (pops, looks at the shared queue or at the guest) holds the slot: `owner`, moved by the exchange that
//       decides and by take_over()
//   a slot is taken from its holder, and has one at a time
//   no task is queued or run twice
//   what goes with a slot has been written when it is taken over
//   from here the end of all tasks can be reached; or, where the slot is not wanted, its rest, with all tasks that nobody runs in
//       the set that all share
//
// What is not: what reactor and guest hold, threads that are born or end, calls that the pool makes, parking and the search for
// thieves, a watchdog that is asleep, pinned tasks, the second deque, deques that overflow.

#include <array>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "sched/watchdog_model/memory.hpp"

namespace levity::inline v0::detail::watchdog_model {

constexpr unsigned workers = 2;
constexpr unsigned dog = 2;  // the watchdog's thread
constexpr unsigned threads = 3;
constexpr unsigned tasks_max = 4;
constexpr unsigned ring = 4;  // slots of a deque
constexpr std::uint8_t nobody = 0xff;

// Weakenings.
enum class mutant : std::uint8_t {
  none,
  no_barrier,                 // in take_slot()
  no_second_look_at_slow_at,  // after it
  no_second_look_at_call,     // after it: a call that was found slow counts as one that lasts
  any_call,                   // after it: so does another call
  call_in_task,               // after it: so does the task that makes a call now
  slice_without_hold,         // take_slice() does not ask whether the slot is lost
  no_drain_lock,
  keeps_by_load,              // keeps_slot() takes `doubted` for held, without an exchange
  no_surrender_in_look,
  look_before_end_of_task,    // leave_task() without its compiler fence
  look_before_end_of_call,    // end_call() without its own
  look_before_idle_home,      // stay_at_idle_home() without its own
  look_before_call,           // begin_call() without its own: it asks whether the watchdog dozes, then marks the call
  no_barrier_before_doze,     // pause() has a fence of its own thread
  doze_without_look,          // pause() does not ask whether it is needed
  relaxed_enter_task,         // E361 in run_task()
  relaxed_enter_call,         // E182 in begin_call()
  relaxed_pass,               // E183 in pass_slot()
  relaxed_unlock,             // E363 in take_over()
  relaxed_take,               // E362 in take_slot()
  rest_keeps_hold,            // rest() leaves hold_ as it is
  rest_without_lock,          // E366
  rest_without_look,          // end_rest() does not ask whether the slot is wanted again
  no_fence_in_rest,           // E372 in end_rest()
  no_fence_in_want,           // E372 in want()
  no_look_for_lacking,        // pause() does not ask whether a slot is lacking
  no_look_after_grant,        // whoever gets a slot does not ask whether it is one too many already
};

// What a task does, step by step.
enum class does : std::uint8_t { end, push, wait, call, stay };
struct op {
  does what = does::end;
  std::uint8_t task = nobody;
};
constexpr op push(std::uint8_t task) { return {does::push, task}; }
constexpr op wait_here_for(std::uint8_t task) { return {does::wait, task}; }  // it is stuck until then
constexpr op call_that_waits_for(std::uint8_t task) { return {does::call, task}; }
constexpr op quick_call{does::call};
constexpr op look_at_guest{does::stay};

struct scene {
  const char* name;
  std::vector<std::vector<op>> tasks;
  std::vector<std::uint8_t> queued;  // in A's deque, oldest first
  unsigned early = 0;                // so many doubts of a task that is not stuck
  unsigned guest_calls = 0;
  unsigned dozes = 0;
  unsigned changes = 0;              // of whether the slot is wanted
  bool oldest = false;               // a fair turn may take the oldest task
};

// Of each worker; behind them those of all.
enum word : std::uint8_t {
  hold_w, call_w, slow_at_w, current_w, lock_w, from_w, granted_w, permit_w, top_w, bottom_w, slot_w, words = slot_w + ring
};
constexpr std::array word_names = {"hold_", "call_", "slow_at_", "current_", "drain_lock_", "granted_from_", "granted_", "permit_",
                                   "top_", "bottom_", "slot 0", "slot 1", "slot 2", "slot 3"};
static_assert(word_names.size() == words);
enum shared_word : std::uint8_t {
  dog_w = workers * words,  // the watchdog's state_
  wanted_w,                 // whether the slot is
  slots_w,                  // who has it, from 1; 0: it is at rest
  all_words
};
constexpr std::array shared_names = {"state_", "wanted_", "slots_"};
static_assert(shared_names.size() == all_words - dog_w);
constexpr std::uint8_t held = 0, doubted = 1, lost = 2;
constexpr std::uint8_t later = 1;  // of slow_at_, which is 0 or lies ahead

constexpr std::uint8_t of(unsigned worker, unsigned which) { return static_cast<std::uint8_t>(worker * words + which); }
constexpr bool is_call(std::uint8_t call) { return (call & 1) != 0; }

// Where a thread stands: the access to shared memory that it makes next.
enum class at : std::uint8_t {
  // Between two tasks.
  next, pop, pop_bottom, slowly, keeps, keeps_exchange, kept, lose_slow, loop, surplus, count, set_slow,
  oldest, oldest_top, shared, idle,
  // Inside one, or in a call.
  enter, run, push_bottom, leave, leave_early_look, leave_late, begin, begin_early_look, begin_late, notice, wake, calling,
  end_call, end_call_late, after_call, stay, stay_late, stay_sleep, stay_leave,
  // Tasks and slots move to another worker, or to rest.
  rest_lock, rest_hold, rest_unlock, rest_slow, rest_slots, rest_fence, rest_look, rest_notice, rest_wake,
  offer, woken, granted, over_slow, over_lock, over_hold, over_unlock, over_push, over_bottom,
  slice, slice_hold, slice_top, slice_bottom, slice_take, slice_unlock, deliver,
  // The watchdog.
  look, doubt_slow, barrier, see_call, see_current, see_slow, decide, move, pass, pass_from, want_fence, want_slots,
  want_unpark, fill, doze_barrier, doze_lacking, doze_look, doze_hold, doze_wake, dozing,
};
constexpr std::array names = {
  "next_task: looks at slow_at_", "pop: top_", "pop: bottom_", "next_task_slowly", "keeps_slot: looks at hold_",
  "keeps_slot: doubted -> held", "keeps_slot: is answered", "lose_slot: slow_at_", "next_task_slowly: goes on",
  "next_task_slowly: looks at wanted_", "next_ready: looks at slow_at_",
  "next_ready: slow_at_ anew", "fair_turn: the oldest", "pop_oldest: top_", "shared_task: injected", "sleep",
  "run_task: current_", "the task", "push: bottom_", "leave_task: current_", "next_task: looks at slow_at_, early",
  "leave_task: current_, late", "begin_call: call_", "notice: looks at state_, early", "begin_call: call_, late",
  "notice: looks at state_", "notice: wakes", "the call", "end_call: call_", "end_call: call_, late", "queue_after_call",
  "stay_at_idle_home: current_", "stay_at_idle_home: current_, late", "would_sleep: slow_at_", "leave_home: current_",
  "rest: drain_lock_", "rest: hold_", "rest: drain_lock_ back", "rest: slow_at_", "end_rest: slots_", "end_rest: fence",
  "end_rest: looks at wanted_", "end_rest: looks at state_", "end_rest: wakes", "offer_spare", "await_slot: permit_",
  "await_slot: granted_from_", "take_over: slow_at_", "take_over: drain_lock_", "take_over: hold_",
  "take_over: drain_lock_ back", "take_over: push", "take_over: push, bottom_", "take_slice: drain_lock_",
  "take_slice: looks at hold_", "take_from_absent: looks at top_", "take_from_absent: looks at bottom_", "take_from_absent: top_",
  "take_slice: drain_lock_ back", "surrender: injected",
  "look", "take_slot: slow_at_", "take_slot: barrier", "take_slot: looks at call_", "take_slot: looks at current_",
  "take_slot: looks at slow_at_", "take_slot: hold_", "move_slot: slots_", "grant: granted_", "grant: granted_from_", "want: fence",
  "want: looks at slots_", "want: permit_", "fill_slots: looks at slots_", "pause: barrier", "is_needed: looks at slots_",
  "is_needed: looks at call_", "is_needed: looks at hold_", "pause: wakes", "pause: dozes",
};
static_assert(names.size() == static_cast<std::size_t>(at::dozing) + 1);
// Those of which only a mutant takes any.
inline constexpr std::array steps_of_mutants = {at::leave_early_look, at::leave_late, at::begin_early_look, at::begin_late,
                                                at::end_call_late, at::stay_late};

using steps = std::bitset<names.size()>;

struct thread_state {
  at pc = at::next;
  at back = at::next;          // where keeps_slot() was called
  std::uint8_t task = nobody;  // that it runs
  std::uint8_t other = 0;      // whose deques it empties, whose slot it takes
  std::uint8_t seen = 0;       // a number that it has read
  std::uint8_t list = 0;       // tasks that it has in hand, a bit each
  std::uint8_t spare = 0;      // who is to have the slot
  bool has_slot = false;
  bool yes = false;            // what a look has found; before a pop: it is the one of next_task()
  bool due = false;            // a fair turn is
  bool operator==(const thread_state&) const = default;
};

struct state {
  shared_memory<all_words, threads> memory{};
  // Behind locks; a bit for each task, or worker.
  std::uint8_t injected = 0;
  std::uint8_t spares = 0;
  // Seen by nobody but the checks.
  std::uint8_t owner = 0;     // who holds the slot
  std::uint8_t started = 0;   // tasks that run, or have run
  std::uint8_t finished = 0;  // and those that are over
  // What the scene allows still.
  std::uint8_t early = 0;
  std::uint8_t guest_calls = 0;
  std::uint8_t dozes = 0;
  std::uint8_t changes = 0;
  std::array<std::uint8_t, tasks_max> step{};  // of each task
  std::array<thread_state, threads> thread{};
  bool operator==(const state&) const = default;
};
static_assert(std::has_unique_object_representations_v<state>);

// What may break.
constexpr const char* acts = "who does not hold the slot acts outside a task";
constexpr const char* twice = "a task is run twice";
constexpr const char* never = "some task never runs, or the slot never rests";
constexpr const char* unwritten = "granted_ is read before it is written";

struct setup {
  const scene& plays;
  memory_order_of on = memory_order_of::tso;
  mutant with = mutant::none;
};

inline state first_state(const scene& plays) {
  state first;
  std::uint8_t bottom = 0;
  for (const std::uint8_t task : plays.queued) first.memory.word[of(0, slot_w + bottom++)] = task;
  first.memory.word[of(0, bottom_w)] = bottom;
  first.memory.word[of(0, slow_at_w)] = later;
  first.memory.word[of(1, hold_w)] = lost;
  first.early = static_cast<std::uint8_t>(plays.early);
  first.guest_calls = static_cast<std::uint8_t>(plays.guest_calls);
  first.dozes = static_cast<std::uint8_t>(plays.dozes);
  first.changes = static_cast<std::uint8_t>(plays.changes);
  first.memory.word[wanted_w] = first.memory.word[slots_w] = 1;
  first.thread[0].has_slot = true;
  first.thread[1].pc = at::loop;
  first.thread[dog].pc = at::look;
  return first;
}

// How many ways there are to go on from here.
constexpr unsigned choices(at pc) {
  switch (pc) {
    case at::next:
    case at::set_slow:
    case at::idle:
    case at::fill:
    case at::dozing: return 2;
    case at::look: return 11;
    default: return 1;
  }
}

/// One step of one thread, in place.
class stepper {
public:
  stepper(const setup& of_what, state& on, unsigned thread, unsigned choice)
      : of_(of_what), s_(on), me_(thread), me8_(static_cast<std::uint8_t>(thread)), choice_(choice), t_(on.thread[thread]) {}

  /// False: it cannot do this now.
  bool step() {
    for (;;) {
      const at from = t_.pc;
      const went how = run();
      if (how != went::nowhere) took_.set(static_cast<std::size_t>(from));
      switch (how) {
        case went::on: return true;
        case went::nowhere: return false;
        case went::inside: break;
      }
    }
  }
  [[nodiscard]] const char* broken() const { return broken_; }
  [[nodiscard]] const steps& took() const { return took_; }

private:
  enum class went : std::uint8_t { on, nowhere, inside };

  [[nodiscard]] std::uint8_t mine(unsigned which) const { return of(me_, which); }
  [[nodiscard]] std::uint8_t theirs(unsigned which) const { return of(t_.other, which); }
  [[nodiscard]] bool is(mutant which) const { return of_.with == which; }

  [[nodiscard]] std::uint8_t load(std::uint8_t from) const { return s_.memory.load(me_, from); }
  went store(std::uint8_t to, unsigned value, at then, bool release = false) {
    return s_.memory.store(me_, to, static_cast<std::uint8_t>(value), release) ? go(then) : went::nowhere;
  }
  // What this thread knows no more: fewer states differ.
  void forget() {
    t_.seen = t_.other = t_.spare = 0;
    t_.yes = t_.due = false;
    t_.back = at::next;
  }
  went go(at then) {
    t_.pc = then;
    return went::on;
  }
  // Nothing was shared so far: the step goes on.
  went pass_to(at then) {
    t_.pc = then;
    return went::inside;
  }
  [[nodiscard]] bool drained() const { return s_.memory.drained(me_); }
  [[nodiscard]] bool may_exchange(std::uint8_t of_word, bool release = false) const {
    return s_.memory.may_exchange(of_.on, me_, of_word, release);
  }
  [[nodiscard]] bool may_take_lock() const { return of_.on != memory_order_of::tso || drained(); }
  void check(bool holds, const char* what) {
    if (!holds && broken_ == nullptr) broken_ = what;
  }
  void check_owner() { check(s_.owner == me_, acts); }
  [[nodiscard]] static std::uint8_t bit(unsigned task) { return static_cast<std::uint8_t>(1U << task); }
  [[nodiscard]] op next_of(std::uint8_t task) const {
    const std::vector<op>& all = of_.plays.tasks[task];
    return s_.step[task] < all.size() ? all[s_.step[task]] : op{};
  }
  [[nodiscard]] bool over(std::uint8_t task) const { return task == nobody || (s_.finished & bit(task)) != 0; }
  [[nodiscard]] bool is_stuck(unsigned worker) const {
    const thread_state& there = s_.thread[worker];
    if (there.pc != at::run) return false;
    const op waits = next_of(there.task);
    return waits.what == does::wait && !over(waits.task);
  }
  static void drop(std::uint8_t& from, unsigned bits) { from = static_cast<std::uint8_t>(from & ~bits); }
  void inject(std::uint8_t list) {
    check((s_.injected & list) == 0, "a task is queued twice");
    s_.injected |= list;
  }

  went run() {
    if (t_.pc <= at::idle) return between_tasks();
    if (t_.pc <= at::stay_leave) return inside_task();
    return t_.pc <= at::deliver ? move() : watch();
  }

  went between_tasks() {
    switch (t_.pc) {
      case at::next:
        if (load(mine(slow_at_w)) == 0) {
          if (choice_ == 1) return went::nowhere;
          t_.due = true;
          return go(at::slowly);
        }
        t_.due = choice_ == 1;
        t_.yes = true;  // the quick way
        return go(choice_ == 1 ? at::slowly : at::pop);
      case at::pop: {
        check_owner();
        const std::uint8_t bottom = load(mine(bottom_w));
        if (load(mine(top_w)) >= bottom) return go(t_.yes ? at::slowly : at::shared);
        t_.seen = static_cast<std::uint8_t>(bottom - 1);
        return go(at::pop_bottom);
      }
      case at::pop_bottom:
        t_.task = load(mine(slot_w + t_.seen % ring));
        return store(mine(bottom_w), t_.seen, at::enter);
      case at::slowly:
        if (!t_.has_slot) return pass_to(at::loop);
        t_.back = at::slowly;
        return pass_to(at::keeps);
      case at::keeps: {
        const std::uint8_t hold = load(mine(hold_w));
        t_.yes = hold == held || (hold == doubted && is(mutant::keeps_by_load));
        return go(hold == doubted && !t_.yes ? at::keeps_exchange : at::kept);
      }
      case at::keeps_exchange: {
        if (!may_exchange(mine(hold_w))) return went::nowhere;
        std::uint8_t& hold = s_.memory.word[mine(hold_w)];
        if (hold == doubted) hold = held;
        t_.yes = hold == held;
        return go(at::kept);
      }
      case at::kept:
        switch (t_.back) {
          case at::slowly: return pass_to(t_.yes ? at::loop : at::lose_slow);
          case at::stay: return pass_to(t_.yes ? at::stay_sleep : at::stay_leave);
          case at::stay_late: return store(mine(current_w), 0, t_.yes ? at::stay_sleep : at::stay_leave);
          case at::end_call_late: return pass_to(at::end_call_late);
          default: return t_.yes ? after_kept_call() : pass_to(at::lose_slow);
        }
      case at::lose_slow:
        t_.has_slot = false;
        return store(mine(slow_at_w), 0, t_.task == nobody ? at::loop : at::after_call);
      // next_task_slowly()
      case at::loop:
        t_.yes = false;
        if (!t_.has_slot) {
          t_.other = me8_;
          return pass_to(at::slice);
        }
        t_.other = t_.seen = 0;
        t_.back = at::next;
        return pass_to(changes() ? at::surplus : at::count);
      case at::surplus: return go(load(wanted_w) == 0 ? first_of_rest() : at::count);
      case at::count: return go(load(mine(slow_at_w)) == 0 || t_.due ? at::set_slow : at::pop);
      case at::set_slow:
        if (choice_ == 1 && !of_.plays.oldest) return went::nowhere;
        t_.due = false;
        return store(mine(slow_at_w), later, choice_ == 0 ? at::pop : at::oldest);
      case at::oldest: {
        check_owner();
        const std::uint8_t top = load(mine(top_w));
        if (top >= load(mine(bottom_w))) return go(at::shared);
        t_.seen = top;
        return go(at::oldest_top);
      }
      case at::oldest_top:
        t_.task = load(mine(slot_w + t_.seen % ring));
        return store(mine(top_w), t_.seen + 1U, at::enter);
      case at::shared:
        if (!may_take_lock()) return went::nowhere;
        check_owner();
        if (s_.injected == 0) return go(at::idle);
        t_.task = static_cast<std::uint8_t>(std::countr_zero(s_.injected));
        drop(s_.injected, bit(t_.task));
        return go(at::enter);
      case at::idle:
        if (choice_ == 0) {
          if (s_.memory.word[mine(permit_w)] != 0 && may_exchange(mine(permit_w))) {
            s_.memory.word[mine(permit_w)] = 0;
            return go(at::loop);
          }
          return s_.injected != 0 ? go(at::loop) : went::nowhere;
        }
        if (s_.guest_calls == 0) return went::nowhere;
        s_.guest_calls--;
        return go(at::begin);
      default: return went::nowhere;
    }
  }
  went after_kept_call() {
    forget();
    if (t_.task == nobody) return go(at::loop);
    s_.step[t_.task]++;
    return go(at::run);
  }

  went inside_task() {
    switch (t_.pc) {
      case at::enter: {
        const went how = store(mine(current_w), 1, at::run, !is(mutant::relaxed_enter_task));
        if (how == went::nowhere) return how;
        check((s_.started & bit(t_.task)) == 0, twice);
        s_.started |= bit(t_.task);
        forget();
        return how;
      }
      case at::run: {
        const op next = next_of(t_.task);
        switch (next.what) {
          case does::end:
            s_.finished |= bit(t_.task);
            t_.task = nobody;
            return go(is(mutant::look_before_end_of_task) ? at::leave_early_look : at::leave);
          case does::push:
            return store(mine(slot_w + load(mine(bottom_w)) % ring), next.task, at::push_bottom);
          case does::wait:
            if (!over(next.task)) return went::nowhere;
            s_.step[t_.task]++;
            return went::on;
          case does::call: return pass_to(at::begin);
          case does::stay: return pass_to(at::stay);
        }
        return went::nowhere;
      }
      case at::push_bottom: {
        const went how = store(mine(bottom_w), load(mine(bottom_w)) + 1U, at::run, true);
        if (how == went::on) s_.step[t_.task]++;
        return how;
      }
      case at::leave:
        forget();
        return store(mine(current_w), 0, at::next);
      // The look of next_task() before the store.
      case at::leave_early_look:
        t_.due = load(mine(slow_at_w)) == 0;
        t_.yes = true;
        return go(at::leave_late);
      case at::leave_late: return store(mine(current_w), 0, t_.due ? at::slowly : at::pop);
      case at::begin:
        if (is(mutant::look_before_call)) return pass_to(at::begin_early_look);
        return store(mine(call_w), load(mine(call_w)) + 1U, at::notice, !is(mutant::relaxed_enter_call));
      case at::begin_early_look:
        t_.yes = load(dog_w) != 0;
        return go(at::begin_late);
      case at::begin_late: return store(mine(call_w), load(mine(call_w)) + 1U, t_.yes ? at::wake : at::calling, true);
      case at::notice:
        if (of_.plays.dozes == 0) return pass_to(at::calling);
        return go(load(dog_w) != 0 ? at::wake : at::calling);
      case at::wake:
        if (!may_exchange(dog_w)) return went::nowhere;
        s_.memory.word[dog_w] = 0;
        return go(at::calling);
      case at::calling:
        if (t_.task != nobody && !over(next_of(t_.task).task)) return went::nowhere;
        t_.back = at::end_call;
        if (!is(mutant::look_before_end_of_call)) return pass_to(at::end_call);
        t_.back = at::end_call_late;
        return pass_to(at::keeps);
      case at::end_call: return store(mine(call_w), load(mine(call_w)) + 1U, at::keeps);
      case at::end_call_late: {
        const bool kept = t_.yes;
        const went how = store(mine(call_w), load(mine(call_w)) + 1U, at::lose_slow);
        return how == went::nowhere || !kept ? how : after_kept_call();
      }
      case at::after_call:
        if (!drained()) return went::nowhere;
        s_.step[t_.task]++;
        drop(s_.started, bit(t_.task));
        inject(bit(t_.task));
        t_.task = nobody;
        return go(at::leave);
      // stay_at_idle_home(), as if there were no work
      case at::stay:
        t_.back = at::stay;
        if (!is(mutant::look_before_idle_home)) return store(mine(current_w), 0, at::keeps);
        t_.back = at::stay_late;
        return pass_to(at::keeps);
      case at::stay_late: return went::nowhere;
      case at::stay_sleep:
        check_owner();
        return store(mine(slow_at_w), 0, at::stay_leave);
      case at::stay_leave: {
        if (t_.yes) check_owner();
        forget();
        const went how = store(mine(current_w), 1, at::run, true);
        if (how == went::on) s_.step[t_.task]++;
        return how;
      }
      default: return went::nowhere;
    }
  }

  [[nodiscard]] at first_of_rest() const {
    if (is(mutant::rest_keeps_hold)) return at::rest_slow;
    return is(mutant::rest_without_lock) ? at::rest_hold : at::rest_lock;
  }
  went move() {
    switch (t_.pc) {
      // rest()
      case at::rest_lock:
        if (s_.memory.word[mine(lock_w)] != 0 || !may_exchange(mine(lock_w))) return went::nowhere;
        s_.memory.word[mine(lock_w)] = 1;
        return go(at::rest_hold);
      case at::rest_hold: return store(mine(hold_w), lost, is(mutant::rest_without_lock) ? at::rest_slow : at::rest_unlock);
      case at::rest_unlock: return store(mine(lock_w), 0, at::rest_slow, true);
      case at::rest_slow: {
        const went how = store(mine(slow_at_w), 0, at::rest_slots);
        if (how == went::nowhere) return how;
        check_owner();
        s_.owner = nobody;
        t_.has_slot = t_.due = false;
        return how;
      }
      // end_rest()
      case at::rest_slots: return store(slots_w, 0, at::rest_fence, true);
      case at::rest_fence:
        if (is(mutant::no_fence_in_rest)) return pass_to(at::rest_look);
        if (!drained()) return went::nowhere;
        return pass_to(is(mutant::rest_without_look) ? at::loop : at::rest_look);
      case at::rest_look: return go(load(wanted_w) != 0 ? at::rest_notice : at::loop);
      case at::rest_notice: return go(load(dog_w) != 0 ? at::rest_wake : at::loop);
      case at::rest_wake:
        if (!may_exchange(dog_w)) return went::nowhere;
        s_.memory.word[dog_w] = 0;
        return go(at::loop);
      // await_slot()
      case at::offer:
        if (!drained()) return went::nowhere;
        s_.spares |= bit(me_);
        return go(changes() ? at::woken : at::granted);
      case at::woken:  // with the permit that came with the slot goes any other
        if (s_.memory.word[mine(from_w)] == 0 || !may_exchange(mine(permit_w))) return went::nowhere;
        s_.memory.word[mine(permit_w)] = 0;
        return go(at::granted);
      case at::granted:
        if (s_.memory.word[mine(from_w)] == 0 || !may_exchange(mine(from_w))) return went::nowhere;
        t_.other = static_cast<std::uint8_t>(s_.memory.word[mine(from_w)] - 1);
        s_.memory.word[mine(from_w)] = 0;
        check(load(mine(granted_w)) == 1, unwritten);
        s_.memory.word[mine(granted_w)] = 0;
        check(s_.owner == nobody, "a slot has two holders");
        s_.owner = me8_;
        t_.has_slot = true;
        t_.due = false;
        return go(at::over_slow);
      // take_over()
      case at::over_slow: return store(mine(slow_at_w), later, is(mutant::no_drain_lock) ? at::over_hold : at::over_lock);
      case at::over_lock:
        if (s_.memory.word[mine(lock_w)] != 0 || !may_exchange(mine(lock_w))) return went::nowhere;
        s_.memory.word[mine(lock_w)] = 1;
        return go(at::over_hold);
      case at::over_hold: return store(mine(hold_w), held, is(mutant::no_drain_lock) ? at::slice : at::over_unlock);
      case at::over_unlock: return store(mine(lock_w), 0, at::slice, !is(mutant::relaxed_unlock));
      case at::over_push: {
        check_owner();
        const auto task = static_cast<std::uint8_t>(std::countr_zero(t_.list));
        return store(mine(slot_w + load(mine(bottom_w)) % ring), task, at::over_bottom);
      }
      case at::over_bottom: {
        const went how = store(mine(bottom_w), load(mine(bottom_w)) + 1U, at::slice, true);
        if (how == went::nowhere) return how;
        t_.list = static_cast<std::uint8_t>(t_.list & (t_.list - 1U));
        if (t_.list != 0) t_.pc = at::over_push;
        return how;
      }
      case at::slice:
        if (is(mutant::no_drain_lock)) return pass_to(at::slice_hold);
        if (s_.memory.word[theirs(lock_w)] != 0 || !may_exchange(theirs(lock_w))) return went::nowhere;
        s_.memory.word[theirs(lock_w)] = 1;
        return go(at::slice_hold);
      case at::slice_hold:
        if (is(mutant::slice_without_hold)) return pass_to(at::slice_top);
        return go(load(theirs(hold_w)) == lost ? at::slice_top : at::slice_unlock);
      case at::slice_top:
        t_.seen = load(theirs(top_w));
        return go(at::slice_bottom);
      case at::slice_bottom:
        if (t_.seen >= load(theirs(bottom_w))) return go(at::slice_unlock);
        t_.task = load(theirs(slot_w + t_.seen % ring));
        return go(at::slice_take);
      case at::slice_take: {
        if (!drained()) return went::nowhere;  // seq_cst
        std::uint8_t& top = s_.memory.word[theirs(top_w)];
        if (top == t_.seen) {
          top++;
          t_.list |= bit(t_.task);
        }
        t_.task = nobody;
        return go(at::slice_top);
      }
      case at::slice_unlock: {
        const at then = t_.list != 0 ? at::deliver : me_ == dog ? at::look : !t_.has_slot ? at::offer :
                        is(mutant::no_look_after_grant) ? at::count : at::loop;
        t_.seen = 0;
        if (is(mutant::no_drain_lock)) return pass_to(then);
        return store(theirs(lock_w), 0, then, true);
      }
      case at::deliver:
        if (me_ != dog && t_.has_slot) return pass_to(at::over_push);
        if (!drained()) return went::nowhere;
        inject(t_.list);
        t_.list = 0;
        return go(at::slice);
      default: return went::nowhere;
    }
  }

  went watch() {
    switch (t_.pc) {
      case at::look: return look();
      // take_slot()
      case at::doubt_slow: return store(theirs(slow_at_w), 0, at::barrier);
      case at::barrier:
        if (is(mutant::no_barrier)) return pass_to(at::see_call);
        if (!drained()) return went::nowhere;
        s_.memory.barrier();
        return go(at::see_call);
      case at::see_call: {
        const std::uint8_t call = load(theirs(call_w));
        const bool of_call = is_call(t_.seen);
        t_.yes = call == t_.seen || (of_call && is(mutant::no_second_look_at_call)) ||
                 (of_call && is_call(call) && is(mutant::any_call)) || (!of_call && is(mutant::call_in_task));
        return go(t_.yes && !of_call ? at::see_current : at::decide);
      }
      case at::see_current:
        t_.yes = load(theirs(current_w)) != 0;
        return go(t_.yes && !is(mutant::no_second_look_at_slow_at) ? at::see_slow : at::decide);
      case at::see_slow:
        t_.yes = load(theirs(slow_at_w)) == 0;
        return go(at::decide);
      case at::decide: {
        if (!may_exchange(theirs(hold_w), !is(mutant::relaxed_take))) return went::nowhere;
        std::uint8_t& hold = s_.memory.word[theirs(hold_w)];
        if (hold != doubted) return put_back();
        hold = t_.yes ? lost : held;
        if (!t_.yes) return put_back();
        check(s_.owner == t_.other, "a slot is taken from who does not hold it");
        s_.owner = nobody;
        return go(changes() ? at::move : at::pass);
      }
      case at::move: return store(slots_w, t_.spare + 1U, at::pass, true);
      case at::pass: return store(of(t_.spare, granted_w), 1, at::pass_from);
      case at::pass_from: {
        const went how = store(of(t_.spare, from_w), t_.other + 1U, at::look, !is(mutant::relaxed_pass));
        if (how == went::on) t_.seen = t_.spare = t_.other = t_.yes = false;
        return how;
      }
      // want()
      case at::want_fence:
        if (!drained() && !is(mutant::no_fence_in_want)) return went::nowhere;
        return pass_to(load(wanted_w) == 0 ? at::want_slots : at::fill);
      case at::want_slots:
        t_.other = load(slots_w);
        return go(t_.other != 0 ? at::want_unpark : at::fill);
      case at::want_unpark: {
        const std::uint8_t permit = of(t_.other - 1U, permit_w);
        if (!may_exchange(permit, true)) return went::nowhere;
        s_.memory.word[permit] = 1;
        t_.other = 0;
        return go(at::fill);
      }
      case at::fill:
        if (load(wanted_w) == 0 || load(slots_w) != 0) return choice_ == 0 ? go(at::look) : went::nowhere;
        return serve(choice_);
      // pause()
      case at::doze_barrier:
        if (!drained()) return went::nowhere;
        if (!is(mutant::no_barrier_before_doze)) s_.memory.barrier();
        return go(is(mutant::doze_without_look) ? at::dozing : changes() ? at::doze_lacking : at::doze_look);
      case at::doze_lacking:
        if (is(mutant::no_look_for_lacking)) return pass_to(at::doze_look);
        return go(load(wanted_w) != 0 && load(slots_w) == 0 ? at::doze_wake : at::doze_look);
      case at::doze_look: return is_call(load(theirs(call_w))) ? go(at::doze_hold) : look_at_next();
      case at::doze_hold: return load(theirs(hold_w)) != lost ? go(at::doze_wake) : look_at_next();
      case at::doze_wake:
        if (!may_exchange(dog_w)) return went::nowhere;
        s_.memory.word[dog_w] = 0;
        t_.other = 0;
        return go(at::look);
      case at::dozing:
        if (choice_ == 1 ? s_.dozes == 0 : load(dog_w) != 0) return went::nowhere;
        return go(changes() ? at::fill : at::look);
      default: return went::nowhere;
    }
  }
  // Of is_needed().
  went look_at_next() {
    t_.other = static_cast<std::uint8_t>(1 - t_.other);
    return go(t_.other == 0 ? at::dozing : at::doze_look);
  }

  [[nodiscard]] bool changes() const { return of_.plays.changes != 0; }
  // Of fill_slots(): where no spare waits yet, one comes.
  went serve(unsigned by) {
    if ((s_.spares & bit(by)) == 0 || !may_take_lock()) return went::nowhere;
    drop(s_.spares, bit(by));
    t_.other = t_.spare = static_cast<std::uint8_t>(by);
    return go(at::move);
  }

  went look() {
    if (choice_ >= 7) {
      if (!changes()) return went::nowhere;
      const std::uint8_t wanted = load(wanted_w);
      if (choice_ >= 9) return wanted != 0 && load(slots_w) == 0 ? serve(choice_ - 9) : went::nowhere;
      if (s_.changes == 0 || wanted != (choice_ == 7 ? 1 : 0)) return went::nowhere;
      const went how = store(wanted_w, 1U - wanted, at::want_fence);
      if (how == went::on) s_.changes--;
      return how;
    }
    if (choice_ == 6) {
      if (s_.dozes == 0) return went::nowhere;
      const bool dozes_on = s_.memory.word[dog_w] != 0;
      if (!dozes_on && !may_exchange(dog_w)) return went::nowhere;
      s_.dozes--;
      s_.memory.word[dog_w] = 1;
      t_.other = 0;
      return go(dozes_on ? at::dozing : at::doze_barrier);
    }
    const unsigned whose = choice_ % 2;
    const std::uint8_t spare = bit(1 - whose);
    const std::uint8_t hold = load(of(whose, hold_w));
    if (choice_ >= 4) {
      if (hold != lost || is(mutant::no_surrender_in_look)) return went::nowhere;
      t_.other = static_cast<std::uint8_t>(whose);
      return go(at::slice);
    }
    if ((s_.spares & spare) == 0 || !may_take_lock()) return went::nowhere;
    if (s_.memory.word[of(whose, hold_w)] != held || !may_exchange(of(whose, hold_w))) return went::nowhere;
    const std::uint8_t call = load(of(whose, call_w));
    if (is_call(call) != (choice_ < 2)) return went::nowhere;
    if (!is_call(call) && !is_stuck(whose)) {
      if (s_.early == 0) return went::nowhere;
      s_.early--;
    }
    s_.memory.word[of(whose, hold_w)] = doubted;
    drop(s_.spares, spare);
    t_.seen = call;
    t_.other = static_cast<std::uint8_t>(whose);
    t_.spare = static_cast<std::uint8_t>(1 - whose);
    return go(at::doubt_slow);
  }
  went put_back() {
    s_.spares |= bit(t_.spare);
    t_.seen = t_.spare = t_.other = t_.yes = false;
    return go(at::look);
  }

  const setup& of_;
  state& s_;
  const unsigned me_;
  const std::uint8_t me8_;
  const unsigned choice_;
  thread_state& t_;
  const char* broken_ = nullptr;
  steps took_;
};

}  // namespace levity::detail::watchdog_model
