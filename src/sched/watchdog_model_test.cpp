// The protocol by which the watchdog takes a slot from under a task or a call (watchdog.hpp), in all orders of all its steps.
//
// Why: its errors need three threads within nanoseconds of each other. One was met by thinking alone (call_stored_back below), and
// not once in runs of the program itself.
//
// What is modelled. Workers A, who holds the only slot at first, and B, a spare, and the watchdog. Each step of a thread is one
// access to shared memory; `at` lists them by the functions of worker.cpp, deque.hpp and watchdog.cpp in which they stand. Stores
// go into a buffer of the thread, which sees its own ones first:
//
//   tso    the oldest leaves first; exchanges and fences wait until all have left. As x86.
//   weak   any may leave before older ones of other words, but a release only after all older ones. A release exchange, a full
//          fence and the exchange on top_, which is seq_cst, wait for all; other exchanges for stores of their own word.
//
// The barrier of the process empties the buffers of all at one point. Each worker has one deque, which knows no thieves; what all
// share is one set. A fair turn may be due at any time. A doubt is raised whenever the watchdog likes, as often as the scene says,
// and without limit for a task that is stuck; a call may be found slow as soon as it is seen, for between two of its looks a worker
// may be held up anywhere. A scene says what tasks do.
//
// What has to hold, in each state that can be reached:
//
//   who acts outside a task (pops, looks at the shared queue or at the guest) holds the slot: `owner`, moved by the exchange that
//       decides and by take_over()
//   a slot is taken from its holder, and has one at a time
//   no task is queued or run twice
//   end_call() says that the slot was kept only if it was: who is told so goes on in place
//   begin_call() fails only inside a task: the guest's has a slot
//   what goes with a slot has been written when it is taken over
//   from here the end of all tasks can be reached
//
// What is not: loads that are made late (an acquire that is missing is not found), what reactor and guest hold, threads that are
// born or end, parking and the search for thieves, pinned tasks, the second deque, deques that overflow. At most five stores of a
// thread are under way. That the model is the program is a matter of reading: who changes the protocol changes both.
//
// Weakenings. Each has to break what it is said to break, or the model would prove nothing. A new one: a word in `mutant`,
// `is(...)` where the step differs, a line in weakenings() with the scene that shows it. LEVITY_MODEL_TRACE=1 prints a shortest way
// to what breaks.
//
// Not needed, see not_needed(): the release of take_slot_from_task(), E362, for it writes nothing between its
// barrier, a full fence, and the exchange; and that of take_slot(), E362, for who finds `lost` in a call asks call_ by an exchange,
// and of two exchanges that expect the same value one fails. Without in_call in the watchdog's look, or with begin_call()'s look
// before its store, only the word of end_call() breaks: the worker learns of its loss at the next look at slow_at_, no task
// suffers. The full fence of begin_call() is for E180 alone: E360 bears a compiler's, and without a doze nothing breaks (a real
// doze ends after doze_ns; the model's lasts until somebody wakes it).

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "levity/base/atomic.hpp"

// Under ThreadSanitizer, which has nothing to see in one thread, it would take minutes.
#if !defined(LEVITY_TSAN)

