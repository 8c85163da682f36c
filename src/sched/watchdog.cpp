#include "sched/watchdog.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string_view>
#include <utility>

#include "levity/base/clock.hpp"
#include "platform/bounded_writer.hpp"
#include "platform/futex.hpp"
#include "platform/process_barrier.hpp"
#include "platform/syscall.hpp"
#include "platform/thread.hpp"
#include "platform/thread_state.hpp"
#include "platform/time_slice.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

namespace {

// The `task`-th task of a worker, in one word. Never 0.
std::uint64_t name_of(const worker& at, std::uint64_t task) noexcept { return task << 16 | (at.number() + 1); }

// Where nobody reads it, unsaid: the watchdog waits for no pipe.
void complain(std::string_view text) noexcept { bounded_writer(STDERR_FILENO, 0).write(text); }

}  // namespace

watchdog::watchdog(scheduler& owner, const watchdog_options& options, std::unique_ptr<cpu_limit> limit) noexcept
    : owner_(owner), options_(options), slots_(static_cast<int>(options.slots)), spares_max_(options.kept_max + options.slots),
      limit_(std::move(limit)),
      bell_fd_(limit_ != nullptr ? kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1),
      teller_(*options.threads, options.listener) {}

watchdog::~watchdog() {
  if (bell_fd_ >= 0) kernel::close(bell_fd_);
}

bool watchdog::start() noexcept {
  const system_guard guard{lock_};
  if (state_.load(std::memory_order_relaxed) != state::absent) return true;
  try {
    prepare();
    thread_ = start_thread("levity watchdog", [this] { watch(); });
    // It may have let slots rest already.
    if (has_barrier_) room_.fetch_add(static_cast<int>(spares_max_), std::memory_order_relaxed);
    return true;
  } catch (const std::exception& refused) {
    state_.store(state::absent, std::memory_order_relaxed);
    if (std::exchange(told_absent_, true)) return false;
    char text[384];
    const int size = std::snprintf(text, sizeof text,
        "levity: the watchdog cannot start (%s): until a blocking call finds a thread for it, a task that computes or blocks "
        "without waiting holds up what its worker has to do, and is not told of; raise the limit of threads (ulimit -u, "
        "pids.max)\n",
        refused.what());
    complain({text, std::min(static_cast<std::size_t>(size), sizeof text - 1)});
    return false;
  }
}

// What its thread finds.
void watchdog::prepare() {
  const std::size_t workers = owner_.size() + spares_max_;
  seen_.resize(workers);
  spares_.reserve(workers);
  resting_.reserve(workers);
  slow_.reserve(workers);
  suspects_.reserve(workers);
  unwatched_.reserve(workers);
  watches_ = std::make_unique<std::array<stall_watch, watches_max>>();
  has_barrier_ = prepare_process_barrier();
  takes_from_tasks_ = has_barrier_ && spares_max_ > static_cast<unsigned>(slots_);
  state_.store(state::awake, std::memory_order_relaxed);
}

bool watchdog::become_ready() noexcept {
  if (state_.load(std::memory_order_relaxed) != state::absent) return ask_for_retry();
  return owner_.has_threads() && start() && has_barrier_;
}

void watchdog::wake() noexcept {
  state seen = state_.load(std::memory_order_relaxed);
  while (seen == state::asleep || seen == state::dozing) {
    if (state_.compare_exchange_weak(seen, state::awake, std::memory_order_relaxed, std::memory_order_relaxed)) {
      return rouse(seen);
    }
  }
}

bool watchdog::hint(const worker& at, std::uint64_t task, std::int64_t cpu_ns, std::int64_t now_ns) noexcept {
  const state now = state_.load(std::memory_order_relaxed);
  if (now != state::dozing && now != state::awake) return false;
  std::int64_t before_ns = hinted_at_ns_.load(std::memory_order_relaxed);
  if (before_ns != 0 && now_ns - before_ns < hint_pause_ns) return false;
  if (!hinted_at_ns_.compare_exchange_strong(before_ns, now_ns, std::memory_order_relaxed, std::memory_order_relaxed)) return false;
  hinted_cpu_ns_.store(cpu_ns, std::memory_order_relaxed);
  hinted_.store(name_of(at, task), std::memory_order_relaxed);
  if (now == state::dozing) rouse(now);  // it dozes on, and looks
  return true;
}

