#include "sched/watchdog.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "levity/base/clock.hpp"
#include "platform/bounded_writer.hpp"
#include "platform/futex.hpp"
#include "platform/process_barrier.hpp"
#include "platform/thread.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

namespace {

// Where nobody reads it, unsaid: the watchdog waits for no pipe.
void complain(std::string_view text) noexcept { bounded_writer(STDERR_FILENO, 0).write(text); }

}  // namespace

bool watchdog::start() noexcept {
  const std::lock_guard guard{lock_};
  if (state_.load(std::memory_order_relaxed) != state::absent) return true;
  try {
    const std::size_t workers = owner_.size() + spares_max_;
    seen_.resize(workers);
    spares_.reserve(workers);
    resting_.reserve(workers);
    slow_.reserve(workers);
    suspects_.reserve(workers);
    watches_ = std::make_unique<std::array<stall_watch, watches_max>>();
    state_.store(state::awake, std::memory_order_relaxed);
    thread_ = start_thread("levity watchdog", [this] { watch(); });
    return true;
  } catch (...) {
    state_.store(state::absent, std::memory_order_relaxed);
    return false;
  }
}

void watchdog::wake() noexcept {
  state seen = state_.load(std::memory_order_relaxed);
  while (seen == state::asleep || seen == state::dozing) {
    if (state_.compare_exchange_weak(seen, state::awake, std::memory_order_relaxed, std::memory_order_relaxed)) {
      return futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
    }
  }
}

void watchdog::stop() noexcept {
  std::thread ending;
  {
    const std::lock_guard guard{lock_};
    if (state_.load(std::memory_order_relaxed) == state::absent) return;
    state_.store(state::stopping, std::memory_order_relaxed);
    ending.swap(thread_);
  }
  futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
  ending.join();
}

void watchdog::offer_spare(worker& spare) noexcept {
  {
    const std::lock_guard guard{lock_};
    spares_.push_back(&spare);  // there is room for all
  }
  room_.fetch_add(1, std::memory_order_relaxed);
}

bool watchdog::withdraw_spare(worker& spare) noexcept {
  const std::lock_guard guard{lock_};
  const auto at = std::find(spares_.begin(), spares_.end(), &spare);
  if (at == spares_.end()) return false;
  spares_.erase(at);  // room_ counts it still, as one that can be started
  return true;
}

void watchdog::let_rest(worker& spare) noexcept {
  const std::lock_guard guard{lock_};
  resting_.push_back(&spare);
}

void watchdog::watch() noexcept {
  takes_from_tasks_ = spares_max_ > static_cast<unsigned>(slots_) && prepare_process_barrier();
  std::int64_t between_calls_ns = look_ns;
  std::int64_t due_ns = kernel_now_ns();
  unsigned callless = looks_before_doze;
  unsigned idle = 0;
  while (state_.load(std::memory_order_relaxed) != state::stopping) {
    retry();
    // A look that is left out says nothing of calls and tasks, and so nothing of whether to sleep: on a machine where many come
    // late the watchdog would never.
    const std::int64_t now_ns = kernel_now_ns();
    const bool judges = !times_.leave_out(due_ns, now_ns);
    if (judges) {
      moved_ = false;
      const finding found = look();
      const bool calls = found == finding::call || moved_;
      between_calls_ns = found == finding::call ? look_ns : std::min(2 * between_calls_ns, look_rarely_ns);
      callless = calls ? 0 : std::min(callless + 1, looks_before_doze);
      idle = calls || found != finding::nothing ? 0 : idle + 1;
    }
    const bool eager = slots_ >= eagerly.slots_min.load(std::memory_order_relaxed);
    const std::uint64_t seed = eager ? eagerly.seed.load(std::memory_order_relaxed) : 0;
    if (seed != 0) take_eagerly(seed);
    if (!judges || seed != 0) {
      due_ns = pause(state::awake, look_ns);
    } else if (callless < looks_before_doze) {
      due_ns = pause(state::awake, between_calls_ns);
    } else if (found_ == finding::suspicion || now_ns < alert_until_ns_) {
      due_ns = pause(state::dozing, suspect_ns);
    } else if (idle < dozes_before_sleep) {
      due_ns = pause(state::dozing, doze_ns);
    } else {
      idle = 0;
      due_ns = pause(state::asleep, 0);
    }
  }
}