namespace {

constexpr unsigned workers = 2;
constexpr unsigned dog = 2;  // the watchdog's thread
constexpr unsigned threads = 3;
constexpr unsigned tasks_max = 4;
constexpr unsigned ring = 4;      // slots of a deque
constexpr unsigned buffered = 5;  // stores that a thread may have under way
constexpr std::uint8_t nobody = 0xff;

enum class memory : std::uint8_t { tso, weak };

enum class mutant : std::uint8_t {
  none,
  no_barrier,                 // in take_slot_from_task()
  no_second_look_at_slow_at,  // after it
  no_look_for_a_call,         // after it
  slice_without_hold,         // take_slice() does not ask whether the slot is lost
  no_drain_lock,
  keeps_by_load,              // keeps_slot() takes `doubted` for held, without an exchange
  no_surrender_in_look,
  call_stored_back,           // begin_call() undoes its mark by a store
  call_taken_in_silence,      // take_slot() does not say so in hold_
  look_before_end_of_task,    // leave_task() without its compiler fence
  look_before_call,           // begin_call() asks for the slot, then marks the call
  look_before_idle_home,      // stay_at_idle_home() without its compiler fence
  no_fence_in_call,           // of the processor
  relaxed_enter_task,         // E361 in run_task()
  relaxed_enter_call,         // E182 in begin_call()
  relaxed_pass,               // E183 in pass_slot()
  relaxed_unlock,             // E363 in take_over()
  relaxed_take_of_task,       // E362 in take_slot_from_task()
  relaxed_take_of_call,       // E362 in take_slot()
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
  bool oldest = false;               // a fair turn may take the oldest task
};

// Of each worker; the last one of all is the watchdog's state_.
enum word : std::uint8_t {
  hold_w, call_w, slow_at_w, current_w, lock_w, from_w, granted_w, top_w, bottom_w, slot_w, words = slot_w + ring
};
constexpr std::uint8_t dog_w = workers * words;
constexpr std::uint8_t held = 0, doubted = 1, lost = 2;
constexpr std::uint8_t in_call = 1, taken = 2;
constexpr unsigned call_one = 4;
constexpr std::uint8_t later = 1;  // of slow_at_, which is 0 or lies ahead

constexpr std::uint8_t of(unsigned worker, unsigned which) { return static_cast<std::uint8_t>(worker * words + which); }

// Where a thread stands: the access to shared memory that it makes next.
enum class at : std::uint8_t {
  // Between two tasks.
  next, pop, pop_bottom, slowly, keeps, keeps_exchange, kept, lose_call, lose_hold, lose_slow, loop, set_slow, oldest,
  oldest_top, shared, idle,
  // Inside one, or in a call.
  enter, run, push_bottom, leave, leave_early_look, leave_late, begin, begin_late, fence, call_back, declined, notice, wake,
  calling, end_call, after_call, stay, stay_late, stay_sleep, stay_leave,
  // Tasks and slots move to another worker.
  offer, granted, over_slow, over_lock, over_hold, over_unlock, over_push, over_bottom, slice, slice_hold, slice_top, slice_bottom,
  slice_take, slice_unlock, deliver,
  // The watchdog.
  look, call_taken, call_hold, pass, pass_from, doubt_slow, barrier, see_current, see_slow, see_call, decide, doze_fence,
  doze_look, doze_wake, dozing,
};
constexpr std::array names = {
  "next_task: looks at slow_at_", "pop: top_", "pop: bottom_", "next_task_slowly", "keeps_slot: looks at hold_",
  "keeps_slot: doubted -> held", "keeps_slot: is answered", "lose_slot: call_", "lose_slot: hold_", "lose_slot: slow_at_",
  "next_ready: looks at slow_at_", "next_ready: slow_at_ anew", "fair_turn: the oldest", "pop_oldest: top_",
  "shared_task: injected", "sleep",
  "run_task: current_", "the task", "push: bottom_", "leave_task: current_", "next_task: looks at slow_at_, early",
  "leave_task: current_, late", "begin_call: call_", "begin_call: call_, late", "begin_call: fence", "begin_call: call_ back",
  "begin_call: false", "notice: looks at state_", "notice: wakes", "the call", "end_call: call_", "queue_after_call",
  "stay_at_idle_home: current_", "stay_at_idle_home: current_, late", "would_sleep: slow_at_", "leave_home: current_",
  "offer_spare", "await_slot: granted_from_", "take_over: slow_at_", "take_over: drain_lock_", "take_over: hold_",
  "take_over: drain_lock_ back", "take_over: push", "take_over: push, bottom_", "take_slice: drain_lock_",
  "take_slice: looks at hold_", "take_from_absent: looks at top_", "take_from_absent: looks at bottom_", "take_from_absent: top_",
  "take_slice: drain_lock_ back", "surrender: injected",
  "look", "take_slot: call_", "take_slot: hold_", "pass_slot: granted_", "pass_slot: granted_from_",
  "take_slot_from_task: slow_at_", "take_slot_from_task: barrier", "take_slot_from_task: looks at current_",
  "take_slot_from_task: looks at slow_at_", "take_slot_from_task: looks at call_", "take_slot_from_task: hold_", "pause: fence",
  "is_needed: looks at call_", "pause: wakes", "pause: dozes",
};
static_assert(names.size() == static_cast<std::size_t>(at::dozing) + 1);

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
  // Stores that nobody else sees yet, oldest first.
  std::uint8_t stores = 0;
  std::uint8_t releases = 0;  // a bit each
  std::array<std::uint8_t, buffered> to{};
  std::array<std::uint8_t, buffered> value{};
  bool operator==(const thread_state&) const = default;
};