void watchdog::stop() noexcept {
  system_thread ending;
  state was = state::absent;
  {
    const system_guard guard{lock_};
    if (state_.load(std::memory_order_relaxed) == state::absent) return;
    was = state_.exchange(state::stopping, std::memory_order_relaxed);
    ending.swap(thread_);
  }
  rouse(was);
  ending.join();
}

void watchdog::rouse(state from) noexcept {
  if (from == state::asleep && bell_fd_ >= 0) {
    kernel::ring_bell(bell_fd_);
  } else {
    futex_wake_one(reinterpret_cast<const std::uint32_t*>(&state_));
  }
}

// Until the state is another; for `wait_ns` at most. May return early.
void watchdog::sleep_for(state as, std::int64_t wait_ns) noexcept {
  futex_wait_for(reinterpret_cast<const std::uint32_t*>(&state_), static_cast<std::uint32_t>(as), wait_ns);
}

// Until it is asleep no more, or the limit may have changed. May return early.
void watchdog::sleep() noexcept {
  if (bell_fd_ < 0) {
    return futex_wait(reinterpret_cast<const std::uint32_t*>(&state_), static_cast<std::uint32_t>(state::asleep));
  }
  std::uint64_t rings = 0;
  (void)kernel::read_record(bell_fd_, &rings, sizeof rings);  // of a sleep that had ended before
  if (state_.load(std::memory_order_relaxed) != state::asleep) return;
  pollfd watched[] = {{bell_fd_, POLLIN, 0}, {limit_->pollable_fd(), POLLIN, 0}};
  const int found = kernel::ppoll(watched, std::size(watched), nullptr);
  if (found > 0) limit_changed_ = watched[1].revents != 0;
  // Forbidden by a filter: it looks now and then.
  if (found < 0 && errno != EINTR) sleep_for(state::asleep, doze_pace::pause_min_ns);
}

// While it is not asleep nobody tells it: it asks, now and then.
bool watchdog::limit_may_have_changed(std::int64_t now_ns) noexcept {
  if (now_ns - limit_asked_ns_ < limit_pause_ns) return false;
  limit_asked_ns_ = now_ns;
  pollfd told{limit_->pollable_fd(), POLLIN, 0};
  const timespec at_once{};
  return kernel::ppoll(&told, 1, &at_once) > 0;
}

// Has as many slots in service as the limit allows.
void watchdog::follow(std::int64_t now_ns) noexcept {
  if (limit_ == nullptr) return;
  if (limit_changed_ || now_ns - limit_read_ns_ >= limit_ns || limit_may_have_changed(now_ns)) {
    limit_changed_ = false;
    limit_read_ns_ = now_ns;
    limit_->refresh();
    owner_.want(limit_->cpus());
  }
  fill_slots();
}

void watchdog::fill_slots() noexcept {
  const bool was_told = std::exchange(lacks_means_, false);
  while (const unsigned slot = owner_.lacked_slot()) {
    if (const io_result<void> prepared = owner_.prepare_service(slot); !prepared) {
      lacks_means_ = true;
      if (was_told) return;
      complain("levity: this process may use one more CPU, and cannot: " + prepared.error().message() +
               "; raise the limit of open files (ulimit -n)\n");
      return;
    }
    const bool refused = retry_at_ns_.load(std::memory_order_relaxed) != 0;
    worker* const spare = refused ? waiting_spare() : spare_for_slot();
    if (spare == nullptr) {
      lacks_means_ = true;
      return;
    }
    if (refused) {  // room_ has none but those that wait
      room_.fetch_sub(1, std::memory_order_relaxed);
      withheld_++;
    }
    owner_.serve(slot, *spare);
  }
}

void watchdog::offer_spare(worker& spare) noexcept {
  const system_guard guard{lock_};
  spares_.push_back(&spare);  // there is room for all
  room_.fetch_add(1, std::memory_order_relaxed);
}

bool watchdog::withdraw_spare(worker& spare) noexcept {
  const system_guard guard{lock_};
  const auto at = std::find(spares_.begin(), spares_.end(), &spare);
  if (at == spares_.end()) return false;
  spares_.erase(at);  // room_ counts it still, as one that can be started
  return true;
}

