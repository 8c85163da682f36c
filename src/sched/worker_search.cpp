// What a worker runs that does not lie on top of its deques: in fair turns the oldest of its own, and what waits elsewhere; when it
// has nothing, what all share and what others have.

#include <algorithm>
#include <type_traits>

#include "sched/scheduler.hpp"
#include "sched/worker.hpp"

namespace levity::inline v0::detail {

// Events and timers come last, and so on top: they have just happened, and who is taken along here has waited longer than it takes
// to run them.
ready_task* worker::fair_turn() noexcept {
  const std::int64_t now_ns = home().now_ns();
  note_time(now_ns);
  glance(now_ns);
  go_on_cancelling(now_ns);
  ready_task* task = aged_task(now_ns);
  if (task == nullptr) task = task_in_turn(now_ns);
  if (now_ns - polled_ns_ >= poll_period_ns) poll_home(now_ns);
  return task;
}

// When those who were told before have gone on: a crowd that nobody keeps up with would pass those who wait. On a worker that never
// has fewer waiting, every so many tasks all the same.
void worker::go_on_cancelling(std::int64_t now_ns) noexcept {
  const std::uint64_t count = tasks_run_.load(std::memory_order_relaxed);
  if (woken_.size_approx() >= crowd_min && count < tells_at_ && now_ns < tells_at_ns_) return;
  scope_state* const scope = owner_.cancelling.pop();
  if (scope == nullptr) return;
  tells_at_ = count + told_each;
  tells_at_ns_ = now_ns + told_each_ns;
  scope->cancel_on();
  settle_ends(this_run);  // its owner's, if that waited for it
}

// Once in `age_ns` the order of those who wait at that moment is turned round, at every second task: so no woken one is passed by
// newer ones for longer than that, and what happens meanwhile is not held up. Every eighth task is still one in turn.
ready_task* worker::aged_task(std::int64_t now_ns) noexcept {
  if (now_ns >= turns_round_ns_) {
    turns_round_ns_ = now_ns + age_ns;
    aged_ = {woken_.size_approx(), share_of(queues().injected), share_of(queues().spilled_woken)};
  }
  turns_round_ = aged_[0] + aged_[1] + aged_[2] > 0;
  task_record* task = nullptr;
  while (turns_round_ && task == nullptr) {
    const std::size_t kind = aged_turn_;
    aged_turn_ = (aged_turn_ + 1) % (aged_.size() + 1);
    if (kind == aged_.size()) break;
    if (aged_[kind] == 0) continue;
    switch (kind) {
      case 0: task = woken_.steal(); break;
      case 1: queues().injected.take(&task, 1); break;
      default: queues().spilled_woken.take(&task, 1);
    }
    aged_[kind] = task != nullptr ? aged_[kind] - 1 : 0;
    if (kind != 0 && task != nullptr) queues().note_served();
  }
  return as_ready(task);
}

std::int64_t worker::share_of(const inject_queue& shared) const noexcept {
  constexpr std::int64_t most = 512;
  const std::int64_t serving = owner_.serving_approx();
  return std::min(most, (shared.size_approx() + serving - 1) / serving);
}

// In turns, so that an endless stream of one kind keeps no other waiting.
ready_task* worker::task_in_turn(std::int64_t now_ns) noexcept {
  const unsigned kinds = owner_.queues.count() == 1 ? 4 : 5;
  for (unsigned i = 0; i < kinds; i++) {
    const unsigned kind = turn_;
    turn_ = (turn_ + 1) % kinds;
    task_record* woken = nullptr;
    ready_task* fresh = nullptr;
    switch (kind) {
      case 0: woken = shared_woken(queues()); break;
      case 1: woken = woken_.steal(); break;
      case 2: pinned_.take(&woken, 1); break;
      case 3: fresh = fair_fresh(now_ns); break;
      default: fresh = neglected_task(now_ns);
    }
    if (woken != nullptr) return as_ready(woken);
    if (fresh != nullptr) return fresh;
  }
  return nullptr;
}

ready_task* worker::fair_fresh(std::int64_t now_ns) noexcept {
  const std::int64_t oldest = fresh_.oldest_approx();
  if (oldest != oldest_fresh_ && queues().spilled.empty_approx()) {
    oldest_fresh_ = oldest;
    fresh_due_ns_ = now_ns + fresh_age_ns;
  } else if (now_ns >= fresh_due_ns_) {
    fresh_due_ns_ = now_ns + fresh_age_ns;
    task_record* task = nullptr;
    if (queues().spilled.take(&task, 1) == 1) {
      queues().note_served();
      return as_ready(task);
    }
    return fresh_.steal();
  }
  return fresh_.pop();
}

// Fresh ones in turns with the others, or one who yields again and again would keep them all waiting.
ready_task* worker::shared_task(shared_queues::of_node& from) noexcept {
  shares_fresh_ = !shares_fresh_;
  task_record* task = shares_fresh_ ? take_shared(from, from.spilled, fresh_) : nullptr;
  if (task == nullptr) task = shared_woken(from);
  if (task == nullptr && !shares_fresh_) task = take_shared(from, from.spilled, fresh_);
  return as_ready(task);
}

// A crowd that was woken at once and the others come in turns.
task_record* worker::shared_woken(shared_queues::of_node& from) noexcept {
  shares_crowd_ = !shares_crowd_;
  task_record* task = take_shared(from, shares_crowd_ ? from.spilled_woken : from.injected, woken_);
  return task != nullptr ? task : take_shared(from, shares_crowd_ ? from.injected : from.spilled_woken, woken_);
}

ready_task* worker::shared_task_afar() noexcept {
  for (shared_queues::of_node* there = &owner_.queues.after(queues()); is_afar(*there); there = &owner_.queues.after(*there)) {
    if (ready_task* task = shared_task(*there)) return task;
  }
  return nullptr;
}

// Other nodes are watched in turns, each as long as it has work of which its own workers take none, until that has lasted too long:
// at once where all its slots rest.
ready_task* worker::neglected_task(std::int64_t now_ns) noexcept {
  const bool is_left = is_afar(*watched_) && !watched_->empty_approx() &&
                       watched_->served.load(std::memory_order_relaxed) == watched_served_;
  const bool has_workers = watched_->serving.load(std::memory_order_relaxed) != 0;
  if (is_left && has_workers && now_ns < neglected_at_ns_) return nullptr;
  ready_task* const task = is_left ? shared_task(*watched_) : nullptr;
  watched_ = &owner_.queues.after(*watched_);
  watched_served_ = watched_->served.load(std::memory_order_relaxed);
  neglected_at_ns_ = now_ns + shared_queues::neglect_ns;
  return task;
}

bool worker::has_work_near_approx() noexcept {
  bool found = has_work_approx() || !queues().empty_approx();
  if (found) return true;
  owner_.victims.visit(index(), [](unsigned) { return 0U; }, [this, &found](unsigned at) {
    worker* const other = owner_.holder(at);
    if (other == nullptr) return false;
    found = !is_afar(other->queues()) && other->has_work_approx();
    return found || is_afar(other->queues());  // the nearest come first
  });
  return found;
}

void worker::note_taken_afar(std::size_t count, bool early) noexcept {
  taken_afar_.store(taken_afar_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  if (early) taken_early_.store(taken_early_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

// One shared task to run; a fair share of the others comes along into the own deque.
template <class Deque>
task_record* worker::take_shared(shared_queues::of_node& there, inject_queue& from, Deque& rest) noexcept {
  if (from.empty_approx()) return nullptr;
  const bool afar = is_afar(there);
  const bool early = afar && has_work_near_approx();
  constexpr std::int64_t most = 128;
  task_record* taken[most];
  const std::int64_t share = from.size_approx() / owner_.serving_approx() + 1;
  const std::int64_t room = Deque::capacity / 4 - rest.size_approx();  // a deque that is full sends what has waited longest away
  const auto wanted = static_cast<std::size_t>(std::clamp<std::int64_t>(std::min(share, room), 1, most));
  const std::size_t count = from.take(taken, wanted);
  if (count == 0) return nullptr;
  if (afar) {
    note_taken_afar(count, early);
  } else {
    there.note_served();
  }
  for (std::size_t i = count; i-- > 1;) {
    if constexpr (std::is_same_v<Deque, deque>) {
      push_quietly(rest, *taken[i]);
    } else {
      push_quietly(rest, *as_ready(taken[i]));
    }
  }
  if (!from.empty_approx()) owner_.wake_one(there);
  return taken[0];
}

ready_task* worker::search() noexcept {
  const unsigned workers = owner_.serving_approx();
  if (workers == 1) return nullptr;
  if (!searching_) searching_ = idle_.start_search(workers);
  if (!searching_) return nullptr;
  ready_task* found = nullptr;
  const auto begin_at = [this](unsigned of) { return random_.below(of); };
  const unsigned end = owner_.serving_end();
  const auto victim_in = [this, end](unsigned at) { return at < end ? owner_.holder(at) : nullptr; };
  bool near = true;
  owner_.victims.visit(index(), begin_at, [this, &found, &near, victim_in](unsigned at) {
    worker* const victim = victim_in(at);
    if (victim == nullptr) return false;
    if (near && is_afar(victim->queues())) [[unlikely]] {
      near = false;
      found = shared_task_afar();
    }
    if (found == nullptr) found = steal_from(*victim);
    return found != nullptr;
  });
  if (found == nullptr) found = shared_task(queues());
  if (found != nullptr) return found;
  owner_.victims.visit(index(), begin_at, [this, &found, victim_in](unsigned at) {
    worker* const victim = victim_in(at);
    if (victim == nullptr || !victim->fresh_.keeps_aside_approx()) return false;
    victim->fresh_.open();
    found = steal_from(*victim);
    return found != nullptr;
  });
  return found;
}

ready_task* worker::steal_from(worker& victim) noexcept {
  const bool afar = is_afar(victim.queues());
  if (afar && !victim.has_work_approx()) return nullptr;
  const bool early = afar && has_work_near_approx();
  std::size_t count = 0;
  ready_task* found = as_ready(steal_from(victim.woken_, woken_, count));
  if (found == nullptr) found = steal_from(victim.fresh_, fresh_, count);
  if (afar && found != nullptr) note_taken_afar(count, early);
  return found;
}

// Half of what the victim has, one by one: each steal stands for itself. The first one is to be run.
template <class T>
T* worker::steal_from(basic_deque<T>& theirs, basic_deque<T>& ours, std::size_t& count) noexcept {
  constexpr std::int64_t most = 32;
  T* found = nullptr;
  for (std::int64_t wanted = std::min<std::int64_t>((theirs.size_approx() + 1) / 2, most); wanted > 0; wanted--) {
    T* task = theirs.steal();
    if (task == nullptr) break;
    count++;
    if (found == nullptr) {
      found = task;
    } else {
      push_quietly(ours, *task);
    }
  }
  return found;
}

}  // namespace levity::detail