struct state {
  std::array<std::uint8_t, workers * words + 1> memory{};
  // Behind locks; a bit for each task, or worker.
  std::uint8_t injected = 0;
  std::uint8_t pooled = 0;  // of those: they wait for a call that the pool makes
  std::uint8_t spares = 0;
  // Seen by nobody but the checks.
  std::uint8_t owner = 0;     // who holds the slot
  std::uint8_t started = 0;   // tasks that run, or have run
  std::uint8_t finished = 0;  // and those that are over
  // What the scene allows still.
  std::uint8_t early = 0;
  std::uint8_t guest_calls = 0;
  std::uint8_t dozes = 0;
  std::array<std::uint8_t, tasks_max> step{};  // of each task
  std::array<thread_state, threads> thread{};
  bool operator==(const state&) const = default;
};
static_assert(std::has_unique_object_representations_v<state>);

// What may break.
constexpr const char* acts = "who does not hold the slot acts outside a task";
constexpr const char* twice = "a task is run twice";
constexpr const char* never = "some task never runs";
constexpr const char* kept_not = "end_call() says that the slot was kept, and it was not";
constexpr const char* refused = "begin_call() fails outside a task";
constexpr const char* unwritten = "granted_ is read before it is written";

struct setup {
  const scene& plays;
  memory on = memory::tso;
  mutant with = mutant::none;
};

using steps = std::bitset<names.size()>;