void watchdog::let_rest(worker& spare) noexcept {
  const system_guard guard{lock_};  // E364.
  resting_.push_back(&spare);
}

void watchdog::watch() noexcept {
  set_time_slice(0, time_slice::brief);  // and of the spares that it starts
  own_clock_ = thread_sign::here();
  std::int64_t between_calls_ns = look_ns;
  std::int64_t due_ns = kernel_now_ns();
  unsigned callless = looks_before_doze;
  unsigned idle = 0;
  while (state_.load(std::memory_order_relaxed) != state::stopping) {
    retry();
    follow(kernel_now_ns());
    // A look that is left out says nothing of calls and tasks, and so nothing of whether to sleep: on a machine where many come
    // late the watchdog would never.
    const std::int64_t now_ns = kernel_now_ns();
    const bool is_harmless = times_.is_late(due_ns, now_ns) && all_went_on();
    const bool judges = !times_.leave_out(is_harmless ? now_ns : due_ns, now_ns);
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
      due_ns = pause(state::dozing, proof_due_ns_);
    } else if (idle < dozes_before_sleep) {
      due_ns = pause(state::dozing, pace_.pause_ns());
    } else if (lacks_means_) {
      due_ns = pause(state::dozing, retry_ns);
    } else {
      idle = 0;
      due_ns = pause(state::asleep, 0);
    }
  }
  // They are of this thread.
  looker_.reset();
  slack_.reset();
}

// Returns when the look after it is due.
std::int64_t watchdog::pause(state as, std::int64_t wait_ns) noexcept {
  state now = state_.load(std::memory_order_relaxed);
  if (as != state::awake && as != now) {
    if (now == state::stopping) return kernel_now_ns();
    if (!state_.compare_exchange_strong(now, as, std::memory_order_relaxed, std::memory_order_relaxed)) return kernel_now_ns();
    now = as;
    // E180, E372: who did not see us fall asleep is seen here. Without the barrier no call is made in place.
    has_barrier_ ? process_barrier() : full_fence();
    if (is_needed(as)) {
      wake();
      now = state::awake;
      wait_ns = look_rarely_ns;
    }
  }
  if (now == state::asleep) {
    looker_.reset();  // its descriptors are no use to a program that rests
    pace_.forget();
    dozed_ = true;
    while (state_.load(std::memory_order_relaxed) == now && !limit_changed_) sleep();
    // It is awake already but for a limit that has changed.
    state_.compare_exchange_strong(now, state::awake, std::memory_order_relaxed, std::memory_order_relaxed);
    return kernel_now_ns();
  }
  const bool keeps_notes = watched_ > 0;
  const bool dozes = wait_ns >= doze_pace::pause_min_ns && !keeps_notes;
  dozes ? prepare_doze() : prepare_exact_sleep();
  dozed_ = dozes;
  // A hint that came during the look has roused nobody. A look that was left out is not made up for at once, though: whoever was
  // stopped has not run since.
  if (as == state::dozing && now == state::dozing && hinted_.load(std::memory_order_relaxed) != 0) return kernel_now_ns();
  const std::int64_t due_ns = kernel_now_ns() + wait_ns + (dozes ? doze_pace::slack_ns : 0);
  if (keeps_notes) looker_->fall_asleep(wait_ns);
  sleep_for(now, wait_ns);
  if (keeps_notes) {
    looker_->wake_up();
  } else if (looker_) {
    looker_->forget();
  }
  return due_ns;
}

// Nobody is suspected.
void watchdog::prepare_doze() noexcept {
  if (looker_) looker_->keep_timers_exact(false);
  if (!slack_) slack_.emplace(doze_pace::slack_ns);
  pace_.begin_doze(own_clock_.cpu_ns());
}

void watchdog::prepare_exact_sleep() noexcept {
  pace_.forget();
  slack_.reset();  // whoever keeps notes has exact timers since they were begun
}

// What a dozing watchdog would be woken for, or a sleeping one.
bool watchdog::is_needed(state as) noexcept {
  bool needed = as == state::asleep && !owner_.idle.all_idle_approx(owner_.serving_approx());
  needed = needed || (owner_.lacks_slots() && !lacks_means_);
  owner_.each_worker([&needed, as](worker& each) {
    const bool may_lose = each.in_call_approx() && !each.without_slot_approx();
    const bool has_more = each.without_slot_approx() && (each.in_task_approx() || each.has_work_approx());
    needed = needed || may_lose || (as == state::asleep && has_more);
  });
  return needed;
}

