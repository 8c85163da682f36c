// How a worker gets and loses its slot, and the calls from under which it may lose it; see watchdog.hpp, where the edges are.

#include <algorithm>
#include <array>
#include <new>

#include "base/spin_guard.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/sched/blocking.hpp"
#include "levity/task/yield.hpp"
#include "platform/process_barrier.hpp"
#include "sched/scheduler.hpp"
#include "sched/worker.hpp"
#include "task/lock_check.hpp"

namespace levity::inline v0::detail {

// A call that may block, as those of tasks: when it lasts, the slot goes to a spare, and with it all that the guest has in flight.
// Not when this thread has submitted something to the guest of a slot that it has lost: one operation of a thread is in flight.
void worker::begin_for_guest() noexcept {
  poll_guest& guest = *home().guest;
  if (pins_ != 0 || has_begun() || !owner_.guard.is_ready()) return guest.hand_over();
  if (searching_) end_search();
  guest.prepare();
  begun_ = &guest;
  begin_call();
  guest.enter();
  if (!end_call()) lose_slot();
}

// The slot may be gone already, from under the task: the call is made all the same, and end_call() says so.
[[gnu::always_inline]] inline void worker::begin_call() noexcept {
  // E182 release: what we leave behind, for who takes our slot.
  call_.store(call_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  compiler_fence();  // E180: the order of this store and the look at the watchdog's state, for its barrier.
  owner_.guard.notice();
}

// True: we have kept the slot.
[[gnu::always_inline]] inline bool worker::end_call() noexcept {
  call_.store(call_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  compiler_fence();  // E360: the order of this store and the look at hold_, for the watchdog's barrier.
  return hold_.load(std::memory_order_relaxed) == hold::held || keeps_slot();
}

bool worker::take_slot(std::uint64_t call) noexcept {
  hold seen = hold::held;
  if (!hold_.compare_exchange_strong(seen, hold::doubted, std::memory_order_relaxed, std::memory_order_relaxed)) return false;
  slow_at_.store(0, std::memory_order_relaxed);
  process_barrier();  // E360: whoever has passed its look at slow_at_, or hold_, is seen here to be outside a task, or the call.
  bool stays = call_.load(std::memory_order_acquire) == call;  // E182 acquire.
  if (stays && !is_call(call)) {
    // A worker that has set slow_at_ anew did so before it entered the task in which we see it: it would not come by here.
    stays = current_.load(std::memory_order_acquire) != nullptr &&  // E361 acquire.
            slow_at_.load(std::memory_order_relaxed) == 0;
  }
  seen = hold::doubted;
  // E362 release. What the worker makes of `doubted` in the meantime counts.
  return hold_.compare_exchange_strong(seen, stays ? hold::lost : hold::held, std::memory_order_release,
                                       std::memory_order_relaxed) && stays;
}

// Whoever is here is not stuck. Nothing is ordered by the answer: a worker that has lost its slot reads nothing that its takers
// have written before they give it another one (E183), and one that keeps it has had no other holder.
bool worker::keeps_slot() noexcept {
  hold seen = hold_.load(std::memory_order_relaxed);
  // A doubt may be over by itself, too.
  if (seen == hold::doubted &&
      hold_.compare_exchange_strong(seen, hold::held, std::memory_order_relaxed, std::memory_order_relaxed)) {
    return true;
  }
  return seen == hold::held;
}

void worker::lose_slot() noexcept {
  has_slot_ = false;
  slow_at_.store(0, std::memory_order_relaxed);  // next_task() asks for a slot first
}

// There is one slot too many, and it is ours: we are a spare from here on, and the worker of slot 0 sees to our reactor. Between
// two tasks, so nobody takes the slot meanwhile.
void worker::rest() noexcept {
  if (searching_) end_search();
  if (home().guest != nullptr && home().guest->has_waiting()) home().guest->hand_over();
  if (!owner_.begin_rest(index_)) return;  // serves on, and tries again at the next occasion
  {
    const spin_guard guarded{drain_lock_};  // E366.
    // A doubt that has just been raised is overwritten: whoever raised it finds that there is nothing to take.
    hold_.store(hold::lost, std::memory_order_relaxed);
  }
  lose_slot();
  owner_.end_rest(index_);
}

namespace {

// Records of tasks to be, as many as there is memory for; what is left of them goes back.
class blank_records {
public:
  explicit blank_records(std::size_t wanted) noexcept {
    try {
      for (; size_ < wanted; size_++) records_[size_] = new (frame_allocate(sizeof(task_record))) task_record;
    } catch (const std::bad_alloc&) {
    }
  }
  blank_records(const blank_records&) = delete;
  blank_records& operator=(const blank_records&) = delete;
  ~blank_records() {
    while (size_ > 0) {
      task_record& unused = take();
      unused.~task_record();
      frame_free(&unused, sizeof(task_record));
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  task_record& take() noexcept { return *records_[--size_]; }

private:
  std::size_t size_ = 0;
  std::array<task_record*, worker::slice_max> records_;
};

}  // namespace

// A few at a time: what becomes of them takes locks of its own.
template <class T>
std::size_t worker::take_slice(basic_deque<T>& from, std::array<T*, slice_max>& into, std::size_t most) noexcept {
  std::size_t count = 0;
  const spin_guard guarded{drain_lock_};  // E363, E366.
  if (hold_.load(std::memory_order_acquire) != hold::lost) return 0;  // E362 acquire.
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
  std::array<T*, slice_max> slice;
  auto left = static_cast<std::size_t>(from.size_approx());
  bool any = false;
  while (const std::size_t count = take_slice(from, slice, left)) {
    take(slice.data(), count);
    left -= count;
    any = true;
  }
  return any;
}

// Of a task that has woken a crowd, that is the rest.
bool worker::surrender() noexcept {
  inject_queue& to = woken_.size_approx() > crowd_min ? queues().spilled_woken : queues().injected;
  auto share = [&to](task_record** woken, std::size_t count) { to.push_all(woken, count); };
  const bool any = drain(woken_, share);
  return surrender_fresh() || any;
}

// The records first: a task that is taken cannot be put back, and what is queued elsewhere needs one.
bool worker::surrender_fresh() noexcept {
  std::array<ready_task*, slice_max> slice;
  std::array<task_record*, slice_max> entered;
  bool any = false;
  for (auto left = static_cast<std::size_t>(fresh_.size_approx()); left > 0;) {
    blank_records blank(std::min(left, slice_max));
    const std::size_t count = take_slice(fresh_, slice, blank.size());
    if (count == 0) break;
    for (std::size_t i = 0; i < count; i++) {
      entered[i] = is_frame(slice[i]) ? &enter_fresh(blank.take(), frame_of(slice[i]), owner_.reserve_task_ids(1), coarse_now_ms())
                                      : &record_of(slice[i]);
    }
    queues().spilled.push_all(entered.data(), count);
    left -= count;
    any = true;
  }
  return any;
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

// Whether in place. Not when this thread has submitted something, though the slot and the guest are another's now.
[[gnu::always_inline]] inline bool worker::may_call() noexcept {
  return !has_begun() && pins_ == 0 && has_slot_ && owner_.guard.is_ready();
}

[[gnu::always_inline]] inline task_record* worker::enter_call() noexcept {
  if (!may_call()) [[unlikely]] return nullptr;
  run_state& run = this_run;
  if (run.ended_scope != nullptr) [[unlikely]] settle_ends(run);
  task_record* const task = run.current;
  run.exec = nullptr;
  run.current = nullptr;
  this_worker = nullptr;
  begin_call();
  return task;
}

// Whoever took the slot wrote nothing that we read. False: suspend_after_call() follows.
[[gnu::always_inline]] inline bool worker::leave_call(task_record& task) noexcept {
  run_state& run = this_run;
  run.exec = &owner_;
  run.current = &task;
  this_worker = this;
  if (!end_call()) [[unlikely]] {
    lose_slot();
    return false;
  }
  return --run.budget >= 0;
}

void worker::suspend_after_call(task_record& task, std::coroutine_handle<> leaf) noexcept {
  if (has_slot_) return (void)yield_awaiter::suspend(leaf, task);  // its budget is used up
  note_wait(task, leaf, "after a blocking call");
  if (!task.entered) task.scope->enter(task);
  task.leaf = leaf;
  task.waits_on = nullptr;
  task.since_ms = coarse_now_ms() & 0x7fff'ffffu;
  this_run.current = nullptr;
  owner_.queue_after_call(task);  // from here on it may run elsewhere
}

// The call of a task that is parked. It is woken when we are back, for then it goes to the top of our deque.
void worker::carry_out(apart_call& call) noexcept {
  run_state& run = this_run;
  if (run.ended_scope != nullptr) settle_ends(run);
  current_.store(nullptr, std::memory_order_relaxed);
  run.exec = nullptr;
  run.current = nullptr;
  this_worker = nullptr;
  begin_call();
  task_record* const wakes = call.carry_out();
  run.exec = &owner_;
  this_worker = this;
  if (!end_call()) lose_slot();
  if (wakes != nullptr) wake(*wakes);
}

void begin_apart(apart_call& call, bool slow) noexcept {
  worker& here = *this_worker;
  if (slow && here.owner().offload_at_once(call)) return;
  if (here.may_call()) return here.carry_out(call);
  here.owner().offload(call);
}

// No coroutines, so the thread's own words can be read directly; and never inlined into one.
[[gnu::noinline]] call_in_place enter_call() noexcept {
  worker& here = *this_worker;
  return {&here, here.enter_call()};
}

[[gnu::noinline]] bool leave_call(call_in_place call) noexcept { return call.here->leave_call(*call.task); }

[[gnu::noinline]] void suspend_after_call(std::coroutine_handle<> leaf) noexcept {
  this_worker->suspend_after_call(*this_run.current, leaf);
}

void worker::grant(slot granted, worker& from) noexcept {
  granted_ = granted;
  granted_from_.store(&from, std::memory_order_release);  // E183 release.
  unpark();
}

// A worker without a slot is a spare, or runs what is pinned to it. A task: it is pinned. Null: there is a slot, or nothing left to
// run, or no need of this thread for a while.
ready_task* worker::await_slot(run_state& run) noexcept {
  fresh_.publish();
  // What its last task left to others, and whom it woke. Nobody else may know of it yet.
  surrender();
  full_fence();  // E14; and what has stayed for want of memory is seen by a watchdog that falls asleep (E180).
  if (has_work_approx()) owner_.guard.notice_work();
  if (const shared_queues::of_node* there = owner_.work_visible()) owner_.wake_one_fenced(*there);
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
  queues_.store(&owner_.queues.of_slot(index_), std::memory_order_relaxed);
  owner_.settle_at(index_);
  slow_at_.store(tasks_run_.load(std::memory_order_relaxed) + fair_period, std::memory_order_relaxed);
  {
    const spin_guard guarded{drain_lock_};  // E363: nobody moves our tasks any more; what was moved is seen to be gone.
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
inline bool worker::has_begun() noexcept {
  if (begun_ == nullptr) [[likely]] return false;
  if (begun_->in_flight.load(std::memory_order_relaxed) != 0) return true;
  begun_ = nullptr;
  return false;
}

}  // namespace levity::detail