// How many ways there are to go on from here.
constexpr unsigned choices(at pc) {
  switch (pc) {
    case at::next:
    case at::set_slow:
    case at::idle: return 2;
    case at::look: return 7;
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

  std::uint8_t load(std::uint8_t from) const {
    for (unsigned i = t_.stores; i-- > 0;) {
      if (t_.to[i] == from) return t_.value[i];
    }
    return s_.memory[from];
  }
  went store(std::uint8_t to, unsigned value, at then, bool release = false) {
    if (t_.stores == buffered) return went::nowhere;
    t_.to[t_.stores] = to;
    t_.value[t_.stores] = static_cast<std::uint8_t>(value);
    if (release) t_.releases = static_cast<std::uint8_t>(t_.releases | 1U << t_.stores);
    t_.stores++;
    return go(then);
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
  [[nodiscard]] bool drained() const { return t_.stores == 0; }
  // Whether an exchange of this word, which is relaxed or acquires but for `release`, may be made now.
  [[nodiscard]] bool may_exchange(std::uint8_t of_word, bool release) const {
    if (of_.on == memory::tso || release) return drained();
    return std::find(t_.to.begin(), t_.to.begin() + t_.stores, of_word) == t_.to.begin() + t_.stores;
  }
  [[nodiscard]] bool may_take_lock() const { return of_.on != memory::tso || drained(); }
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
  [[nodiscard]] std::uint8_t ready() const {
    std::uint8_t found = 0;
    for (unsigned task = 0; task < of_.plays.tasks.size(); task++) {
      if ((s_.injected & bit(task)) == 0) continue;
      if ((s_.pooled & bit(task)) == 0 || over(next_of(static_cast<std::uint8_t>(task)).task)) found |= bit(task);
    }
    return found;
  }
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
        if (!may_exchange(mine(hold_w), false)) return went::nowhere;
        std::uint8_t& hold = s_.memory[mine(hold_w)];
        if (hold == doubted) hold = held;
        t_.yes = hold == held;
        return go(at::kept);
      }
      case at::kept:
        switch (t_.back) {
          case at::slowly: return pass_to(t_.yes ? at::loop : at::lose_call);
          case at::stay: return pass_to(t_.yes ? at::stay_sleep : at::stay_leave);
          case at::stay_late: return store(mine(current_w), 0, t_.yes ? at::stay_sleep : at::stay_leave);
          case at::begin_late: return pass_to(t_.yes ? at::begin_late : at::declined);
          default: return pass_to(t_.yes ? at::notice : at::call_back);
        }
      // lose_slot()
      case at::lose_call: return store(mine(call_w), load(mine(call_w)) & ~unsigned{in_call | taken}, at::lose_hold);
      case at::lose_hold: return store(mine(hold_w), lost, at::lose_slow);
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
        return go(load(mine(slow_at_w)) == 0 || t_.due ? at::set_slow : at::pop);
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
      case at::shared: {
        if (!may_take_lock()) return went::nowhere;
        check_owner();
        const std::uint8_t some = ready();
        if (some == 0) return go(at::idle);
        t_.task = static_cast<std::uint8_t>(std::countr_zero(some));
        drop(s_.injected, bit(t_.task));
        if ((s_.pooled & bit(t_.task)) != 0) s_.step[t_.task]++;
        drop(s_.pooled, bit(t_.task));
        return go(at::enter);
      }
      case at::idle:
        if (choice_ == 0) return ready() != 0 ? go(at::loop) : went::nowhere;
        if (s_.guest_calls == 0) return went::nowhere;
        s_.guest_calls--;
        return go(at::begin);
      default: return went::nowhere;
    }
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
        if (is(mutant::look_before_call)) {
          t_.back = at::begin_late;
          return pass_to(at::keeps);
        }
        t_.seen = load(mine(call_w));
        return store(mine(call_w), t_.seen + call_one + in_call, at::fence, !is(mutant::relaxed_enter_call));
      case at::begin_late:
        return store(mine(call_w), load(mine(call_w)) + call_one + in_call, at::fence, true);
      case at::fence:
        if (!is(mutant::no_fence_in_call) && !drained()) return went::nowhere;
        if (is(mutant::look_before_call)) return go(at::notice);
        t_.back = at::fence;
        return go(at::keeps);
      case at::call_back: {
        if (is(mutant::call_stored_back)) return store(mine(call_w), t_.seen, at::declined);
        if (!may_exchange(mine(call_w), false)) return went::nowhere;
        std::uint8_t& call = s_.memory[mine(call_w)];
        const bool is_ours = call == t_.seen + call_one + in_call;
        if (is_ours) call = t_.seen;
        return go(is_ours ? at::declined : at::notice);
      }
      // The pool makes the call, the task waits for it.
      case at::declined:
        if (!drained()) return went::nowhere;
        check(t_.task != nobody, refused);
        if (t_.task == nobody) return go(at::loop);
        inject(bit(t_.task));
        s_.pooled |= bit(t_.task);
        drop(s_.started, bit(t_.task));
        t_.task = nobody;
        return go(at::leave);
      case at::notice:
        if (of_.plays.dozes == 0) return pass_to(at::calling);
        return go(load(dog_w) != 0 ? at::wake : at::calling);
      case at::wake:
        if (!may_exchange(dog_w, false)) return went::nowhere;
        s_.memory[dog_w] = 0;
        return go(at::calling);
      case at::calling:
        if (t_.task != nobody && !over(next_of(t_.task).task)) return went::nowhere;
        return pass_to(at::end_call);
      case at::end_call: {
        if (!may_exchange(mine(call_w), false)) return went::nowhere;
        std::uint8_t& call = s_.memory[mine(call_w)];
        if ((call & taken) != 0) return go(at::lose_call);
        check(s_.owner == me_, kept_not);
        call = static_cast<std::uint8_t>(call - in_call);
        forget();
        if (t_.task == nobody) return go(at::loop);
        s_.step[t_.task]++;
        return go(at::run);
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

  went move() {
    switch (t_.pc) {
      // await_slot()
      case at::offer:
        if (!drained()) return went::nowhere;
        s_.spares |= bit(me_);
        return go(at::granted);
      case at::granted:
        if (s_.memory[mine(from_w)] == 0 || !may_exchange(mine(from_w), false)) return went::nowhere;
        t_.other = static_cast<std::uint8_t>(s_.memory[mine(from_w)] - 1);
        s_.memory[mine(from_w)] = 0;
        check(load(mine(granted_w)) == 1, unwritten);
        s_.memory[mine(granted_w)] = 0;
        check(s_.owner == nobody, "a slot has two holders");
        s_.owner = me8_;
        t_.has_slot = true;
        t_.due = false;
        return go(at::over_slow);
      // take_over()
      case at::over_slow: return store(mine(slow_at_w), later, is(mutant::no_drain_lock) ? at::over_hold : at::over_lock);
      case at::over_lock:
        if (s_.memory[mine(lock_w)] != 0 || !may_exchange(mine(lock_w), false)) return went::nowhere;
        s_.memory[mine(lock_w)] = 1;
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
        if (s_.memory[theirs(lock_w)] != 0 || !may_exchange(theirs(lock_w), false)) return went::nowhere;
        s_.memory[theirs(lock_w)] = 1;
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
        if (!drained()) return went::nowhere;
        std::uint8_t& top = s_.memory[theirs(top_w)];
        if (top == t_.seen) {
          top++;
          t_.list |= bit(t_.task);
        }
        t_.task = nobody;
        return go(at::slice_top);
      }
      case at::slice_unlock: {
        const at then = t_.list != 0 ? at::deliver : me_ == dog ? at::look : t_.other == me_ ? at::offer : at::loop;
        t_.seen = 0;
        if (is(mutant::no_drain_lock)) return pass_to(then);
        return store(theirs(lock_w), 0, then, true);
      }
      case at::deliver:
        if (me_ != dog && t_.other != me_) return pass_to(at::over_push);
        if (!drained()) return went::nowhere;
        inject(t_.list);
        t_.list = 0;
        return go(at::slice);
      default: return went::nowhere;
    }
  }

  went watch() {
    switch (t_.pc) {
      // look()
      case at::look: return look();
      // take_slot()
      case at::call_taken: {
        if (!may_exchange(theirs(call_w), false)) return went::nowhere;
        std::uint8_t& call = s_.memory[theirs(call_w)];
        if (call != t_.seen) return put_back();
        call |= taken;
        return take(at::call_hold);
      }
      case at::call_hold:
        if (is(mutant::call_taken_in_silence)) return pass_to(at::pass);
        return store(theirs(hold_w), lost, at::pass, !is(mutant::relaxed_take_of_call));
      case at::pass: return store(of(t_.spare, granted_w), 1, at::pass_from);
      case at::pass_from: {
        const went how = store(of(t_.spare, from_w), t_.other + 1U, at::look, !is(mutant::relaxed_pass));
        if (how == went::on) t_.seen = t_.spare = t_.other = t_.yes = false;
        return how;
      }
      // take_slot_from_task()
      case at::doubt_slow: return store(theirs(slow_at_w), 0, at::barrier);
      case at::barrier:
        if (is(mutant::no_barrier)) return pass_to(at::see_current);
        if (!drained()) return went::nowhere;
        for (thread_state& each : s_.thread) {
          for (unsigned i = 0; i < each.stores; i++) s_.memory[each.to[i]] = each.value[i];
          each.to.fill(0);
          each.value.fill(0);
          each.stores = each.releases = 0;
        }
        return go(at::see_current);
      case at::see_current:
        t_.yes = load(theirs(current_w)) != 0;
        return go(!t_.yes ? at::decide : is(mutant::no_second_look_at_slow_at) ? at::see_call : at::see_slow);
      case at::see_slow:
        t_.yes = load(theirs(slow_at_w)) == 0;
        return go(t_.yes ? at::see_call : at::decide);
      case at::see_call:
        if (is(mutant::no_look_for_a_call)) return pass_to(at::decide);
        t_.yes = (load(theirs(call_w)) & in_call) == 0;
        return go(at::decide);
      case at::decide: {
        if (!may_exchange(theirs(hold_w), !is(mutant::relaxed_take_of_task))) return went::nowhere;
        std::uint8_t& hold = s_.memory[theirs(hold_w)];
        if (hold != doubted) return put_back();
        hold = t_.yes ? lost : held;
        return t_.yes ? take(at::pass) : put_back();
      }
      // pause()
      case at::doze_fence:
        if (!drained()) return went::nowhere;
        t_.other = 0;
        return go(at::doze_look);
      case at::doze_look:
        if ((load(theirs(call_w)) & (in_call | taken)) == in_call) return go(at::doze_wake);
        if (t_.other == 1) {
          t_.other = 0;
          return go(at::dozing);
        }
        t_.other = 1;
        return went::on;
      case at::doze_wake:
        if (!may_exchange(dog_w, false)) return went::nowhere;
        s_.memory[dog_w] = 0;
        t_.other = 0;
        return go(at::look);
      case at::dozing: return load(dog_w) == 0 ? go(at::look) : went::nowhere;
      default: return went::nowhere;
    }
  }

  went look() {
    if (choice_ == 6) {
      if (s_.dozes == 0 || !may_exchange(dog_w, false)) return went::nowhere;
      s_.dozes--;
      s_.memory[dog_w] = 1;
      return go(at::doze_fence);
    }
    const unsigned whose = choice_ % 2;
    const std::uint8_t spare = bit(1 - whose);
    const std::uint8_t hold = load(of(whose, hold_w));
    if (choice_ >= 4) {
      if (hold != lost || is(mutant::no_surrender_in_look)) return went::nowhere;
      t_.other = static_cast<std::uint8_t>(whose);
      return go(at::slice);
    }
    if ((s_.spares & spare) == 0 || !may_take_lock() || hold == lost) return went::nowhere;
    if (choice_ < 2) {
      const std::uint8_t call = load(of(whose, call_w));
      if ((call & (in_call | taken)) != in_call) return went::nowhere;
      t_.seen = call;
      t_.pc = at::call_taken;
    } else {
      if (!may_exchange(of(whose, hold_w), false) || s_.memory[of(whose, hold_w)] != held) return went::nowhere;
      if (!is_stuck(whose)) {
        if (s_.early == 0) return went::nowhere;
        s_.early--;
      }
      s_.memory[of(whose, hold_w)] = doubted;
      t_.pc = at::doubt_slow;
    }
    drop(s_.spares, spare);
    t_.other = static_cast<std::uint8_t>(whose);
    t_.spare = static_cast<std::uint8_t>(1 - whose);
    return went::on;
  }
  went take(at then) {
    check(s_.owner == t_.other, "a slot is taken from who does not hold it");
    s_.owner = nobody;
    return go(then);
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

struct verdict {
  const char* broken = nullptr;
  std::size_t states = 0;
  std::vector<std::string> trace;
  steps took;  // by some thread
};

/// All that can happen, in order of the number of steps.
class explorer {
public:
  explicit explorer(const setup& of) : of_(of) {}

  verdict explore() {
    begin();
    for (std::size_t i = 0; i < states_.size(); i++) {
      const char* const broken = each_after(i, [this, i](const state& next) { add(next, i); });
      if (broken != nullptr) return {broken, states_.size(), trace(last_), took_};
    }
    const std::size_t trapped = first_that_never_ends();
    if (trapped == none) return {nullptr, states_.size(), {}, took_};
    return {never, states_.size(), trace(trapped), took_};
  }

private:
  static constexpr std::uint32_t none = 0xffff'ffff;

  [[nodiscard]] std::uint8_t all() const { return static_cast<std::uint8_t>((1U << of_.plays.tasks.size()) - 1); }

  void begin() {
    table_.assign(1U << 16, none);
    state first;
    std::uint8_t bottom = 0;
    for (const std::uint8_t task : of_.plays.queued) first.memory[of(0, slot_w + bottom++)] = task;
    first.memory[of(0, bottom_w)] = bottom;
    first.memory[of(0, slow_at_w)] = later;
    first.memory[of(1, hold_w)] = lost;
    first.early = static_cast<std::uint8_t>(of_.plays.early);
    first.guest_calls = static_cast<std::uint8_t>(of_.plays.guest_calls);
    first.dozes = static_cast<std::uint8_t>(of_.plays.dozes);
    first.thread[0].has_slot = true;
    first.thread[1].pc = at::loop;
    first.thread[dog].pc = at::look;
    add(first, 0);
  }

  // What is broken on the way, if anything.
  template <class Each>
  const char* each_after(std::size_t number, Each&& each) {
    for (unsigned thread = 0; thread < threads; thread++) {
      for (unsigned choice = 0; choice < choices(states_[number].thread[thread].pc); choice++) {
        state next = states_[number];
        stepper goes(of_, next, thread, choice);
        if (goes.step()) each(next);
        took_ |= goes.took();
        if (goes.broken() != nullptr) return goes.broken();
      }
      for (unsigned entry = 0; entry < buffered; entry++) {
        state next = states_[number];
        if (leaves(next, next.thread[thread], entry)) each(next);
      }
    }
    return nullptr;
  }

  // A store becomes visible.
  bool leaves(state& on, thread_state& from, unsigned entry) const {
    if (entry >= from.stores || (of_.on == memory::tso && entry != 0)) return false;
    if (entry != 0 && (from.releases >> entry & 1U) != 0) return false;
    for (unsigned i = 0; i < entry; i++) {
      if (from.to[i] == from.to[entry]) return false;
    }
    on.memory[from.to[entry]] = from.value[entry];
    const unsigned before = from.releases & ((1U << entry) - 1);
    from.releases = static_cast<std::uint8_t>(before | (from.releases >> (entry + 1) << entry));
    for (unsigned i = entry; i + 1 < from.stores; i++) {
      from.to[i] = from.to[i + 1];
      from.value[i] = from.value[i + 1];
    }
    from.stores--;
    from.to[from.stores] = from.value[from.stores] = 0;
    return true;
  }

  static std::size_t hash(const state& of) {
    std::array<std::uint64_t, (sizeof(state) + 7) / 8> text{};
    std::memcpy(text.data(), &of, sizeof of);
    std::uint64_t sum = 0;
    for (const std::uint64_t each : text) sum = (std::rotl(sum, 23) ^ each) * 0x9e37'79b9'7f4a'7c15U;
    return sum ^ sum >> 29;
  }

  void add(const state& next, std::size_t parent) {
    if (2 * states_.size() > table_.size()) grow();
    std::size_t i = hash(next) & (table_.size() - 1);
    while (table_[i] != none && !(states_[table_[i]] == next)) i = (i + 1) & (table_.size() - 1);
    if (table_[i] == none) {
      table_[i] = static_cast<std::uint32_t>(states_.size());
      states_.push_back(next);
      parents_.push_back(static_cast<std::uint32_t>(parent));
    }
    last_ = table_[i];
    edges_.emplace_back(last_, static_cast<std::uint32_t>(parent));
  }

  void grow() {
    table_.assign(2 * table_.size(), none);
    for (std::uint32_t number = 0; number < states_.size(); number++) {
      std::size_t i = hash(states_[number]) & (table_.size() - 1);
      while (table_[i] != none) i = (i + 1) & (table_.size() - 1);
      table_[i] = number;
    }
  }

  // From where no way leads to the end of all tasks.
  std::size_t first_that_never_ends() {
    std::vector<std::uint32_t> begins(states_.size() + 1);
    for (const auto& edge : edges_) begins[edge.first + 1]++;
    for (std::size_t i = 1; i < begins.size(); i++) begins[i] += begins[i - 1];
    std::vector<std::uint32_t> sources(edges_.size());
    std::vector<std::uint32_t> filled = begins;
    for (const auto& edge : edges_) sources[filled[edge.first]++] = edge.second;
    std::vector<bool> ends(states_.size());
    std::vector<std::uint32_t> open;
    for (std::uint32_t i = 0; i < states_.size(); i++) {
      if (states_[i].finished == all()) {
        ends[i] = true;
        open.push_back(i);
      }
    }
    while (!open.empty()) {
      const std::uint32_t i = open.back();
      open.pop_back();
      for (std::uint32_t k = begins[i]; k < begins[i + 1]; k++) {
        if (ends[sources[k]]) continue;
        ends[sources[k]] = true;
        open.push_back(sources[k]);
      }
    }
    const auto first = std::find(ends.begin(), ends.end(), false);
    return first == ends.end() ? none : static_cast<std::size_t>(first - ends.begin());
  }

  std::vector<std::string> trace(std::size_t number) {
    std::vector<std::size_t> way{number};
    while (way.back() != 0) way.push_back(parents_[way.back()]);
    std::reverse(way.begin(), way.end());
    std::vector<std::string> lines;
    for (std::size_t i = 0; i + 1 < way.size(); i++) lines.push_back(difference(states_[way[i]], states_[way[i + 1]]));
    return lines;
  }

  static std::string difference(const state& before, const state& after) {
    constexpr std::array thread_names = {"A", "B", "watchdog"};
    constexpr std::array word_names = {"hold_", "call_", "slow_at_", "current_", "drain_lock_", "granted_from_", "granted_",
                                       "top_", "bottom_", "slot 0", "slot 1", "slot 2", "slot 3"};
    static_assert(word_names.size() == words);
    std::string line = "?";
    for (unsigned i = 0; i < threads; i++) {
      const thread_state& was = before.thread[i];
      if (was == after.thread[i]) continue;
      if (was.pc == after.thread[i].pc && after.thread[i].stores < was.stores) {
        line = std::string(thread_names[i]) + ": a store becomes visible";
      } else {
        line = std::string(thread_names[i]) + ": " + names[static_cast<std::size_t>(was.pc)];
        if (was.task != nobody) line += " (task " + std::to_string(was.task) + ")";
      }
      if (was.pc != at::barrier || i == dog) break;
    }
    if (before.thread[dog].pc == at::barrier && after.thread[dog].pc != at::barrier) line = "watchdog: barrier";
    for (unsigned i = 0; i < before.memory.size(); i++) {
      if (before.memory[i] == after.memory[i]) continue;
      line += i == dog_w ? "  state_" : std::string("  ") + (i < words ? "A." : "B.") + word_names[i % words];
      line += " = " + std::to_string(after.memory[i]);
    }
    return line;
  }

  const setup of_;
  std::vector<state> states_;
  std::vector<std::uint32_t> parents_;  // on a shortest way
  std::vector<std::uint32_t> table_;  // by hash
  steps took_;
  std::uint32_t last_ = 0;            // the state that was reached last
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;  // reached, from
};

const std::vector<op> plain;

const scene stuck{.name = "a_stuck_task", .tasks = {{push(1), wait_here_for(1)}, plain}, .queued = {0}, .early = 1};
const scene tasks{.name = "tasks", .tasks = {plain, plain}, .queued = {0, 1}, .early = 1};
const scene fair{.name = "fair_turns", .tasks = {plain, plain}, .queued = {0, 1}, .early = 1, .oldest = true};
const scene there_and_back{.name = "there_and_back", .tasks = {plain, plain}, .queued = {0, 1}, .early = 2};
const scene idle_home{.name = "an_idle_home", .tasks = {{look_at_guest}}, .queued = {0}, .early = 1};
const scene guest{.name = "a_guest", .tasks = {plain}, .queued = {0}, .early = 1, .guest_calls = 1};
const scene call{.name = "a_call", .tasks = {{quick_call}}, .queued = {0}, .early = 1};
const scene calls{.name = "calls", .tasks = {{push(1), call_that_waits_for(1)}, {quick_call}}, .queued = {0}};
const scene slow_call{.name = "a_slow_call", .tasks = {{push(1), call_that_waits_for(1)}, plain}, .queued = {0}, .early = 1};
const scene doze{.name = "a_doze", .tasks = {{push(1), call_that_waits_for(1)}, plain}, .queued = {0}, .dozes = 1};

struct run {
  std::string name;
  setup of;
  const char* breaks = nullptr;
};

void PrintTo(const run& what, std::ostream* to) { *to << what.name; }

std::vector<run> promises() {
  std::vector<run> all;
  for (const scene* each : {&stuck, &tasks, &idle_home, &guest, &call, &calls}) {
    all.push_back({std::string(each->name) + "_weak", {*each, memory::weak}});
  }
  for (const scene* each : {&stuck, &tasks, &fair, &there_and_back, &idle_home, &guest, &call, &calls, &slow_call, &doze}) {
    all.push_back({each->name, {*each}});
  }
  return all;
}

std::vector<run> weakenings() {
  return {
    {"no_barrier", {tasks, memory::tso, mutant::no_barrier}, acts},
    {"no_second_look_at_slow_at", {tasks, memory::tso, mutant::no_second_look_at_slow_at}, acts},
    {"no_look_for_a_call", {call, memory::tso, mutant::no_look_for_a_call}, kept_not},
    {"slice_without_hold", {stuck, memory::tso, mutant::slice_without_hold}, twice},
    {"no_drain_lock", {stuck, memory::tso, mutant::no_drain_lock}, twice},
    {"keeps_by_load", {tasks, memory::tso, mutant::keeps_by_load}, acts},
    {"no_surrender_in_look", {stuck, memory::tso, mutant::no_surrender_in_look}, never},
    {"call_stored_back", {calls, memory::tso, mutant::call_stored_back}, acts},
    {"call_of_a_guest_stored_back", {guest, memory::tso, mutant::call_stored_back}, refused},
    {"call_taken_in_silence", {calls, memory::tso, mutant::call_taken_in_silence}, never},
    {"look_before_end_of_task", {tasks, memory::tso, mutant::look_before_end_of_task}, acts},
    {"look_before_call", {call, memory::tso, mutant::look_before_call}, kept_not},
    {"look_before_idle_home", {idle_home, memory::tso, mutant::look_before_idle_home}, acts},
    {"no_fence_in_call", {doze, memory::tso, mutant::no_fence_in_call}, never},
    {"relaxed_enter_task", {stuck, memory::weak, mutant::relaxed_enter_task}, twice},
    {"relaxed_enter_task_in_a_fair_turn", {fair, memory::weak, mutant::relaxed_enter_task}, acts},
    {"relaxed_enter_call", {calls, memory::weak, mutant::relaxed_enter_call}, twice},
    {"relaxed_pass", {stuck, memory::weak, mutant::relaxed_pass}, unwritten},
    {"relaxed_unlock", {stuck, memory::weak, mutant::relaxed_unlock}, twice},
  };
}

std::vector<run> not_needed() {
  return {
    {"relaxed_take_of_task", {tasks, memory::weak, mutant::relaxed_take_of_task}},
    {"relaxed_take_of_call", {calls, memory::weak, mutant::relaxed_take_of_call}},
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
  for (const scene* each : {&stuck, &fair, &idle_home, &guest, &call, &calls, &doze}) took |= explorer({*each}).explore().took;
  for (const at mutants : {at::leave_early_look, at::leave_late, at::begin_late, at::stay_late}) {
    took.set(static_cast<std::size_t>(mutants));
  }
  for (unsigned i = 0; i < names.size(); i++) EXPECT_TRUE(took[i]) << "nobody takes the step " << names[i];
}

INSTANTIATE_TEST_SUITE_P(scenes, watchdog_model, testing::ValuesIn(promises()), name_of);
INSTANTIATE_TEST_SUITE_P(not_needed, watchdog_model, testing::ValuesIn(not_needed()), name_of);
INSTANTIATE_TEST_SUITE_P(by, watchdog_model_weakened, testing::ValuesIn(weakenings()), name_of);

}  // namespace

#endif