// Returns when the look after it is due.
std::int64_t watchdog::pause(state as, std::int64_t wait_ns) noexcept {
  const auto* word = reinterpret_cast<const std::uint32_t*>(&state_);
  if (as != state::awake) {
    state expected = state::awake;
    if (!state_.compare_exchange_strong(expected, as, std::memory_order_relaxed, std::memory_order_relaxed)) return kernel_now_ns();
    full_fence();  // E180: who did not see us fall asleep is seen here.
    if (is_needed(as)) {
      wake();
      as = state::awake;
      wait_ns = look_rarely_ns;
    }
  }
  if (as == state::asleep) {
    looker_.reset();  // its descriptors are no use to a program that rests
    while (state_.load(std::memory_order_relaxed) == as) futex_wait(word, static_cast<std::uint32_t>(as));
    return kernel_now_ns();
  }
  const std::int64_t due_ns = kernel_now_ns() + wait_ns;
  if (looker_) looker_->fall_asleep(wait_ns);
  futex_wait_for(word, static_cast<std::uint32_t>(as), wait_ns);
  if (looker_) looker_->wake_up();
  state expected = as;
  state_.compare_exchange_strong(expected, state::awake, std::memory_order_relaxed, std::memory_order_relaxed);
  return due_ns;
}

// What a dozing watchdog would be woken for, or a sleeping one.
bool watchdog::is_needed(state as) noexcept {
  bool needed = as == state::asleep && !owner_.idle.all_idle_approx(owner_.size());
  owner_.each_worker([&needed, as](worker& each) {
    const bool in_call = (each.call_seen() & (worker::in_call_bit | worker::taken_bit)) == worker::in_call_bit;
    needed = needed || in_call || (as == state::asleep && each.without_slot_approx() && each.in_task_approx());
  });
  return needed;
}

watchdog::finding watchdog::look() noexcept {
  machine_.reset();
  now_ns_ = kernel_now_ns();
  found_ = owner_.idle.all_idle_approx(owner_.size()) ? finding::nothing : finding::work;
  bool surrendered = false;
  std::size_t index = 0;
  owner_.each_worker([&](worker& each) {
    sight& before = seen_[index++];
    look_at_call(each, before);
    look_at_task(each, before);
    if (each.without_slot_approx() && each.surrender()) surrendered = true;
  });
  if (surrendered) {
    full_fence();  // E14.
    owner_.wake_one_fenced();
  }
  // Not inside the walk: a spare may be added.
  for (const slow_call& each : slow_) (void)take_from_call(*each.made_by, each.call);
  slow_.clear();
  for (worker* each : suspects_) (void)take_from_task(*each);
  suspects_.clear();
  return found_;
}

void watchdog::look_at_call(worker& at, sight& before) noexcept {
  const std::uint64_t call = at.call_seen();
  const bool lasts = call == before.call;
  moved_ = moved_ || !lasts;
  before.call = call;
  if ((call & (worker::in_call_bit | worker::taken_bit)) != worker::in_call_bit || at.without_slot_approx()) return;
  if (lasts) {
    slow_.push_back({&at, call});
  } else {
    found_ = finding::call;
  }
}

void watchdog::look_at_task(worker& at, sight& before) noexcept {
  const std::uint64_t task = at.tasks_run_approx();
  const bool in_task = at.in_task_approx() && !at.in_call_approx();
  const bool lasts = in_task && before.in_task && task == before.task;
  if (in_task || task != before.task) found_ = std::max(found_, finding::work);
  before.task = task;
  before.in_task = in_task;
  if (lasts) return watch_task(at, before);
  if (before.watch != nullptr) end_watch(before);
  before.since_ns = now_ns_;
  before.is_stuck = before.is_over = before.is_proven = false;
}