// Nobody is in the call or task in which the last look found him: nobody is wronged by a look that comes late.
bool watchdog::all_went_on() const noexcept {
  bool all = true;
  std::size_t index = 0;
  owner_.each_worker([&](const worker& each) {
    const sight& before = seen_[index++];
    const std::uint64_t call = each.call_seen();
    const bool in_same_call = worker::is_call(call) && call == before.call;
    const bool in_same_task = before.in_task && each.in_task_approx() && each.tasks_run_approx() == before.task;
    all = all && !in_same_call && !in_same_task;
  });
  return all;
}

watchdog::finding watchdog::look() noexcept {
  now_ns_ = kernel_now_ns();
  found_ = owner_.idle.all_idle_approx(owner_.serving_approx()) ? finding::nothing : finding::work;
  hint_ = hinted_.exchange(0, std::memory_order_relaxed);
  proof_due_ns_ = suspect_ns;
  crowd_ = std::exchange(crowd_so_far_, 0);
  const shared_queues::of_node* surrendered = nullptr;
  std::size_t index = 0;
  owner_.each_worker([&](worker& each) {
    sight& before = seen_[index++];
    look_at_call(each, before);
    look_at_task(each, before);
    if (each.without_slot_approx() && each.has_work_approx()) {
      if (each.surrender()) surrendered = &each.queues();
      found_ = std::max(found_, finding::suspicion);  // more is likely to follow, or has stayed there for want of memory
    }
  });
  if (surrendered != nullptr) {
    full_fence();  // E14.
    owner_.wake_one_fenced(*surrendered);
  }
  // Not inside the walk: a spare may be added.
  for (const slow_call& each : slow_) take_from_call(*each.made_by, each.call);
  slow_.clear();
  for (worker* each : suspects_) {
    // It may go on to wake and spawn.
    if (take_from_task(*each)) found_ = std::max(found_, finding::suspicion);
  }
  suspects_.clear();
  // Only now: whoever is stuck, and all that wait behind it, would else wait for files of /proc to be opened, which are as slow as
  // the machine is loaded.
  for (const unwatched& each : unwatched_) {
    // That it has no processor at this moment would say nothing: this thread may have taken it.
    if (each.if_asleep && is_runnable(each.at->thread_approx())) continue;
    found_ = std::max(found_, finding::suspicion);
    begin_watch(*each.at, *each.seen);
  }
  unwatched_.clear();
  return found_;
}

void watchdog::look_at_call(worker& at, sight& before) noexcept {
  const std::uint64_t call = at.call_seen();
  const bool lasts = call == before.call;
  moved_ = moved_ || !lasts;
  before.call = call;
  if (!lasts) before.call_since_ns = now_ns_;
  if (!worker::is_call(call) || at.without_slot_approx()) return;
  if (lasts && now_ns_ - before.call_since_ns >= look_ns) {  // it was not woken just after a look
    slow_.push_back({&at, call});
  } else {
    found_ = finding::call;
  }
}

void watchdog::look_at_task(worker& at, sight& before) noexcept {
  const std::uint64_t task = at.tasks_run_approx();
  const bool in_task = at.in_task_approx() && !at.in_call_approx();
  const bool is_hinted = in_task && (hint_ == name_of(at, task) || at.will_last_approx(task));
  const bool was_seen = before.in_task && task == before.task;
  if (is_hinted && !was_seen) forget(before);
  const bool lasts = in_task && (was_seen || is_hinted);
  if (in_task || task != before.task) found_ = std::max(found_, finding::work);
  if (in_task && task - before.task < worker::fair_period) at.take_fair_turn();
  before.task = task;
  before.in_task = in_task;
  if (!lasts && in_task && dozed_) {
    before.cpu_ns = at.thread_approx().cpu_ns();
    before.knows_cpu = true;
  } else if (!was_seen) {
    before.knows_cpu = false;
  }
  if (in_task && hint_ == name_of(at, task)) take_hint(at, before);
  if (!lasts) return forget(before);
  before.is_hinted = before.is_hinted || is_hinted;
  watch_task(at, before);
}

