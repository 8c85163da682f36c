#include "sched/worker.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/pin.hpp"
#include "platform/lock_counting.hpp"
#include "platform/process_barrier.hpp"
#include "platform/thread_state.hpp"
#include "sched/scheduler.hpp"
#include "sched/stall_fault.hpp"
#include "task/lock_check.hpp"

namespace levity::inline v0::detail {

constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]] = nullptr;

worker::worker(scheduler& owner, unsigned number, slot holds, std::uint64_t seed)
    : owner_(owner), idle_(owner.idle), alone_(owner.size() == 1),
      sets_aside_(!alone_ && prepare_process_barrier()), seeded_(owner.seeded()), chooses_(owner.chooses()),
      budget_(chooses_ != nullptr && chooses_->detaches() ? 0 : task_budget), index_(holds.index),
      has_slot_(holds.home != nullptr), is_offered_(!has_slot_), random_(seed), number_(number),
      watched_(&owner.queues.of_slot(holds.index)), hold_(has_slot_ ? hold::held : hold::lost), home_(holds.home),
      queues_(watched_), woken_(!alone_), fresh_(!alone_) {}

namespace {

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
  thread_id_.store(0, std::memory_order_relaxed);  // it may be another one's soon
}

// Between two turns the worker counts as asleep in its reactor: who wakes it rings that, and the caller sees its descriptor.
bool worker::turn(unsigned tasks_max) noexcept {
  const presence here(*this, owner_, seeded_ ? &home() : nullptr);
  run_state& run = this_run;
  run.id_next = turn_id_next_;  // what the turn before has left
  run.id_end = turn_id_end_;
  if (std::exchange(asleep_, false)) {
    home().wheel.end_wait();
    parker_.finish();
    searching_ = !idle_.leave(index());
  }
  poll_now(home().now_ns());
  if (seeded_) note_time(home().now_ns());
  const auto next = [this, &run] { return seeded_ ? seeded_task() : next_ready(run); };
  bool more = true;
  for (unsigned count = 0; more && count < tasks_max; count++) {
    settle_ends(run);
    ready_task* task = next();
    if (task == nullptr) {
      poll_now(home().now_ns());
      task = next();
    }
    if (task != nullptr) run_ready(run, task);
    more = task != nullptr;
  }
  settle_ends(run);
  if (owner_.stopping()) make_left_calls();
  stand_idle(run);
  if (searching_) end_search();
  asleep_ = true;
  idle_.enter(index(), false);
  home().wake_at(home().wheel.begin_wait());
  const bool work = owner_.work_visible() || !pinned_.empty_approx() || !candidates_.empty() || !choices_.empty();
  if (!parker_.prepare(true) || work) home().ring();
  turn_id_next_ = run.id_next;
  turn_id_end_ = run.id_end;
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
  tasks_run_.store(tasks_run_.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // E381 release.
  compiler_fence();  // E360: the order of these and the look at slow_at_ in next_task(), for the watchdog's barrier.
}

[[gnu::always_inline]] inline void worker::show(const task_record& task, std::uint64_t id) noexcept {
  runs_id_.store(0, std::memory_order_relaxed);
  runs_name_.store(task.name, std::memory_order_release);                              // E381 release.
  runs_site_.store(std::bit_cast<const void*>(task.site), std::memory_order_release);  // E381 release.
  runs_id_.store(id, std::memory_order_release);                                       // E381 release.
}

[[gnu::always_inline]] inline void worker::run_task(run_state& run, task_record& task) noexcept {
  run.current = &task;
  run.budget = budget_;
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
  run.budget = budget_;
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
    if (has_slot_ && owner_.is_surplus(index_)) [[unlikely]] rest();
    if (!has_slot_) {
      if (ready_task* pinned = await_slot(run)) return pinned;
      if (!has_slot_) return nullptr;
      continue;  // the slot may be one too many by now, and who has told us so has been heard with who gave it
    }
    ready_task* task = seeded_ ? seeded_task() : next_ready(run);
    poll_guest* guest = home().guest;
    const bool waits = guest != nullptr && guest->has_waiting();
    if (task != nullptr) {
      if (!alone_) {
        full_fence();  // E14: as the one that a pop has; a fair turn has none.
        offer_rest();
      }
      goes_round_ = false;
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

ready_task* worker::next_ready(run_state& run) noexcept {
  const std::uint64_t count = tasks_run_.load(std::memory_order_relaxed);
  if (count >= slow_at_.load(std::memory_order_relaxed)) {
    std::uint64_t until_next = turns_round_ ? 2 : fair_period;
    if (stall_fault::is_installed()) [[unlikely]] until_next = stall_fault::strike(run);
    slow_at_.store(count + until_next, std::memory_order_relaxed);
    if (ready_task* task = fair_turn()) return task;
  }
  if (ready_task* task = own_task(run)) return task;
  task_record* pinned = nullptr;
  if (pinned_.take(&pinned, 1) == 1) return as_ready(pinned);
  if (ready_task* task = shared_task(queues())) return task;
  if (!owner_.cancelling.empty_approx()) {
    ready_task* task = fair_turn();
    return task != nullptr ? task : own_task(run);
  }
  if (ready_task* task = search()) return task;
  return shared_task_afar();  // there are tokens for few, and these are to be seen by whoever is about to sleep
}

// Others may have what is behind the newest task; all of it, if the task that runs here was replaced: into the deques of a worker
// without a slot nobody looks.
void worker::offer() noexcept {
  if (!idle_.wanting_approx()) return;
  const bool lost = without_slot_approx();
  if (lost ? surrender() : woken_.size_approx() + fresh_.size_approx() > 1) owner_.wake_one(queues());
}

// After a pop: a fence (E12) stands between our pushes before it and this look (E14). A pop without one follows no push.
inline void worker::offer_rest() noexcept {
  if (idle_.wanting_approx() && has_work_approx()) [[unlikely]] owner_.wake_one_fenced(queues());
}

// The last searcher passes the search on, if there is anything left to find.
void worker::end_search() noexcept {
  searching_ = false;
  if (!idle_.end_search()) return;
  full_fence();  // E14: the token is gone before we look; who pushed and saw it was too early to be seen.
  if (const shared_queues::of_node* there = owner_.work_visible()) owner_.wake_one(*there);
}

// A seeded run: every ready task is a candidate, the seed picks.
ready_task* worker::seeded_task() noexcept {
  // Timers and events come first, so that virtual time never stands still under a task that is always ready.
  if (--until_poll_ == 0) {
    until_poll_ = fair_period;
    poll_home(home().now_ns());
  }
  if (chooses_ != nullptr) return chosen_task();
  while (task_record* task = woken_.pop()) candidates_.push_back(as_ready(task));
  while (ready_task* task = fresh_.pop()) candidates_.push_back(task);
  task_record* shared;
  while (pinned_.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  while (queues().injected.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  while (queues().spilled_woken.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  while (queues().spilled.take(&shared, 1) == 1) candidates_.push_back(as_ready(shared));
  if (candidates_.empty()) return nullptr;
  const auto pick = static_cast<std::size_t>(random_.below(candidates_.size()));
  home().trace(std::uint64_t{candidates_.size()} << 32 | pick);
  std::swap(candidates_[pick], candidates_.back());
  ready_task* task = candidates_.back();
  candidates_.pop_back();
  return task;
}

ready_task* worker::chosen_task() noexcept {
  for (;;) {
    gather_choices();
    if (choices_.empty()) return nullptr;
    const auto picked = choices_.begin() + static_cast<std::ptrdiff_t>(chooses_->pick(choices_));
    const ready_choice next = *picked;
    choices_.erase(picked);
    if (next.call == nullptr) return as_ready(next.task);
    const absence from_here;
    next.call->run(*next.call);  // wakes its task, if that still waits for it
  }
}

// What tasks have made ready since the last time, in the order in which it came: whom they woke, whom they spawned, who yielded.
// All of them with a record, so that each has its number from here on.
void worker::gather_choices() noexcept {
  const auto add = [this](task_record& task) { choices_.push_back({&task, nullptr, task.id}); };
  const auto known = static_cast<std::ptrdiff_t>(choices_.size());
  while (task_record* task = woken_.pop()) add(*task);
  std::reverse(choices_.begin() + known, choices_.end());  // the newest one came first; of a crowd let go at once, the oldest
  while (ready_task* task = fresh_.pop()) candidates_.push_back(task);
  for (; !candidates_.empty(); candidates_.pop_back()) add(record_for(candidates_.back(), next_task_id()));
  task_record* shared;
  while (pinned_.take(&shared, 1) == 1) add(*shared);
  while (queues().spilled_woken.take(&shared, 1) == 1) add(*shared);
  while (queues().spilled.take(&shared, 1) == 1) add(*shared);
  while (queues().injected.take(&shared, 1) == 1) add(*shared);
}

// Events and timers, behind what tasks have made ready before.
void worker::choose_among_batch() noexcept {
  gather_choices();
  for (std::size_t i = 0; i < batch_.count; i++) choices_.push_back({batch_.records[i], nullptr, batch_.records[i]->id});
  batch_.count = 0;
}

// The tasks are over, and these calls were left behind. Who runs on until nothing is ready has made them.
void worker::make_left_calls() noexcept {
  for (const ready_choice& left : choices_) {
    LEVITY_ASSERT(left.call != nullptr, "a run ends when no task is ready");
    const absence from_here;
    left.call->run(*left.call);
  }
  choices_.clear();
}

// The budget counts on below zero: a task that never waits is set aside at last, as without a chooser.
bool worker::goes_on() noexcept {
  const run_state& run = this_run;
  if (budget_ != 0 || run.budget < -task_budget) return false;
  return !could_be_overtaken() || !chooses_->sets_aside(run.current->id);
}

bool worker::puts_off(blocking_job& call) noexcept {
  const task_record* const task = this_run.current;
  if (task == nullptr || budget_ != 0 || !could_be_overtaken() || !chooses_->sets_aside(task->id)) return false;
  chooses_->gives_way(task->id);
  gather_choices();  // whom the task has made ready before
  choices_.push_back({nullptr, &call, task->id});
  return true;
}

bool worker::could_be_overtaken() noexcept {
  return !choices_.empty() || !pinned_.empty_approx() || owner_.work_visible() != nullptr;
}

// Polls without waiting and fires what is due.
void worker::poll_home(std::int64_t now_ns) noexcept {
  home().wheel.end_wait();  // of who has polled here meanwhile: who is awake needs no ring
  if (home().endpoints_approx() > 0 || home().guest != nullptr || owner_.seeded() || attends()) {
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
  poll_resting();
  fire_due(now_ns);
}

void worker::fire_due(std::int64_t now_ns) noexcept {
  const auto fire = [this, now_ns](reactor& timers) {
    while (timers.wheel.expire(now_ns, batch_)) queue_batch();
  };
  fire(home());
  if (attends()) owner_.each_resting(fire);
  queue_batch();
}

// The worker of slot 0 sees to the reactors of slots at rest.
bool worker::attends() const noexcept { return index_ == 0 && owner_.attends(); }

void worker::poll_resting() noexcept {
  if (!attends()) return;
  home().news.take([this](unsigned number) {
    if (owner_.holder(number) != nullptr) return;  // no longer at rest
    reactor& resting = owner_.reactor_at(number);
    queue_batch();
    const poll_lease lease(resting.lease);
    if (!lease.held()) return;  // in service again
    resting.poll(lease, 0, batch_);
    if (batch_.room() < 2 || (resting.guest != nullptr && resting.guest->has_more())) home().news.put(number);
  });
}

// When a timer is due, or there is something to poll already.
std::int64_t worker::begin_wait() noexcept {
  std::int64_t due_ns = home().wheel.begin_wait();
  if (!attends()) return due_ns;
  owner_.each_resting([&due_ns](reactor& resting) { due_ns = std::min(due_ns, resting.wheel.begin_wait()); });
  return home().news.empty_approx() ? due_ns : 0;
}

void worker::sleep() noexcept {
  idle_.enter(index(), std::exchange(searching_, false));
  if (owner_.work_visible() || !pinned_.empty_approx() || owner_.stopping()) {
    searching_ = !idle_.leave(index());
    notice_work();
    // Once in vain is bad luck. Twice, and who has what is to be seen is at it: it may have the search token, without which we may
    // not steal from it, and wait for the very processor on which we go round.
    if (std::exchange(goes_round_, true)) give_way();
    return;
  }
  goes_round_ = false;
  // After a crowd has left, what the magazine holds keeps memory that nobody uses: with nothing to do for a while it is given
  // back. Where no crowd was, the sleep has no end of its own.
  std::int64_t tidy_ns = timer_wheel::never_ns;
  if (tidying_) {
    tidy_ns = 0;  // no sleep, but a look at what has come meanwhile between two slices
  } else if (!seeded_ && magazine_is_scattered()) {
    tidy_ns = home().now_ns() + tidy_after_ns;
  }
  {
    const poll_lease lease = poll_lease::for_wait(home().lease);
    const std::int64_t due_ns = std::min(begin_wait(), tidy_ns);
    if (parker_.prepare(true)) home().poll(lease, due_ns, batch_);
    home().wheel.end_wait();
  }
  parker_.finish();
  searching_ = !idle_.leave(index());  // who claimed us gave us a search token
  notice_work();
  const std::int64_t now_ns = home().now_ns();
  note_time(now_ns);
  glance(now_ns);
  polled_ns_ = now_ns;
  if (now_ns >= tidy_ns) {
    flush_magazine();
    flush_buffers();
    keep_buffers();
    tidying_ = tidy_frames();
  }
  poll_resting();
  fire_due(now_ns);
}

// At another slot, and at the same one until its worker has run on: is it still in the task in which it was, and has its thread
// computed meanwhile, or has it been there for so long that the watchdog is to find out why? Slots come in turns, so that those who
// are awake see all of them.
void worker::glance(std::int64_t now_ns) noexcept {
  if (alone_ || now_ns - glance_.at_ns < glance_pause_ns) return;
  glance_.at_ns = now_ns;
  if (const worker* at = glance_.seen) {
    if (at->tasks_run_approx() == glance_.task && at->in_task_approx() && !at->in_call_approx() && !at->without_slot_approx()) {
      if (glance_.is_hinted) return;
      if (at->thread_approx().cpu_ns() - glance_.cpu_ns < glance_pause_ns) {
        if (now_ns - glance_.since_ns < glance_long_ns) return;
        if (is_runnable(at->thread_approx())) {  // it has had no processor so far
          glance_.since_ns = now_ns;
          return;
        }
      }
      glance_.is_hinted = owner_.guard.hint(*at, glance_.task, glance_.cpu_ns, now_ns);
      return;
    }
  }
  const unsigned end = owner_.serving_end();
  glance_.slot = (glance_.slot + 1) % end;
  if (glance_.slot == index_) glance_.slot = (glance_.slot + 1) % end;
  glance_.seen = nullptr;
  glance_.is_hinted = false;
  const worker* const at = owner_.holder(glance_.slot);
  if (at == nullptr) return;
  glance_.task = at->tasks_run_approx();
  if (!at->in_task_approx() || at->in_call_approx()) return;
  glance_.seen = at;
  glance_.since_ns = now_ns;
  glance_.cpu_ns = at->thread_approx().cpu_ns();
}

void worker::will_last() noexcept {
  const std::uint64_t task = tasks_run_.load(std::memory_order_relaxed);
  lasting_.store(task, std::memory_order_relaxed);
  owner_.guard.tell_lasting();
}

// Somebody is to watch over the tasks that come now.
void worker::notice_work() noexcept {
  full_fence();  // E180: a watchdog that falls asleep sees that we are awake, or we see that it sleeps.
  owner_.guard.notice_work();
}

// Where others may take them, all before the first one runs; the first event on top.
void worker::queue_batch() noexcept {
  if (chooses_ != nullptr) [[unlikely]] return choose_among_batch();
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
  if (count > 1) owner_.wake_one(queues());
}

void worker::overflow(task_record& task) noexcept {
  do {
    std::array<task_record*, deque::capacity / 2> older;
    queues().spilled_woken.push_all(older.data(), woken_.take_half(older));
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
    queues().spilled.push_all(entered.data(), count);
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
  const std::uint64_t before = tasks_run_.load(std::memory_order_acquire);  // E381 acquire.
  const std::uint64_t id = runs_id_.load(std::memory_order_acquire);        // E381 acquire.
  const char* const name = runs_name_.load(std::memory_order_acquire);      // E381 acquire.
  const void* const site = runs_site_.load(std::memory_order_acquire);      // E381 acquire.
  const bool is_one = runs_id_.load(std::memory_order_acquire) == id;       // E381 acquire.
  // A task that has run twice meanwhile, and others between, has the same number but not the same count.
  if (id == 0 || !is_one || tasks_run_.load(std::memory_order_relaxed) != before) return std::nullopt;
  return running{static_cast<std::uint32_t>(id), name, std::bit_cast<std::source_location>(site), (id & has_waited_bit) != 0};
}

}  // namespace levity::detail
