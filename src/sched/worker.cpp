#include "sched/worker.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <type_traits>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/pin.hpp"
#include "levity/task/yield.hpp"
#include "platform/lock_counting.hpp"
#include "platform/process_barrier.hpp"
#include "sched/scheduler.hpp"
#include "task/lock_check.hpp"

namespace levity::inline v0::detail {

constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]] = nullptr;

worker::worker(scheduler& owner, unsigned number, slot holds, std::uint64_t seed)
    : owner_(owner), idle_(owner.idle), alone_(owner.size() == 1),
      sets_aside_(!alone_ && prepare_process_barrier()), seeded_(owner.seeded()), index_(holds.index),
      has_slot_(holds.home != nullptr), is_offered_(!has_slot_), random_(seed), number_(number),
      hold_(has_slot_ ? hold::held : hold::lost), home_(holds.home), woken_(!alone_), fresh_(!alone_) {}

namespace {

// Gives a task that has none its record.
task_record& record_for(ready_task* task, std::uint32_t id) noexcept {
  return is_frame(task) ? enter_fresh(frame_of(task), id, coarse_now_ms()) : record_of(task);
}

// Makes the calling thread a worker's for a while.
class presence {
public:
  presence(worker& here, executor& runs, time_source* time)
      : outer_time_(exchange_time_source(time)), outer_run_(std::exchange(this_run, run_state{})),
        outer_worker_(std::exchange(this_worker, &here)) {
    this_run.stack_low = static_cast<const char*>(__builtin_frame_address(0)) - worker::stack_bytes_for_transfers;
    this_run.exec = &runs;
    keep_buffers();
  }
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;
  ~presence() {
    if (this_run.blank != nullptr) frame_free(this_run.blank, sizeof(task_record));
    if (magazine_.is_outermost) flush_buffers();
    this_worker = outer_worker_;
    this_run = outer_run_;
    exchange_time_source(outer_time_);
  }

private:
  frame_magazine_scope magazine_;
  time_source* outer_time_;
  run_state outer_run_;
  worker* outer_worker_;
};

}  // namespace

void worker::run() {
#if defined(LEVITY_CHECK_LOCKS)
  count_locks();
#endif
  const presence here(*this, owner_, owner_.seeded() ? &home() : nullptr);
  run_state& run = this_run;
  const thread_sign thread = thread_sign::here();
  thread_id_.store(thread.id, std::memory_order_relaxed);
  thread_clock_.store(thread.clock, std::memory_order_relaxed);
  if (has_slot_) {
    owner_.settle_at(index_);
    note_time(home().now_ns());
  } else {
    slow_at_.store(0, std::memory_order_relaxed);  // next_task() asks for a slot first
  }
  if (seeded_) {
    while (ready_task* task = next_task_slowly(run)) run_ready(run, task);
  } else {
    while (ready_task* task = next_task(run)) run_ready(run, task);
  }
  stand_idle(run);
}

// Between two turns the worker counts as asleep in its reactor: who wakes it rings that, and the caller sees its descriptor.
bool worker::turn(unsigned tasks_max) noexcept {
  const presence here(*this, owner_, nullptr);
  run_state& run = this_run;
  if (std::exchange(asleep_, false)) {
    home().wheel.end_wait();
    parker_.finish();
    searching_ = !idle_.leave(index());
  }
  poll_now(home().now_ns());
  bool more = true;
  for (unsigned count = 0; more && count < tasks_max; count++) {
    settle_ends(run);
    ready_task* task = next_ready(run);
    if (task == nullptr) {
      poll_now(home().now_ns());
      task = next_ready(run);
    }
    if (task != nullptr) run_ready(run, task);
    more = task != nullptr;
  }
  settle_ends(run);
  stand_idle(run);
  if (searching_) end_search();
  asleep_ = true;
  idle_.enter(index(), false);
  home().wake_at(home().wheel.begin_wait());
  const bool work = owner_.work_visible() || !pinned_.empty_approx();
  if (!parker_.prepare(true) || work) home().ring();
  return owner_.stopping();
}