// The clock that it brings is not to be relied upon: it may be that of another hint, and so of another thread. So it counts for no
// more than a glance takes, and not for less than what is known.
void watchdog::take_hint(const worker& at, sight& of) noexcept {
  const std::int64_t now_ns = at.thread_approx().cpu_ns();
  const std::int64_t told_ns = hinted_cpu_ns_.load(std::memory_order_relaxed);
  const std::int64_t since_ns = std::clamp(told_ns, now_ns - stall_watch::seen_before_ns, now_ns);
  of.cpu_ns = of.knows_cpu ? std::min(of.cpu_ns, since_ns) : since_ns;
  of.knows_cpu = true;
}

// Another task runs there, or none.
void watchdog::forget(sight& of) noexcept {
  if (of.watch != nullptr) end_watch(of);
  of.since_ns = now_ns_;
  of.computed_ns = 0;
  of.is_stuck = of.is_counted = of.is_over = of.is_proven = of.is_hinted = false;
}

void watchdog::watch_task(worker& at, sight& before) noexcept {
  const bool replaced = at.without_slot_approx();
  const bool takeable = takes_from_tasks_ && !replaced;
  const bool is_long = now_ns_ - before.since_ns >= doze_ns;
  const bool says_so = at.will_last_approx(before.task);
  if (replaced && is_long && before.is_stuck && !std::exchange(before.is_proven, true)) alert_until_ns_ = now_ns_ + alert_ns;
  before.is_replaced = replaced;
  if (takeable && (says_so || before.is_stuck)) {
    before.is_stuck = true;
    suspects_.push_back(&at);
  }
  if (before.watch == nullptr) {
    if (before.is_over || replaced || (before.is_stuck && !says_so) || (!takeable && options_.listener == nullptr)) return;
    const bool is_expected = says_so || now_ns_ < alert_until_ns_;
    if (!is_expected && !is_long && !before.is_hinted) return;
    const interest found = is_expected || is_crowded() ? interest::notes : interest_in(at, before, takeable);
    if (found == interest::none) return;
    return unwatched_.push_back({&at, &before, found == interest::notes_if_asleep});
  }
  stall_watch& notes = *before.watch;
  if (replaced && notes.is_ready()) crowd_so_far_++;
  // Who has lost the slot already is looked at for what there is to tell alone: sixteen of them at each look would take more of a
  // processor than such a crowd leaves this thread.
  if (replaced && !notes.waits_for_answer() && now_ns_ - notes.looked_at_ns() < doze_ns) return;
  const auto runs = at.runs_approx();
  const bool is_told = notes.look(own_looker(), sampler_);
  if (at.tasks_run_approx() != before.task) return;  // it has just ended: what was seen may be of the next one
  if (is_told && runs) {
    if (!std::exchange(before.is_counted, true)) count(notes);
    (void)teller_.tell({.id = runs->id, .name = runs->name, .spawned_at = runs->site, .worker = at.number(),
                        .since_ns = notes.since_ns(), .lasted_ns = notes.lasted_ns(), .why = notes.why(), .stack = notes.stack()});
  }
  if (takeable || notes.waits_for_answer()) found_ = std::max(found_, finding::suspicion);
  if (takeable && notes.is_stuck(is_crowded()) && !std::exchange(before.is_stuck, true)) suspects_.push_back(&at);
  if (takeable && !before.is_stuck) expect_proof(before);
}

// Whether those who deny a thread its processor are tasks that were replaced.
bool watchdog::is_crowded() const noexcept {
  return crowd_ >= std::clamp(static_cast<int>(owner_.serving_approx()), crowd_min, crowd_max);
}