void watchdog::watch_task(worker& at, sight& before) noexcept {
  const bool replaced = at.without_slot_approx();
  const bool takeable = takes_from_tasks_ && !replaced;
  const bool is_long = now_ns_ - before.since_ns >= doze_ns;
  if (replaced && is_long && !std::exchange(before.is_proven, true)) alert_until_ns_ = now_ns_ + alert_ns;
  before.is_replaced = replaced;
  if (takeable && before.is_stuck) suspects_.push_back(&at);
  if (before.watch == nullptr) {
    if (before.is_over || replaced || before.is_stuck || (!takeable && options_.listener == nullptr)) return;
    if (!is_long && now_ns_ >= alert_until_ns_) return;
    found_ = std::max(found_, finding::suspicion);
    before.watch = free_watch();
    if (before.watch == nullptr) return;
    const std::int64_t tell_after_ns = options_.listener != nullptr ? options_.tell_after_ns : 0;
    before.watch->begin(at.thread_approx(), before.since_ns, tell_after_ns, machine());
    return;
  }
  stall_watch& notes = *before.watch;
  const auto runs = at.runs_approx();
  const bool is_told = notes.look(machine(), sampler_);
  if (at.tasks_run_approx() != before.task) return;  // it has just ended: what was seen may be of the next one
  if (is_told && runs) {
    if (!std::exchange(before.is_over, true)) count(notes);
    options_.listener->hear({runs->id, runs->name, runs->site, at.number(), notes.lasted_ns(), notes.why(), notes.stack()});
  }
  if (takeable || notes.waits_for_answer()) found_ = std::max(found_, finding::suspicion);
  const bool is_stuck = notes.is_stuck(is_long ? stall_watch::stuck_ns : computes_ns);
  if (takeable && is_stuck && !std::exchange(before.is_stuck, true)) suspects_.push_back(&at);
}

void watchdog::end_watch(sight& of) noexcept {
  stall_watch& notes = *std::exchange(of.watch, nullptr);
  if (!of.is_over && notes.lasted_ns() >= counted_ns) count(notes);
  notes.end(sampler_);
}

void watchdog::count(const stall_watch& of) noexcept {
  stalls_[static_cast<std::size_t>(of.why().cause)].fetch_add(1, std::memory_order_relaxed);
}

// Room is made by one that was told of, and then by one that has been replaced: of whom it is taken begins no other. Null: so many
// have just been suspected.
stall_watch* watchdog::free_watch() noexcept {
  for (stall_watch& each : *watches_) {
    if (each.is_free()) return &each;
  }
  const auto is_told = [](const sight& each) { return each.watch != nullptr && each.is_over; };
  const auto is_replaced = [](const sight& each) { return each.watch != nullptr && each.is_replaced; };
  auto yields = std::find_if(seen_.begin(), seen_.end(), is_told);
  if (yields == seen_.end()) yields = std::find_if(seen_.begin(), seen_.end(), is_replaced);
  if (yields == seen_.end()) return nullptr;
  stall_watch* const freed = yields->watch;
  end_watch(*yields);
  yields->is_over = true;
  return freed;
}

const machine_state& watchdog::machine() noexcept {
  if (!looker_) looker_.emplace();  // nobody was suspected so far
  if (!machine_) machine_ = looker_->look();
  return *machine_;
}

// Null: none is to be had now.
worker* watchdog::spare_for_slot() noexcept {
  {
    const std::lock_guard guard{lock_};
    if (!spares_.empty()) {
      worker* spare = spares_.back();
      spares_.pop_back();
      return spare;
    }
  }
  return add_spare();
}

void watchdog::put_back(worker& spare) noexcept {
  const std::lock_guard guard{lock_};
  spares_.push_back(&spare);
}

bool watchdog::take_from_call(worker& from, std::uint64_t call) noexcept {
  worker* spare = spare_for_slot();
  if (spare == nullptr) return false;
  if (!from.take_slot(call)) {
    put_back(*spare);
    return false;
  }
  room_.fetch_sub(1, std::memory_order_relaxed);
  owner_.move_slot(from, *spare);
  return true;
}

