#include "sched/worker.hpp"

#include <algorithm>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]] = nullptr;

worker::worker(scheduler& owner, unsigned index, reactor& home, std::uint64_t seed, bool alone)
    : owner_(owner), index_(index), alone_(alone), seeded_(owner.seeded()), home_(home), random_(seed + index),
      woken_(!alone), fresh_(!alone) {}

void worker::run() {
  frame_magazine_scope magazine;
  time_source* const outer_time = exchange_time_source(owner_.seeded() ? &home_ : nullptr);
  const run_state outer = std::exchange(this_run, run_state{});
  this_run.stack_low = static_cast<const char*>(__builtin_frame_address(0)) - stack_bytes_for_transfers;
  this_run.exec = &owner_;
  this_worker = this;
  keep_buffers();
  note_time(home_.now_ns());
  run_state& run = this_run;
  while (task_record* task = next_task(run)) run_task(run, *task);
  stand_idle(run);
  flush_buffers();
  this_worker = nullptr;
  this_run = outer;
  exchange_time_source(outer_time);
}

inline void worker::run_task(run_state& run, task_record& task) noexcept {
  run.current = &task;
  run.budget = task_budget;
  current_.store(&task, std::memory_order_relaxed);
  if (waiter* waited = task.waits_on; waited != nullptr && waited->reason->settle != nullptr) {
    if (!waited->reason->settle(*waited, task)) return;
  }
  task.waits_on = nullptr;
  task.leaf.resume();
  while (run.bounced) std::exchange(run.bounced, {}).resume();
  // The task may be gone or run elsewhere by now; `current` names it until the next one, or until there is none.
  tasks_run_.store(tasks_run_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void worker::stand_idle(run_state& run) noexcept {
  current_.store(nullptr, std::memory_order_relaxed);
  run.current = nullptr;
}

// Whoever runs a task does not search, wherever it came from: a token kept while it runs would keep others asleep.
inline task_record* worker::next_task(run_state& run) noexcept {
  if (!seeded_ && --until_fair_ != 0) [[likely]] {
    if (task_record* task = own_task(run)) [[likely]] {
      if (searching_) [[unlikely]] end_search();
      return task;
    }
  }
  return next_task_slowly(run);
}

// Ends that were put off are settled before anything runs but one more sibling: a parent that they wake goes first, and its
// frame away.
inline task_record* worker::own_task(run_state& run) noexcept {
  task_record* task = woken_.pop();
  if (task != nullptr) {
    if (run.ended != nullptr) [[unlikely]] settle_ends(run);
  } else {
    task = fresh_.pop();
    if (run.ended != nullptr && (task == nullptr || task->scope != run.ended->scope)) {
      settle_ends(run);
      if (woken_.size_approx() > 0) {
        if (task != nullptr) push_quietly(fresh_, *task);
        task = woken_.pop();
      }
    }
  }
  if (!alone_ && task != nullptr) offer_rest();
  return task;
}

task_record* worker::next_task_slowly(run_state& run) noexcept {
  for (;;) {
    settle_ends(run);
    task_record* task = seeded_ ? seeded_task() : ready_task(run);
    if (task != nullptr) {
      if (searching_) end_search();
      return task;
    }
    if (owner_.stopping()) return nullptr;
    stand_idle(run);
    sleep();
  }
}

task_record* worker::ready_task(run_state& run) noexcept {
  if (until_fair_ == 0) {
    until_fair_ = fair_period;
    if (task_record* task = fair_turn()) return task;
  }
  if (task_record* task = own_task(run)) return task;
  if (task_record* task = shared_task()) return task;
  return search();
}

// Others may have what is behind the newest task.
void worker::offer() noexcept {
  if (owner_.idle.wanting_approx() && woken_.size_approx() + fresh_.size_approx() > 1) wake_another();
}

// After a pop: its fence (E12) stands between our pushes before it and this look (E14).
inline void worker::offer_rest() noexcept {
  if (owner_.idle.wanting_approx() && has_work_approx()) owner_.wake_one_fenced();
}

// The last searcher passes the search on, if there is anything left to find.
void worker::end_search() noexcept {
  searching_ = false;
  if (!owner_.idle.end_search()) return;
  full_fence();  // E14: the token is gone before we look; who pushed and saw it was too early to be seen.
  if (owner_.work_visible()) owner_.wake_one();
}

// A seeded run: every ready task is a candidate, the seed picks.
task_record* worker::seeded_task() noexcept {
  // Timers and events come first, so that virtual time never stands still under a task that is always ready.
  if (--until_fair_ == 0) {
    until_fair_ = fair_period;
    poll_home(home_.now_ns());
  }
  while (task_record* task = woken_.pop()) candidates_.push_back(task);
  while (task_record* task = fresh_.pop()) candidates_.push_back(task);
  task_record* task;
  while (owner_.injected.take(&task, 1) == 1) candidates_.push_back(task);
  while (owner_.spilled.take(&task, 1) == 1) candidates_.push_back(task);
  if (candidates_.empty()) return nullptr;
  const auto pick = static_cast<std::size_t>(random_.below(candidates_.size()));
  std::swap(candidates_[pick], candidates_.back());
  task = candidates_.back();
  candidates_.pop_back();
  return task;
}

task_record* worker::fair_turn() noexcept {
  const std::int64_t now_ns = home_.now_ns();
  note_time(now_ns);
  if (now_ns - polled_ns_ >= poll_period_ns) poll_home(now_ns);
  // In turns, so that an endless stream of one kind keeps no other waiting.
  constexpr unsigned kinds = 3;
  for (unsigned i = 0; i < kinds; i++) {
    const unsigned kind = turn_;
    turn_ = (turn_ + 1) % kinds;
    task_record* task = kind == 0 ? take_shared(owner_.injected, woken_) : kind == 1 ? woken_.steal() : fair_fresh(now_ns);
    if (task != nullptr) return task;
  }
  return nullptr;
}

task_record* worker::fair_fresh(std::int64_t now_ns) noexcept {
  const std::int64_t oldest = fresh_.oldest_approx();
  if (oldest != oldest_fresh_ && owner_.spilled.empty_approx()) {
    oldest_fresh_ = oldest;
    fresh_due_ns_ = now_ns + fresh_age_ns;
  } else if (now_ns >= fresh_due_ns_) {
    fresh_due_ns_ = now_ns + fresh_age_ns;
    task_record* task = nullptr;
    if (owner_.spilled.take(&task, 1) == 1) return task;
    return fresh_.steal();
  }
  return fresh_.pop();
}

// Polls without waiting and fires what is due.
void worker::poll_home(std::int64_t now_ns) noexcept {
  polled_ns_ = now_ns;
  if (home_.endpoints_approx() > 0 || owner_.seeded()) {
    poll_lease lease(home_.lease);
    if (lease.held()) home_.poll(lease, 0, batch_);
  }
  while (home_.wheel.expire(now_ns, batch_)) queue_batch();
  queue_batch();
}

task_record* worker::shared_task() noexcept {
  task_record* task = take_shared(owner_.injected, woken_);
  return task != nullptr ? task : take_shared(owner_.spilled, fresh_);
}

// One shared task to run; a fair share of the others comes along into the own deque.
task_record* worker::take_shared(inject_queue& from, deque& rest) noexcept {
  if (from.empty_approx()) return nullptr;
  constexpr std::int64_t most = 128;
  task_record* taken[most];
  const std::int64_t share = from.size_approx() / owner_.size() + 1;
  const std::int64_t room = deque::capacity - rest.size_approx();
  const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(std::min(share, room), 1, most));
  const std::size_t count = from.take(taken, wanted);
  if (count == 0) return nullptr;
  for (std::size_t i = count; i-- > 1;) push_quietly(rest, *taken[i]);
  if (!from.empty_approx()) owner_.wake_one();
  return taken[0];
}

task_record* worker::search() noexcept {
  const unsigned workers = owner_.size();
  if (workers == 1) return nullptr;
  if (!searching_) searching_ = owner_.idle.start_search(workers);
  if (!searching_) return nullptr;
  const auto first = static_cast<unsigned>(random_.below(workers));
  task_record* found = nullptr;
  for (unsigned i = 0; i < workers && found == nullptr; i++) {
    worker& victim = owner_.at((first + i) % workers);
    if (&victim == this) continue;
    found = steal_from(victim.woken_, woken_);
    if (found == nullptr) found = steal_from(victim.fresh_, fresh_);
  }
  return found != nullptr ? found : shared_task();
}

// Half of what the victim has, one by one: each steal stands for itself. The first one is to be run.
task_record* worker::steal_from(deque& theirs, deque& ours) noexcept {
  constexpr std::int64_t most = 32;
  task_record* found = nullptr;
  for (std::int64_t wanted = std::min<std::int64_t>((theirs.size_approx() + 1) / 2, most); wanted > 0; wanted--) {
    task_record* task = theirs.steal();
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
  owner_.idle.enter(index_, std::exchange(searching_, false));
  if (owner_.work_visible() || owner_.stopping()) {
    searching_ = !owner_.idle.leave(index_);
    return;
  }
  // After a crowd has left, what the magazine holds keeps memory that nobody uses: with nothing to do for a while it is given
  // back. Where no crowd was, the sleep has no end of its own.
  const std::int64_t tidy_ns = !seeded_ && magazine_is_scattered() ? home_.now_ns() + tidy_after_ns : timer_wheel::never_ns;
  {
    poll_lease lease(home_.lease);
    if (lease.held()) {
      const std::int64_t due_ns = std::min(home_.wheel.begin_wait(), tidy_ns);
      if (parker_.prepare(true)) home_.poll(lease, due_ns, batch_);
      home_.wheel.end_wait();
    } else if (parker_.prepare(false)) {
      parker_.wait();
    }
  }
  parker_.finish();
  searching_ = !owner_.idle.leave(index_);  // who claimed us gave us a search token
  const std::int64_t now_ns = home_.now_ns();
  note_time(now_ns);
  polled_ns_ = now_ns;
  if (now_ns >= tidy_ns) {
    flush_magazine();
    flush_buffers();
    keep_buffers();
  }
  while (home_.wheel.expire(now_ns, batch_)) queue_batch();
  queue_batch();
}

// Where others may take them, all before the first one runs; the first event on top.
void worker::queue_batch() noexcept {
  const std::size_t count = batch_.count;
  for (std::size_t i = count; i-- > 0;) push_quietly(woken_, *batch_.records[i]);
  batch_.count = 0;
  if (count > 1) owner_.wake_one();
}

void worker::overflow(deque& full, task_record& task) noexcept {
  do {
    std::array<task_record*, deque::capacity / 2> older;
    inject_queue& onto = &full == &fresh_ ? owner_.spilled : owner_.injected;
    onto.push_all(older.data(), full.take_half(older));
  } while (!full.push(task));
}

void worker::wake_another() noexcept { owner_.wake_one(); }

void worker::unpark() noexcept {
  if (parker_.unpark()) home_.ring();
}

void worker::note_time(std::int64_t now_ns) noexcept {
  this_run.coarse_ms = static_cast<std::uint32_t>(now_ns / 1'000'000);
}

std::uint32_t worker::next_task_id() noexcept {
  constexpr std::uint32_t block = 1024;
  run_state& run = this_run;
  if (run.id_next == run.id_end) {
    run.id_next = owner_.reserve_task_ids(block);
    run.id_end = run.id_next + block;
  }
  return run.id_next++;
}

}  // namespace levity::detail