// Of one that has lasted, or was seen by a neighbour, where none was stuck of late: whether notes of it are worth the files that
// they cost. Most are over soon, or have no processor.
watchdog::interest watchdog::interest_in(worker& at, sight& of, bool takeable) noexcept {
  if (!of.knows_cpu) return interest::notes;
  const std::int64_t computed_ns = at.thread_approx().cpu_ns() - of.cpu_ns;
  if (at.tasks_run_approx() != of.task) return interest::none;  // or the next one's
  const std::int64_t seen_ns = now_ns_ - of.since_ns;
  if (computed_ns < worker::glance_pause_ns) return seen_ns < counted_ns ? interest::notes_if_asleep : interest::notes;
  if (!of.is_hinted) return interest::notes;
  const std::int64_t lacks_ns = stall_watch::first_computes_ns - computed_ns;
  if (lacks_ns <= 0 && takeable) {  // as notes would prove
    of.is_stuck = true;
    suspects_.push_back(&at);
  }
  if (lacks_ns <= 0 || seen_ns >= hinted_long_ns) return interest::notes;
  found_ = std::max(found_, finding::suspicion);
  // Who waits for a processor proves nothing by the time that it takes.
  const bool goes_on = computed_ns > std::exchange(of.computed_ns, computed_ns) && seen_ns > 0;
  proof_due_ns_ = std::clamp(lacks_ns, std::min(goes_on ? glimpse_ns : suspect_ns, proof_due_ns_), proof_due_ns_);
  return interest::none;
}

void watchdog::begin_watch(worker& at, sight& of) noexcept {
  // Taking slots may have lasted: others are not deprived of their notes for a task that is over.
  if (!at.in_task_approx() || at.tasks_run_approx() != of.task) return;
  of.watch = free_watch();
  if (of.watch == nullptr) return;
  const std::int64_t tell_after_ns = options_.listener != nullptr ? options_.tell_after_ns : 0;
  of.watch->begin(at.thread_approx(), of.since_ns, tell_after_ns, own_looker());
  watched_++;
  if (of.is_hinted && !at.will_last_approx(of.task)) {
    of.watch->count_computed_since(of.cpu_ns);
  }
  if (takes_from_tasks_ && !of.is_stuck && !at.without_slot_approx()) expect_proof(of);
}

void watchdog::expect_proof(const sight& of) noexcept {
  // Who waits for a processor proves nothing by the time that it takes.
  const std::int64_t soonest_ns = of.watch->is_on_cpu() ? look_ns : suspect_ns;
  proof_due_ns_ = std::clamp(of.watch->lacks_ns(), std::min(soonest_ns, proof_due_ns_), proof_due_ns_);
}

void watchdog::end_watch(sight& of) noexcept {
  stall_watch& notes = *std::exchange(of.watch, nullptr);
  // It may have ended before there was anything to note.
  if (!std::exchange(of.is_counted, true) && notes.lasted_ns() >= counted_ns && notes.has_shares()) count(notes);
  notes.end(sampler_);
  watched_--;
}

void watchdog::count(const stall_watch& of) noexcept {
  stalls_[static_cast<std::size_t>(of.why().cause)].fetch_add(1, std::memory_order_relaxed);
}

// Room is made by one that has been replaced, which begins no other, one that was told of first; and then by whoever was told of
// and may still be replaced. Null: so many have just been suspected.
stall_watch* watchdog::free_watch() noexcept {
  for (stall_watch& each : *watches_) {
    if (each.is_free()) return &each;
  }
  const auto rank = [](const sight& each) { return each.watch == nullptr ? 0 : 2 * each.is_replaced + each.is_counted; };
  const auto yields = std::ranges::max_element(seen_, {}, rank);
  if (rank(*yields) == 0) return nullptr;
  stall_watch* const freed = yields->watch;
  end_watch(*yields);
  yields->is_over = yields->is_replaced;
  return freed;
}

looker& watchdog::own_looker() noexcept {
  slack_.reset();
  if (!looker_) looker_.emplace();  // nobody was suspected so far
  looker_->keep_timers_exact(true);
  return *looker_;
}

worker* watchdog::waiting_spare() noexcept {
  const system_guard guard{lock_};
  if (spares_.empty()) return nullptr;
  worker* const spare = spares_.back();
  spares_.pop_back();
  return spare;
}

// Null: none is to be had now.
worker* watchdog::spare_for_slot() noexcept {
  if (worker* const spare = waiting_spare()) return spare;
  if (retry_at_ns_.load(std::memory_order_relaxed) != 0 && kernel_now_ns() - refused_ns_ < retry_ns) return nullptr;
  return add_spare();
}

void watchdog::put_back(worker& spare) noexcept {
  const system_guard guard{lock_};
  spares_.push_back(&spare);
}

bool watchdog::take_from_call(worker& from, std::uint64_t call) noexcept {
  worker* const spare = spare_for_slot();
  return spare != nullptr && take(from, call, *spare);
}