// One spare more than calls may need is left to those who are in one.
bool watchdog::take_from_task(worker& from) noexcept {
  worker* spare = nullptr;
  if (room_.load(std::memory_order_relaxed) > slots_) {
    spare = spare_for_slot();
  } else if (withheld_ == 0) {
    const std::int64_t now_ns = kernel_now_ns();
    if (told_ns_ == 0 || now_ns - told_ns_ >= tell_ns) {
      told_ns_ = now_ns;
      char text[256];
      const int size = std::snprintf(text, sizeof text,
          "levity: %u threads are kept by tasks that compute or block without waiting, and one more holds up what its worker has "
          "to do; make such calls with lv::blocking, or raise runtime_options::stuck_threads_max\n", options_.kept_max);
      complain({text, static_cast<std::size_t>(size)});
    }
  }
  if (spare == nullptr) {
    left_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (!from.take_slot_from_task()) {
    put_back(*spare);
    return false;
  }
  owner_.unsettle(from);
  room_.fetch_sub(1, std::memory_order_relaxed);
  taken_.fetch_add(1, std::memory_order_relaxed);
  owner_.move_slot(from, *spare);
  return true;
}

void watchdog::take_eagerly(std::uint64_t seed) noexcept {
  if (!takes_from_tasks_) return;
  if (eager_seed_ != seed) {
    eager_seed_ = seed;
    eager_ = rng(seed);
  }
  for (int i = 0; i < 20; i++) {
    owner_.each_worker([this](worker& each) {
      if (!each.without_slot_approx() && (each.in_task_approx() || each.in_call_approx())) suspects_.push_back(&each);
    });
    if (suspects_.empty()) continue;
    worker& drawn = *suspects_[static_cast<std::size_t>(eager_.below(suspects_.size()))];
    suspects_.clear();
    const std::uint64_t call = drawn.call_seen();
    const bool in_call = (call & (worker::in_call_bit | worker::taken_bit)) == worker::in_call_bit;
    const bool taken = in_call ? take_from_call(drawn, call) : take_from_task(drawn);
    if (taken) eagerly.taken.fetch_add(1, std::memory_order_relaxed);
  }
}

// Null: no thread is to be had. Then calls are made by the pool, which waits for threads of its own, until one is; the call that
// wanted it strands what its worker holds, and is looked at again.
worker* watchdog::add_spare() noexcept {
  worker* resting = nullptr;
  {
    const std::lock_guard guard{lock_};
    if (!resting_.empty()) {
      resting = resting_.back();
      resting_.pop_back();
    }
  }
  worker* spare = resting;
  if (resting == nullptr) {
    spare = owner_.add_spare();
  } else if (!owner_.restart_spare(*resting)) {
    spare = nullptr;
    const std::lock_guard guard{lock_};
    resting_.push_back(resting);
  }
  if (spare != nullptr) {
    room_.fetch_add(std::exchange(withheld_, 0), std::memory_order_relaxed);
    retry_pause_ns_ = retry_ns;
    retry_at_ns_.store(0, std::memory_order_relaxed);
    return spare;
  }
  if (retry_at_ns_.load(std::memory_order_relaxed) == 0) {
    complain("levity: no thread to be had to replace one that a task or a blocking call keeps; raise the limit of threads "
             "(ulimit -u, pids.max)\n");
  }
  // Spares that wait are as good as before.
  int waiting = 0;
  {
    const std::lock_guard guard{lock_};
    waiting = static_cast<int>(spares_.size());
  }
  const int startable = std::max(room_.load(std::memory_order_relaxed) - waiting, 0);
  room_.fetch_sub(startable, std::memory_order_relaxed);
  withheld_ += startable;
  retry_at_ns_.store(kernel_now_ns() + retry_pause_ns_, std::memory_order_relaxed);
  return nullptr;
}

// A spare in advance, when it is time to see whether there are threads again.
void watchdog::retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns == 0 || kernel_now_ns() < at_ns) return;
  retry_pause_ns_ = std::min(2 * retry_pause_ns_, retry_rarely_ns);
  worker* const spare = add_spare();
  if (spare == nullptr) return;
  const std::lock_guard guard{lock_};
  spares_.push_back(spare);  // room_ has counted it as one that could be started
}

// A call that cannot be made in place wakes the watchdog when a retry is due: a program that makes none is left alone.
bool watchdog::ask_for_retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns != 0 && kernel_now_ns() >= at_ns) wake();
  return false;
}

}  // namespace levity::detail