[[gnu::always_inline]] inline void worker::run_ready(run_state& run, ready_task* task) noexcept {
  if (is_frame(task)) {
    run_fresh(run, frame_of(task));
  } else {
    run_task(run, record_of(task));
  }
}

[[gnu::always_inline]] inline void worker::resume(run_state& run, std::coroutine_handle<> frame) noexcept {
  {
    [[maybe_unused]] const watched_run watched{};
    frame.resume();
    while (run.bounced) std::exchange(run.bounced, {}).resume();
  }
  if (task_record* ended = std::exchange(run.ended_root, nullptr)) end_task(run, *ended);
  leave_task(run);
}

// From here on nobody takes the slot before we have looked at it (E360). The task may be gone or run elsewhere by now.
[[gnu::always_inline]] inline void worker::leave_task(run_state& run) noexcept {
  run.current = nullptr;  // what is settled before the next task belongs to none
  current_.store(nullptr, std::memory_order_relaxed);
  tasks_run_.store(tasks_run_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  compiler_fence();  // E360: the order of these and the look at slow_at_ in next_task(), for the watchdog's barrier.
}

[[gnu::always_inline]] inline void worker::show(const task_record& task, std::uint64_t id) noexcept {
  runs_id_.store(id, std::memory_order_relaxed);
  runs_name_.store(task.name, std::memory_order_relaxed);
  runs_site_.store(std::bit_cast<const void*>(task.site), std::memory_order_relaxed);
}

[[gnu::always_inline]] inline void worker::run_task(run_state& run, task_record& task) noexcept {
  run.current = &task;
  run.budget = task_budget;
  show(task, task.id | has_waited_bit);
  current_.store(&task, std::memory_order_release);  // E361 release.
  if (waiter* waited = task.waits_on; waited != nullptr && waited->reason->settle != nullptr) {
    if (!waited->reason->settle(*waited, task)) return leave_task(run);
  }
  task.waits_on = nullptr;
  resume(run, task.leaf);
}

[[gnu::always_inline]] inline void worker::run_fresh(run_state& run, std::coroutine_handle<> root) noexcept {
  if (run.blank == nullptr) run.blank = new (frame_allocate(sizeof(task_record))) task_record;
  task_record& task = *run.blank;
  if (run.id_next == run.id_end) [[unlikely]] refill_ids(run);
  become(task, root, run.id_next++, run.coarse_ms);
  show(task, task.id);
  run.current = &task;
  run.budget = task_budget;
  current_.store(&task, std::memory_order_release);  // E361 release.
  resume(run, root);
}

void worker::stand_idle(run_state& run) noexcept {
  current_.store(nullptr, std::memory_order_relaxed);
  runs_id_.store(0, std::memory_order_relaxed);
  run.current = nullptr;
}

// Whoever runs a task does not search, wherever it came from: a token kept while it runs would keep others asleep.
[[gnu::always_inline]] inline ready_task* worker::next_task(run_state& run) noexcept {
  if (tasks_run_.load(std::memory_order_relaxed) < slow_at_.load(std::memory_order_relaxed)) [[likely]] {
    LEVITY_DEBUG_ASSERT(!searching_, "who runs tasks does not search");
    if (ready_task* task = own_task(run)) [[likely]] return task;
  }
  return next_task_slowly(run);
}

// Ends that were put off are settled before anything runs but one more sibling: a parent that they wake goes first, and its
// frame away.
[[gnu::always_inline]] inline ready_task* worker::own_task(run_state& run) noexcept {
  // Whom the last of them was waited for by is next anyway. Not by way of the deque, unless there is news for who falls asleep:
  // then a pop with its fence comes first (offer_rest).
  if (run.ended_scope != nullptr && run.ended_scope->awaits_only(run.ended_count) && (alone_ || !has_news())) {
    task_record* joined = nullptr;
    settle_ends(run, &joined);
    if (joined != nullptr) [[likely]] {
      if (!alone_ && has_news()) [[unlikely]] {  // the end of a value that tasks inherit may wake others
        full_fence();  // E14.
        offer_rest();
      }
      return as_ready(joined);
    }
  }
  ready_task* task = as_ready(woken_.pop());
  if (task != nullptr) {
    if (run.ended_scope != nullptr) [[unlikely]] settle_ends(run);
  } else {
    task = fresh_.pop(sets_aside_ && !idle_.short_of_work_approx());
    const bool sibling = task != nullptr && (run.ended_scope == nullptr || scope_of(task) == run.ended_scope);
    if (!sibling) [[unlikely]] {
      task = task_after_settling(run, task);
      if (task == nullptr) return nullptr;
    }
  }
  if (!alone_) offer_rest();
  return task;
}

// `fresh`, if there is one, is next, unless the ends that are settled here wake a task.
ready_task* worker::task_after_settling(run_state& run, ready_task* fresh) noexcept {
  settle_ends(run);
  if (woken_.size_approx() == 0) return fresh;
  if (fresh != nullptr) push_quietly(fresh_, *fresh);
  return as_ready(woken_.pop());
}

ready_task* worker::next_task_slowly(run_state& run) noexcept {
  if (has_slot_ && !keeps_slot()) [[unlikely]] lose_slot();
  for (;;) {
    settle_ends(run);
    if (!has_slot_) {
      if (ready_task* pinned = await_slot(run)) return pinned;
      if (!has_slot_) return nullptr;
    }
    ready_task* task = seeded_ ? seeded_task() : next_ready(run);
    poll_guest* guest = home().guest;
    const bool waits = guest != nullptr && guest->has_waiting();
    if (task != nullptr) {
      if (!alone_) {
        full_fence();  // E14: as the one that a pop has; a fair turn has none.
        offer_rest();
      }
      if (waits) guest->hand_over();
      if (searching_) end_search();
      return task;
    }
    if (owner_.stopping()) return nullptr;
    stand_idle(run);
    if (waits) {
      begin_for_guest();
    } else {
      sleep();
    }
  }
}

bool worker::would_sleep() noexcept {
  if (has_work_approx() || !pinned_.empty_approx() || owner_.work_visible()) return false;
  slow_at_.store(0, std::memory_order_relaxed);  // the next task is asked for in next_task_slowly()
  return true;
}

bool worker::stay_at_idle_home() noexcept {
  current_.store(nullptr, std::memory_order_relaxed);
  compiler_fence();  // E360: as between two tasks.
  if (has_slot_ && keeps_slot() && would_sleep()) return true;
  leave_home();
  return false;
}

void worker::leave_home() noexcept {
  current_.store(this_run.current, std::memory_order_release);  // E361 release.
}

// A call that may block, as those of tasks: when it lasts, the slot goes to a spare, and with it all that the guest has in flight.
void worker::begin_for_guest() noexcept {
  poll_guest& guest = *home().guest;
  if (pins_ != 0 || !owner_.guard.is_ready()) return guest.hand_over();
  if (searching_) end_search();
  guest.prepare();
  begun_ = &guest;
  const bool begun = begin_call();
  LEVITY_ASSERT(begun, "a slot is not taken from who runs no task");
  guest.enter();
  if (!end_call()) lose_slot();
}

ready_task* worker::next_ready(run_state& run) noexcept {
  const std::uint64_t count = tasks_run_.load(std::memory_order_relaxed);
  if (count >= slow_at_.load(std::memory_order_relaxed)) {
    slow_at_.store(count + fair_period, std::memory_order_relaxed);
    if (ready_task* task = fair_turn()) return task;
  }
  if (ready_task* task = own_task(run)) return task;
  task_record* pinned = nullptr;
  if (pinned_.take(&pinned, 1) == 1) return as_ready(pinned);
  if (ready_task* task = shared_task()) return task;
  return search();
}

// Others may have what is behind the newest task.
void worker::offer() noexcept {
  if (idle_.wanting_approx() && woken_.size_approx() + fresh_.size_approx() > 1) owner_.wake_one();
}

// After a pop: a fence (E12) stands between our pushes before it and this look (E14). A pop without one follows no push.
inline void worker::offer_rest() noexcept {
  if (idle_.wanting_approx() && has_work_approx()) [[unlikely]] owner_.wake_one_fenced();
}

// The last searcher passes the search on, if there is anything left to find.
void worker::end_search() noexcept {
  searching_ = false;
  if (!idle_.end_search()) return;
  full_fence();  // E14: the token is gone before we look; who pushed and saw it was too early to be seen.
  if (owner_.work_visible()) owner_.wake_one();
}

// A seeded run: every ready task is a candidate, the seed picks.
ready_task* worker::seeded_task() noexcept {
  // Timers and events come first, so that virtual time never stands still under a task that is always ready.
  if (--until_poll_ == 0) {
    until_poll_ = fair_period;
    poll_home(home().now_ns());
  }
  while (task_record* task = woken_.pop()) candidates_.push_back(as_ready(task));
  while (ready_task* task = fresh_.pop()) candidates_.push_back(task);
  task_record* shared;
  while (pinned_.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  while (owner_.injected.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  while (owner_.spilled.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  if (candidates_.empty()) return nullptr;
  const auto pick = static_cast<std::size_t>(random_.below(candidates_.size()));
  std::swap(candidates_[pick], candidates_.back());
  ready_task* task = candidates_.back();
  candidates_.pop_back();
  return task;
}

ready_task* worker::fair_turn() noexcept {
  const std::int64_t now_ns = home().now_ns();
  note_time(now_ns);
  if (now_ns - polled_ns_ >= poll_period_ns) poll_home(now_ns);
  // In turns, so that an endless stream of one kind keeps no other waiting.
  constexpr unsigned kinds = 4;
  for (unsigned i = 0; i < kinds; i++) {
    const unsigned kind = turn_;
    turn_ = (turn_ + 1) % kinds;
    task_record* woken = nullptr;
    ready_task* fresh = nullptr;
    switch (kind) {
      case 0: woken = take_shared(owner_.injected, woken_); break;
      case 1: woken = woken_.steal(); break;
      case 2: pinned_.take(&woken, 1); break;
      default: fresh = fair_fresh(now_ns);
    }
    if (woken != nullptr) return as_ready(woken);
    if (fresh != nullptr) return fresh;
  }
  return nullptr;
}

ready_task* worker::fair_fresh(std::int64_t now_ns) noexcept {
  const std::int64_t oldest = fresh_.oldest_approx();
  if (oldest != oldest_fresh_ && owner_.spilled.empty_approx()) {
    oldest_fresh_ = oldest;
    fresh_due_ns_ = now_ns + fresh_age_ns;
  } else if (now_ns >= fresh_due_ns_) {
    fresh_due_ns_ = now_ns + fresh_age_ns;
    task_record* task = nullptr;
    if (owner_.spilled.take(&task, 1) == 1) return as_ready(task);
    return fresh_.steal();
  }
  return fresh_.pop();
}

// Polls without waiting and fires what is due.
void worker::poll_home(std::int64_t now_ns) noexcept {
  if (home().endpoints_approx() > 0 || home().guest != nullptr || owner_.seeded()) {
    poll_now(now_ns);
  } else {
    polled_ns_ = now_ns;
    fire_due(now_ns);
  }
}

void worker::poll_now(std::int64_t now_ns) noexcept {
  polled_ns_ = now_ns;
  {
    poll_lease lease(home().lease);
    if (lease.held()) home().poll(lease, 0, batch_);
  }
  fire_due(now_ns);
}

void worker::fire_due(std::int64_t now_ns) noexcept {
  while (home().wheel.expire(now_ns, batch_)) queue_batch();
  queue_batch();
}

ready_task* worker::shared_task() noexcept {
  task_record* task = take_shared(owner_.injected, woken_);
  return as_ready(task != nullptr ? task : take_shared(owner_.spilled, fresh_));
}

// One shared task to run; a fair share of the others comes along into the own deque.
template <class Deque>
task_record* worker::take_shared(inject_queue& from, Deque& rest) noexcept {
  if (from.empty_approx()) return nullptr;
  constexpr std::int64_t most = 128;
  task_record* taken[most];
  const std::int64_t share = from.size_approx() / owner_.size() + 1;
  const std::int64_t room = Deque::capacity - rest.size_approx();
  const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(std::min(share, room), 1, most));
  const std::size_t count = from.take(taken, wanted);
  if (count == 0) return nullptr;
  for (std::size_t i = count; i-- > 1;) {
    if constexpr (std::is_same_v<Deque, deque>) {
      push_quietly(rest, *taken[i]);
    } else {
      push_quietly(rest, *as_ready(taken[i]));
    }
  }
  if (!from.empty_approx()) owner_.wake_one();
  return taken[0];
}

ready_task* worker::search() noexcept {
  const unsigned workers = owner_.size();
  if (workers == 1) return nullptr;
  if (!searching_) searching_ = idle_.start_search(workers);
  if (!searching_) return nullptr;
  ready_task* found = nullptr;
  const auto begin_at = [this](unsigned of) { return random_.below(of); };
  owner_.victims.visit(index(), begin_at, [this, &found](unsigned at) {
    worker& victim = owner_.at(at);
    found = as_ready(steal_from(victim.woken_, woken_));
    if (found == nullptr) found = steal_from(victim.fresh_, fresh_);
    return found != nullptr;
  });
  if (found == nullptr) found = shared_task();
  if (found != nullptr) return found;
  owner_.victims.visit(index(), begin_at, [this, &found](unsigned at) {
    worker& victim = owner_.at(at);
    if (!victim.fresh_.keeps_aside_approx()) return false;
    victim.fresh_.open();
    found = steal_from(victim.fresh_, fresh_);
    return found != nullptr;
  });
  return found;
}

// Half of what the victim has, one by one: each steal stands for itself. The first one is to be run.
template <class T>
T* worker::steal_from(basic_deque<T>& theirs, basic_deque<T>& ours) noexcept {
  constexpr std::int64_t most = 32;
  T* found = nullptr;
  for (std::int64_t wanted = std::min<std::int64_t>((theirs.size_approx() + 1) / 2, most); wanted > 0; wanted--) {
    T* task = theirs.steal();
    if (task == nullptr) break;
    if (found == nullptr) {
      found = task;
    } else {
      push_quietly(ours, *task);
    }
  }
  return found;
}

void worker::sleep() noexcept {
  idle_.enter(index(), std::exchange(searching_, false));
  if (owner_.work_visible() || !pinned_.empty_approx() || owner_.stopping()) {
    searching_ = !idle_.leave(index());
    notice_work();
    return;
  }
  // After a crowd has left, what the magazine holds keeps memory that nobody uses: with nothing to do for a while it is given
  // back. Where no crowd was, the sleep has no end of its own.
  std::int64_t tidy_ns = timer_wheel::never_ns;
  if (tidying_) {
    tidy_ns = 0;  // no sleep, but a look at what has come meanwhile between two slices
  } else if (!seeded_ && magazine_is_scattered()) {
    tidy_ns = home().now_ns() + tidy_after_ns;
  }
  {
    poll_lease lease(home().lease);
    if (lease.held()) {
      const std::int64_t due_ns = std::min(home().wheel.begin_wait(), tidy_ns);
      if (parker_.prepare(true)) home().poll(lease, due_ns, batch_);
      home().wheel.end_wait();
    } else if (parker_.prepare(false)) {
      parker_.wait();
    }
  }
  parker_.finish();
  searching_ = !idle_.leave(index());  // who claimed us gave us a search token
  notice_work();
  const std::int64_t now_ns = home().now_ns();
  note_time(now_ns);
  polled_ns_ = now_ns;
  if (now_ns >= tidy_ns) {
    flush_magazine();
    flush_buffers();
    keep_buffers();
    tidying_ = tidy_frames();
  }
  fire_due(now_ns);
}

// Somebody is to watch over the tasks that come now.
void worker::notice_work() noexcept {
  full_fence();  // E180: a watchdog that falls asleep sees that we are awake, or we see that it sleeps.
  owner_.guard.notice_work();
}

// False: the slot was taken already, from under the task.
bool worker::begin_call() noexcept {
  fresh_.publish();
  const std::uint64_t before = call_.load(std::memory_order_relaxed);
  // E182 release: what we leave behind, for who takes our slot.
  call_.store(before + call_one + in_call_bit, std::memory_order_release);
  // E180: the call is seen by a watchdog that falls asleep, or we see that it sleeps. E360: and by one that takes slots from under
  // tasks, or we see its doubt.
  full_fence();
  if (!keeps_slot()) [[unlikely]] {
    // From under the task; or from under this call already, for who is held up right here looks slow: then end_call() finds it.
    std::uint64_t call = before + call_one + in_call_bit;
    if (call_.compare_exchange_strong(call, before, std::memory_order_relaxed, std::memory_order_relaxed)) return false;
  }
  owner_.guard.notice();
  return true;
}

// True: we have kept the slot.
bool worker::end_call() noexcept {
  std::uint64_t call = call_.load(std::memory_order_relaxed) & ~taken_bit;
  return call_.compare_exchange_strong(call, call - in_call_bit, std::memory_order_relaxed, std::memory_order_relaxed);
}

bool worker::take_slot(std::uint64_t call) noexcept {
  // E182 acquire: what the worker left behind when it entered the call.
  if (!call_.compare_exchange_strong(call, call | taken_bit, std::memory_order_acquire, std::memory_order_relaxed)) return false;
  hold_.store(hold::lost, std::memory_order_release);  // E362 release: that it went from under this call.
  return true;
}

bool worker::take_slot_from_task() noexcept {
  hold seen = hold::held;
  if (!hold_.compare_exchange_strong(seen, hold::doubted, std::memory_order_relaxed, std::memory_order_relaxed)) return false;
  slow_at_.store(0, std::memory_order_relaxed);
  process_barrier();  // E360: whoever has passed its look at slow_at_ is seen here to be outside a task.
  // A worker that has set slow_at_ anew did so before it entered the task in which we see it: it would not come by here.
  const bool in_task = current_.load(std::memory_order_acquire) != nullptr &&  // E361 acquire.
                       slow_at_.load(std::memory_order_relaxed) == 0 && !in_call_approx();
  seen = hold::doubted;
  const hold wanted = in_task ? hold::lost : hold::held;
  // E362 release. What the worker makes of `doubted` in the meantime counts.
  return hold_.compare_exchange_strong(seen, wanted, std::memory_order_release, std::memory_order_relaxed) && in_task;
}

// Whoever is here is not stuck.
bool worker::keeps_slot() noexcept {
  hold seen = hold_.load(std::memory_order_acquire);  // E362 acquire.
  // E362 acquire. A doubt may be over by itself, too.
  if (seen == hold::doubted &&
      hold_.compare_exchange_strong(seen, hold::held, std::memory_order_acquire, std::memory_order_acquire)) {
    return true;
  }
  return seen == hold::held;
}

void worker::lose_slot() noexcept {
  call_.store(call_.load(std::memory_order_relaxed) & ~(in_call_bit | taken_bit), std::memory_order_relaxed);
  hold_.store(hold::lost, std::memory_order_relaxed);
  has_slot_ = false;
  slow_at_.store(0, std::memory_order_relaxed);  // next_task() asks for a slot first
}

// A few at a time: what becomes of them takes locks of its own.
template <class T>
std::size_t worker::take_slice(basic_deque<T>& from, std::array<T*, 64>& into, std::size_t most) noexcept {
  std::size_t count = 0;
  const std::lock_guard guarded{drain_lock_};  // E363.
  if (hold_.load(std::memory_order_relaxed) != hold::lost) return 0;
  while (count < std::min(most, into.size())) {
    T* task = from.take_from_absent();
    if (task == nullptr) break;
    into[count++] = task;
  }
  return count;
}

// Oldest first, and no more than is there now: a task may push without end.
template <class Woken, class Fresh>
bool worker::drain(Woken&& woken, Fresh&& fresh) noexcept {
  const bool any = drain(woken_, woken);
  return drain(fresh_, fresh) || any;
}

template <class T, class Take>
bool worker::drain(basic_deque<T>& from, Take& take) noexcept {
  std::array<T*, 64> slice;
  auto left = static_cast<std::size_t>(from.size_approx());
  bool any = false;
  while (const std::size_t count = take_slice(from, slice, left)) {
    take(slice.data(), count);
    left -= count;
    any = true;
  }
  return any;
}

bool worker::surrender() noexcept {
  return drain([this](task_record** woken, std::size_t count) { owner_.injected.push_all(woken, count); },
               [this](ready_task** fresh, std::size_t count) {
                 std::array<task_record*, 64> entered;
                 for (std::size_t i = 0; i < count; i++) entered[i] = &record_for(fresh[i], owner_.reserve_task_ids(1));
                 owner_.spilled.push_all(entered.data(), count);
               });
}

worker::absence::absence() noexcept : here_(this_worker), exec_(this_run.exec), current_(this_run.current) {
  if (this_run.ended_scope != nullptr) settle_ends(this_run);
  this_run.exec = nullptr;
  this_run.current = nullptr;
  this_worker = nullptr;
}

worker::absence::~absence() {
  this_run.exec = exec_;
  this_run.current = current_;
  this_worker = here_;
}

bool worker::enter_call() noexcept {
  // Also when the slot and the guest are another's now.
  if (has_begun()) [[unlikely]] return false;
  if (pins_ != 0 || !has_slot_ || !owner_.guard.is_ready()) return false;
  run_state& run = this_run;
  if (run.ended_scope != nullptr) settle_ends(run);
  task_record* const current = run.current;
  run.exec = nullptr;
  run.current = nullptr;
  this_worker = nullptr;
  if (begin_call()) [[likely]] return true;
  run.exec = &owner_;
  run.current = current;
  this_worker = this;
  return false;
}

// Whoever took the slot wrote nothing that we read.
bool worker::leave_call(task_record& task, std::coroutine_handle<> leaf) noexcept {
  run_state& run = this_run;
  run.exec = &owner_;
  run.current = &task;
  this_worker = this;
  if (end_call()) [[likely]] {
    if (--run.budget >= 0) [[likely]] return true;
    yield_awaiter::suspend(leaf, task);
    return false;
  }
  lose_slot();
  note_wait(task, leaf, "after a blocking call");
  if (!task.entered) task.scope->enter(task);
  task.leaf = leaf;
  task.waits_on = nullptr;
  task.since_ms = coarse_now_ms() & 0x7fff'ffffu;
  run.current = nullptr;
  owner_.queue_after_call(task);  // from here on it may run elsewhere
  return false;
}

void worker::pass_slot(worker& spare) noexcept {
  spare.granted_ = {index_, &home()};
  spare.granted_from_.store(this, std::memory_order_release);  // E183 release.
  spare.unpark();
}

// A worker without a slot is a spare, or runs what is pinned to it. A task: it is pinned. Null: there is a slot, or nothing left to
// run, or no need of this thread for a while.
ready_task* worker::await_slot(run_state& run) noexcept {
  fresh_.publish();
  // What its last task left to others, and whom it woke. Nobody else may know of it yet.
  surrender();
  full_fence();  // E14.
  if (owner_.work_visible()) owner_.wake_one_fenced();
  bool tidy = false;
  for (;;) {
    task_record* pinned = nullptr;
    if (pinned_.take(&pinned, 1) == 1) {
      current_.store(pinned, std::memory_order_relaxed);  // for a watchdog that falls asleep
      notice_work();
      return as_ready(pinned);
    }
    if (!std::exchange(tidy, true)) {
      stand_idle(run);
      flush_magazine();
      flush_buffers();
      keep_buffers();
    }
    if (pins_ == 0 && !std::exchange(is_offered_, true)) owner_.guard.offer_spare(*this);
    if (worker* from = granted_from_.exchange(nullptr, std::memory_order_acquire)) {  // E183 acquire.
      is_offered_ = false;
      take_over(*from);
      return nullptr;
    }
    if (owner_.stopping()) return nullptr;
    bool idle_for_long = false;
    if (parker_.prepare(false)) idle_for_long = !parker_.wait_for(spare_idle_ns);
    parker_.finish();
    if (idle_for_long && pins_ == 0 && !has_begun() && owner_.end_spare(*this)) return nullptr;
  }
}

void worker::take_over(worker& from) noexcept {
  has_slot_ = true;
  index_ = granted_.index;
  home_.store(granted_.home, std::memory_order_relaxed);
  owner_.settle_at(index_);
  slow_at_.store(tasks_run_.load(std::memory_order_relaxed) + fair_period, std::memory_order_relaxed);
  {
    const std::lock_guard guarded{drain_lock_};  // E363: nobody moves our tasks any more; what they have left is ours.
    hold_.store(hold::held, std::memory_order_relaxed);
  }
  from.drain([this](task_record** woken, std::size_t count) {
    for (std::size_t i = 0; i < count; i++) push_quietly(woken_, *woken[i]);
  }, [this](ready_task** fresh, std::size_t count) {
    for (std::size_t i = 0; i < count; i++) push_quietly(fresh_, *fresh[i]);
  });
  const std::int64_t now_ns = home().now_ns();
  note_time(now_ns);
  poll_now(now_ns);
}

// What this thread has submitted and may be in flight completes on its account.
bool worker::has_begun() noexcept {
  if (begun_ == nullptr) [[likely]] return false;
  if (begun_->in_flight.load(std::memory_order_relaxed) != 0) return true;
  begun_ = nullptr;
  return false;
}

// Where others may take them, all before the first one runs; the first event on top.
void worker::queue_batch() noexcept {
  const std::size_t count = batch_.count;
  for (std::size_t i = count; i-- > 0;) {
    task_record& task = *batch_.records[i];
    if (const pin_context* pin = pin_of(task)) [[unlikely]] {
      pin->on->push_pinned(task);
    } else {
      push_quietly(woken_, task);
    }
  }
  batch_.count = 0;
  if (count > 1) owner_.wake_one();
}

void worker::overflow(task_record& task) noexcept {
  do {
    std::array<task_record*, deque::capacity / 2> older;
    owner_.injected.push_all(older.data(), woken_.take_half(older));
  } while (!woken_.push(task));
}

// What is queued elsewhere needs a record.
void worker::overflow(ready_task& task) noexcept {
  do {
    std::array<ready_task*, fresh_deque::capacity / 2> older;
    const std::size_t count = fresh_.take_half(older);
    std::array<task_record*, fresh_deque::capacity / 2> entered;
    for (std::size_t i = 0; i < count; i++) {
      entered[i] = &record_for(older[i], next_task_id());
    }
    owner_.spilled.push_all(entered.data(), count);
  } while (!fresh_.push(task));
}

void worker::push_pinned(task_record& task) noexcept {
  pinned_.push(task);
  // Only this worker may run it, so there is nobody to search: the permit is enough, asleep or not.
  if (this_worker != this) unpark();
}

void worker::unpark() noexcept {
  if (parker_.unpark()) home().ring();
}

void worker::note_time(std::int64_t now_ns) noexcept {
  this_run.coarse_ms = static_cast<std::uint32_t>(now_ns / 1'000'000);
}

std::uint32_t worker::next_task_id() noexcept {
  run_state& run = this_run;
  if (run.id_next == run.id_end) refill_ids(run);
  return run.id_next++;
}

void worker::refill_ids(run_state& run) noexcept {
  constexpr std::uint32_t block = 1024;
  run.id_next = owner_.reserve_task_ids(block);
  run.id_end = run.id_next + block;
}

std::optional<worker::running> worker::runs_approx() const noexcept {
  const std::uint64_t before = tasks_run_.load(std::memory_order_relaxed);
  const std::uint64_t id = runs_id_.load(std::memory_order_relaxed);
  const void* site = runs_site_.load(std::memory_order_relaxed);
  const running seen{static_cast<std::uint32_t>(id), runs_name_.load(std::memory_order_relaxed),
                     std::bit_cast<std::source_location>(site), (id & has_waited_bit) != 0};
  if (id == 0 || tasks_run_.load(std::memory_order_relaxed) != before) return std::nullopt;
  return seen;
}

}  // namespace levity::detail