// One spare more than calls may need is left to those who are in one.
bool watchdog::take_from_task(worker& from) noexcept {
  const std::uint64_t call = from.call_seen();
  if (worker::is_call(call)) return false;
  worker* spare = nullptr;
  if (room_.load(std::memory_order_relaxed) > slots_) {
    spare = spare_for_slot();
  } else if (withheld_ == 0) {
    complain_of_bound();
  }
  if (spare == nullptr) {
    left_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (!take(from, call, *spare)) return false;
  taken_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool watchdog::take(worker& from, std::uint64_t call, worker& spare) noexcept {
  if (!from.take_slot(call)) {
    put_back(spare);
    return false;
  }
  if (!worker::is_call(call)) {
    owner_.unsettle(from);
    set_time_slice(from.thread_approx().id, time_slice::usual);
    // A thread that has not begun yet was started by this one.
    if (const pid_t takes_over = spare.thread_approx().id; takes_over != 0) set_time_slice(takes_over, time_slice::brief);
  }
  room_.fetch_sub(1, std::memory_order_relaxed);
  owner_.move_slot(from, spare);
  return true;
}

void watchdog::complain_of_bound() noexcept {
  const std::int64_t now_ns = kernel_now_ns();
  if (told_ns_ != 0 && now_ns - told_ns_ < tell_ns) return;
  told_ns_ = now_ns;
  unsigned by_tasks = 0;
  unsigned by_calls = 0;
  owner_.each_worker([&by_tasks, &by_calls](const worker& each) {
    if (!each.without_slot_approx()) return;
    if (each.in_call_approx()) {
      by_calls++;
    } else if (each.in_task_approx()) {
      by_tasks++;
    }
  });
  char text[384];
  const int size = std::snprintf(text, sizeof text,
      "levity: %u threads are kept by tasks that compute or block without waiting, %u by blocking calls, and one more such task "
      "holds up what its worker has to do; make its calls with lv::blocking, or raise runtime_options::stuck_threads_max\n",
      by_tasks, by_calls);
  complain({text, static_cast<std::size_t>(size)});
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
    const bool taken = worker::is_call(call) ? take_from_call(drawn, call) : take_from_task(drawn);
    if (taken) eagerly.taken.fetch_add(1, std::memory_order_relaxed);
  }
}

// Null: no thread is to be had. Then calls are made by the pool, which waits for threads of its own, until one is; the call that
// wanted it strands what its worker holds, and is looked at again.
worker* watchdog::add_spare() noexcept {
  worker* resting = nullptr;
  {
    const system_guard guard{lock_};  // E364: its last thread is done with it.
    if (!resting_.empty()) {
      resting = resting_.back();
      resting_.pop_back();
    }
  }
  slack_.reset();  // a thread has it from the one that starts it
  worker* spare = resting;
  if (resting == nullptr) {
    spare = owner_.add_spare();
  } else if (!owner_.restart_spare(*resting)) {
    spare = nullptr;
    const system_guard guard{lock_};
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
    const system_guard guard{lock_};
    waiting = static_cast<int>(spares_.size());
  }
  const int startable = std::max(room_.load(std::memory_order_relaxed) - waiting, 0);
  room_.fetch_sub(startable, std::memory_order_relaxed);
  withheld_ += startable;
  refused_ns_ = kernel_now_ns();
  retry_at_ns_.store(refused_ns_ + retry_pause_ns_, std::memory_order_relaxed);
  return nullptr;
}

// A spare in advance, when it is time to see whether there are threads again.
void watchdog::retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns == 0 || kernel_now_ns() < at_ns) return;
  retry_pause_ns_ = std::min(2 * retry_pause_ns_, retry_rarely_ns);
  worker* const spare = add_spare();
  if (spare == nullptr) return;
  const system_guard guard{lock_};
  spares_.push_back(spare);  // room_ has counted it as one that could be started
}

// A call that cannot be made in place wakes the watchdog when a retry is due: a program that makes none is left alone.
bool watchdog::ask_for_retry() noexcept {
  const std::int64_t at_ns = retry_at_ns_.load(std::memory_order_relaxed);
  if (at_ns != 0 && kernel_now_ns() >= at_ns) wake();
  return false;
}

}  // namespace levity::detail
