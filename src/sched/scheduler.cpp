#include "sched/scheduler.hpp"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/pin.hpp"
#include "platform/affinity.hpp"
#include "platform/bounded_writer.hpp"
#include "platform/cpu_set.hpp"
#include "platform/thread.hpp"

namespace levity::inline v0::detail {

namespace {

constexpr std::uint64_t worker_seed = 0x1e71;

unsigned slots_of(const scheduler_options& options) {
  return std::max(static_cast<unsigned>(options.reactors.size()), options.slots);
}

steal_order victims_of(const scheduler_options& options) {
  if (options.places.of.empty()) return {slots_of(options), worker_seed};
  return {options.places.of, options.places.exact, worker_seed};
}

// On several nodes only as far as workers are kept there.
std::span<const topology::cpu> known_nodes(const slot_places& places) {
  if (places.exact == steal_order::known::nothing) return {};
  return places.of;
}

}  // namespace

scheduler::scheduler(scheduler_options options)
    : victims(victims_of(options)),
      guard(*this, {.slots = slots_of(options), .kept_max = options.stuck_threads_max, .listener = options.stalls,
                    .threads = &blocking_, .tell_after_ns = options.stalls_told_after_ns}, std::move(options.limit)),
      queues(known_nodes(options.places)),
      seed_(options.seed),
      chooses_(options.chooses),
      places_(std::move(options.places)),
      make_reactor_(std::move(options.make_reactor)),
      reactors_(std::move(options.reactors)) {
  LEVITY_ASSERT(!reactors_.empty() && reactors_.size() <= idle_set::workers_max, "1 to 256 workers");
  const auto first = static_cast<unsigned>(reactors_.size());
  reactors_made_.store(first, std::memory_order_relaxed);
  wanted_.store(first, std::memory_order_relaxed);
  serving_.store(first, std::memory_order_relaxed);
  serving_end_.store(first, std::memory_order_relaxed);
  for (unsigned i = 0; i < first; i++) queues.of_slot(i).serving.fetch_add(1, std::memory_order_relaxed);
  reactors_.resize(guard.slots());
  LEVITY_ASSERT(seed_ == 0 || reactors_.size() == 1, "a seeded run has one worker");
  LEVITY_ASSERT(seed_ != 0 || chooses_ == nullptr, "only in a seeded run somebody chooses");
  LEVITY_ASSERT(places_.affinity.empty() || (places_.affinity.size() == reactors_.size() && places_.of.size() == reactors_.size()),
                "every slot has a place and an affinity, or none has");
  registries_ = std::make_unique<registry[]>(size() + 1);
  root_ = scope_state::create(*this, nullptr, failure_policy::keep_going, "root");
  idle.size_for(size());
  workers_.reserve(size() + guard.spares_max());
  threads_.resize(size() + guard.spares_max());
  slots_ = std::make_unique<atomic<worker*>[]>(size());
  for (unsigned i = 0; i < first; i++) {
    workers_.push_back(
        std::make_unique<worker>(*this, i, worker::slot{i, reactors_[i].get()}, seed_ != 0 ? seed_ : worker_seed + i));
    slots_[i].store(workers_.back().get(), std::memory_order_relaxed);
  }
  workers_count_.store(first, std::memory_order_relaxed);  // whoever is told of the scheduler sees all of it
}

scheduler::~scheduler() {
  // E18 acquire: who woke the last task from outside may still be on its way out.
  while (foreign_.load(std::memory_order_acquire) != 0) give_way();
  scope_state::destroy(root_);
  while (!reactors_.empty()) reactors_.pop_back();  // the first one, which may attend to others, at last
}

void scheduler::start() {
  has_threads_ = true;
  try {
    const system_guard guarded{threads_lock_};
    for (const auto& each : workers_) start_thread_of(*each);
  } catch (const std::system_error& refused) {
    root_empty();
    join();
    throw std::runtime_error("levity cannot start a worker's thread: " + std::string(refused.what()) +
                             "; raise the limit of threads (ulimit -u, pids.max) or set runtime_options::workers");
  }
  (void)guard.is_ready();  // where no thread is to be had for it, a blocking call asks again
}

// With the lock.
void scheduler::start_thread_of(worker& runs) {
  threads_[runs.number()] = start_thread("levity worker", [this, &runs] {
    runs.run();
    if (!stopping()) guard.let_rest(runs);
  });
  threads_count_.fetch_add(1, std::memory_order_relaxed);
}

void scheduler::run_here() { first().run(); }

void scheduler::settle_at(unsigned slot) noexcept {
  if (places_.affinity.empty()) return;
  try {
    // Refused where a cpuset has taken all of these CPUs away meanwhile: then it runs where it may.
    if (!narrow_affinity(places_.affinity[slot])) widen_affinity();
    take_frames_of(places_.of[slot].node);
    flush_buffers();
    keep_buffers();
  } catch (const std::bad_alloc&) {
    // It runs all the same, with memory from wherever there is some.
  }
}

// Whoever was kept is no longer held to the processors of the slot that it has lost.
void scheduler::unsettle(const worker& lost) noexcept {
  if (places_.affinity.empty()) return;
  try {
    (void)cpu_set::of_this_thread().apply_to(lost.thread_approx().id);  // the watchdog's was never narrowed
  } catch (const std::bad_alloc&) {
    // It stays there.
  }
}

// A spare's thread may end at any time, one with a slot only at the end: there are no tasks then, and so no calls. Until then
// the watchdog may add spares.
void scheduler::join() {
  do {
    join_those_there();
  } while (!stopping());
  guard.stop();
  join_those_there();
}

void scheduler::join_those_there() noexcept {
  const auto join_one = [this](system_thread& one) {
    system_thread there;
    {
      const system_guard guarded{threads_lock_};
      there.swap(one);
    }
    if (there.joinable()) there.join();
  };
  for (system_thread& each : threads_) join_one(each);  // never moves
  join_one(ended_);
}

void scheduler::start(std::coroutine_handle<> root) noexcept { this_worker->push_fresh(root); }

worker* scheduler::pin_here() noexcept {
  this_worker->pin();
  return this_worker;
}

void scheduler::unpin_here() noexcept { this_worker->unpin(); }

// Somebody to run it is woken by this thread, which has no slot and so comes by at await_slot() next (E14).
void scheduler::queue_after_call(task_record& record) noexcept { queues_here().injected.push(record); }

worker* scheduler::add_spare() noexcept {
  const system_guard guarded{threads_lock_};
  if (workers_.size() == workers_.capacity()) return nullptr;
  try {
    const auto number = static_cast<unsigned>(workers_.size());
    auto spare = std::make_unique<worker>(*this, number, worker::slot{}, worker_seed + number);
    start_thread_of(*spare);
    workers_.push_back(std::move(spare));  // there is room
    workers_count_.store(number + 1, std::memory_order_release);  // E184 release.
    return workers_.back().get();
  } catch (...) {
    return nullptr;
  }
}

bool scheduler::restart_spare(worker& spare) noexcept {
  const system_guard guarded{threads_lock_};
  try {
    start_thread_of(spare);
    return true;
  } catch (...) {
    return false;
  }
}

// Each joins the one that ended before it, and can be started anew only after that: what a program does at the end of a thread,
// in a destructor of its own, may take its time, and the watchdog does not wait for it.
bool scheduler::end_spare(worker& spare) noexcept {
  if (!guard.withdraw_spare(spare)) return false;
  threads_count_.fetch_sub(1, std::memory_order_relaxed);
  system_thread before;
  {
    const system_guard guarded{threads_lock_};
    system_thread& own = threads_[spare.number()];
    if (own.joinable()) before = std::exchange(ended_, std::move(own));  // else somebody joins us already
  }
  if (before.joinable()) before.join();
  return true;
}

void scheduler::move_slot(worker& from, worker& to) noexcept {
  slots_[from.index()].store(&to, std::memory_order_release);  // E181 release.
  to.grant({from.index(), &from.home()}, from);
}

bool scheduler::begin_rest(unsigned slot) noexcept { return reactors_[0]->attend(*reactors_[slot], slot).has_value(); }

void scheduler::end_rest(unsigned slot) noexcept {
  if (!places_.affinity.empty()) widen_affinity();  // what is pinned to this thread runs beside the slots
  {
    const std::lock_guard guarded{service_lock_};
    guard.note_rest();
    serving_.fetch_sub(1, std::memory_order_relaxed);
    queues.of_slot(slot).serving.fetch_sub(1, std::memory_order_relaxed);
    resting_.fetch_add(1, std::memory_order_relaxed);
    slots_[slot].store(nullptr, std::memory_order_release);  // E181 release.
    unsigned end = serving_end();
    while (holder(end - 1) == nullptr) end--;  // slot 0 stays
    serving_end_.store(end, std::memory_order_relaxed);
  }
  // What came before is to be seen now, and a sleeper to count with those timers.
  reactors_[0]->news.put(slot);
  reactors_[0]->ring();
  full_fence();  // E372.
  if (!is_surplus(slot)) guard.notice();
}

void scheduler::want(unsigned cpus) noexcept {
  const unsigned wanted = std::clamp(cpus, 1U, size());
  if (wanted == wanted_.load(std::memory_order_relaxed)) return;
  wanted_.store(wanted, std::memory_order_relaxed);
  full_fence();  // E372.
  // Who is busy comes by at its next fair turn.
  for (unsigned i = wanted; i < serving_end(); i++) {
    if (worker* const surplus = holder(i)) surplus->unpark();
  }
}

unsigned scheduler::lacked_slot() noexcept {
  if (!lacks_slots()) return 0;
  for (unsigned i = 1; !is_surplus(i); i++) {
    if (holder(i) == nullptr) return i;
  }
  return 0;
}

io_result<void> scheduler::prepare_service(unsigned slot) noexcept {
  if (reactors_[slot] != nullptr) return {};
  io_result<std::unique_ptr<reactor>> made = make_reactor_();
  if (!made) return std::unexpected(made.error());
  reactors_[slot] = std::move(*made);
  return {};
}

void scheduler::serve(unsigned slot, worker& spare) noexcept {
  const bool is_new = slot == reactors_made_.load(std::memory_order_relaxed);
  if (is_new) {
    reactors_made_.store(slot + 1, std::memory_order_release);  // E185 release.
  } else {
    reactors_[0]->dismiss(*reactors_[slot]);
  }
  {
    const std::lock_guard guarded{service_lock_};
    serving_.fetch_add(1, std::memory_order_relaxed);
    queues.of_slot(slot).serving.fetch_add(1, std::memory_order_relaxed);
    if (!is_new) resting_.fetch_sub(1, std::memory_order_relaxed);
    serving_end_.store(std::max(serving_end(), slot + 1), std::memory_order_relaxed);
    slots_[slot].store(&spare, std::memory_order_release);  // E181 release.
  }
  spare.grant({slot, reactors_[slot].get()}, spare);
}

void scheduler::schedule(task_record& record) noexcept {
  worker* here = this_worker;
  if (here == nullptr || &here->owner() != this) return inject(record);
  if (record.contexts != nullptr) [[unlikely]] {
    if (const pin_context* pin = pin_of(record)) return pin->on->push_pinned(record);
  }
  here->push_woken(record);
}

void scheduler::inject(task_record& record) noexcept {
  // Until it is pushed the task is ours, so the scheduler lives; then it may run and everything end before we have left.
  foreign_.fetch_add(1, std::memory_order_relaxed);
  if (const pin_context* pin = pin_of(record)) {
    pin->on->push_pinned(record);
  } else {
    shared_queues::of_node& here = queues.of_foreign_thread();
    here.injected.push(record);
    wake_one(here);
  }
  foreign_.fetch_sub(1, std::memory_order_release);  // E18 release.
}

void scheduler::schedule_last(task_record& record) noexcept {
  // Each of its awaits may have taken long: timers and events are looked at before it, or anybody, goes on.
  if (this_run.budget < 0 && this_worker != nullptr) this_worker->take_fair_turn();
  if (!record.entered) [[unlikely]] record.scope->enter(record);
  if (chooses_ != nullptr) [[unlikely]] chooses_->gives_way(record.id);
  if (const pin_context* pin = pin_of(record)) return pin->on->push_pinned(record);
  shared_queues::of_node& here = queues_here();
  here.injected.push(record);
  wake_one(here);
}

shared_queues::of_node& scheduler::queues_here() noexcept {
  worker* here = this_worker;
  return here != nullptr && &here->owner() == this ? here->queues() : queues.of_foreign_thread();
}

shared_queues::of_node* scheduler::work_visible() noexcept {
  if (shared_queues::of_node* found = queues.with_work_approx()) return found;
  if (!cancelling.empty_approx()) return &queues.at(0);  // anybody's
  for (unsigned i = 0; i < serving_end(); i++) {
    const worker* const each = holder(i);
    if (each != nullptr && each->has_work_approx()) return &queues.of_slot(i);
  }
  return nullptr;
}

void scheduler::wake_one(const shared_queues::of_node& there) noexcept {
  // The one that could be woken is awake.
  if (size() == 1 && this_worker != nullptr && &this_worker->owner() == this && !this_worker->without_slot_approx()) return;
  full_fence();  // E14.
  wake_one_fenced(there);
}

void scheduler::wake_one_fenced(const shared_queues::of_node& there) noexcept {
  const int claimed = idle.claim(there.slots);
  if (claimed == idle_set::nobody) return;
  // Null: it woke by itself meanwhile, has found that it is one too many, and passes on the search that it was claimed for.
  if (worker* const sleeper = holder(static_cast<unsigned>(claimed))) sleeper->unpark();
}

std::uint32_t scheduler::next_task_id() noexcept {
  worker* here = this_worker;
  return here != nullptr && &here->owner() == this ? here->next_task_id() : reserve_task_ids(1);
}

void scheduler::offload(blocking_job& job) noexcept {
  // A simulated run waits for no thread: it would not know when virtual time may go on.
  if (seeded()) {
    if (chooses_ != nullptr && first().puts_off(job)) return;
    const worker::absence from_here;
    return job.run(job);
  }
  blocking_.submit(job);
}

// What a simulated run has done with its timers: most of it shows in nothing else, for wheels have ticks and timers are taken back.
void scheduler::trace(std::int64_t word) noexcept { reactors_[0]->trace(static_cast<std::uint64_t>(word)); }

void scheduler::arm(timer_node& node) noexcept {
  if (seeded()) [[unlikely]] trace(node.due_ns);
  reactor& home = this_worker->home();
  if (home.wheel.arm(node)) home.ring();
}

void scheduler::disarm(timer_node& node) noexcept {
  if (seeded()) [[unlikely]] trace(~node.due_ns);
  static_cast<timer_wheel*>(node.wheel)->disarm(node);
}

void scheduler::sleep(task_record& record, sleep_waiter& waiter) noexcept {
  if (seeded()) [[unlikely]] trace(waiter.due_ns);
  reactor& home = this_worker->home();
  if (home.wheel.sleep(record, waiter)) home.ring();
}

bool scheduler::unsleep(task_record& record, sleep_waiter& waiter) noexcept {
  if (seeded()) [[unlikely]] trace(~waiter.due_ns);
  return static_cast<timer_wheel*>(waiter.wheel)->unsleep(record);
}

void scheduler::enlist(scope_state& scope) noexcept {
  worker* here = this_worker;
  scope.registry_index = static_cast<std::uint16_t>(here != nullptr && &here->owner() == this ? here->index() : size());
  registry& part = registries_[scope.registry_index];
  part.lock.lock();
  part.scopes.push_back(scope.registry);
  part.lock.unlock();
}

bool scheduler::retire(scope_state& scope) noexcept {
  // Both locks, as in each_scope(): it finds a scope in the list and pins it in one step.
  registry& part = registries_[scope.registry_index];
  part.lock.lock();
  scope.lock.lock();
  const bool over = --scope.pins == 0 && scope.drained;
  if (over) scope.registry.unlink();
  scope.lock.unlock();
  part.lock.unlock();
  return over;
}

// Whoever pins the scope found it here, or is cancelling it, and then its owner has been held, or a child not ended, meanwhile:
// either way we see that it was pinned, and where it never was, nobody can be about to touch it.
bool scheduler::drain(scope_state& scope) noexcept {
  registry& part = registries_[scope.registry_index];
  part.lock.lock();
  bool over = !scope.was_pinned;
  if (!over) {
    scope.lock.lock();
    scope.drained = true;
    over = scope.pins == 0;
    scope.lock.unlock();
  }
  if (over) scope.registry.unlink();
  part.lock.unlock();
  return over;
}

std::uint64_t scheduler::live_tasks_approx() noexcept {
  std::uint64_t tasks = 0;
  for (unsigned i = 0; i <= size(); i++) {
    registry& part = registries_[i];
    part.lock.lock();
    for (list_link* link = part.scopes.front(); link != nullptr && link != part.scopes.end(); link = link->next) {
      if (link == &part.visitor) continue;
      tasks += scope_state::from_registry(*link).size_approx();
    }
    part.lock.unlock();
  }
  return tasks;
}

void scheduler::cancel_later(scope_state& scope) noexcept {
  foreign_.fetch_add(1, std::memory_order_relaxed);  // as in inject(): the pin is ours until the scope is pushed
  cancelling.push(scope);
  wake_one(queues_here());
  foreign_.fetch_sub(1, std::memory_order_release);  // E18 release.
}

void scheduler::will_last() noexcept {
  worker* const here = this_worker;
  if (here != nullptr && &here->owner() == this && this_run.current != nullptr) here->will_last();
}

void scheduler::root_empty() noexcept {
  foreign_.fetch_add(1, std::memory_order_relaxed);
  if (on_empty) on_empty();
  stopping_.store(true, std::memory_order_release);  // E17 release.
  {
    // A spare that is being added is either woken here, or finds that it is the end.
    const system_guard guarded{threads_lock_};
    each_worker([](worker& each) { each.unpark(); });
  }
  foreign_.fetch_sub(1, std::memory_order_release);  // E18 release.
}

void scheduler::unobserved(std::exception_ptr failure, failed whose, const char* name,
                           const std::source_location& site) noexcept {
  if (is_untold) return;
  const char* what = "an exception that is no std::exception";
  std::string text;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& thrown) {
    text = thrown.what();
    what = text.c_str();
  } catch (...) {
  }
  const bool in_scope = whose == failed::in_scope;
  std::string who = in_scope ? "a task of a scope" : "task";
  if (name != nullptr) who += " \"" + std::string(name) + "\"";
  // The main task has no site, nor has one from outside.
  if (site.line() != 0) {
    who += std::string(in_scope ? " opened at " : " spawned at ") + site.file_name() + ":" + std::to_string(site.line());
  }
  const std::string said = "levity: " + who + " failed: " + what + '\n';
  constexpr int patience_ms = 100;  // a pipe that nobody reads keeps no worker
  bounded_writer(STDERR_FILENO, patience_ms).write(said);
}

scheduler::stall_figures scheduler::stalls_approx() noexcept {
  return {guard.stalls(stall_cause::on_cpu), guard.stalls(stall_cause::in_call), guard.stalls(stall_cause::lock),
          guard.stalls(stall_cause::fault),  guard.stalls(stall_cause::off_cpu), guard.stalls(stall_cause::unknown)};
}

scheduler::node_figures scheduler::nodes_approx() noexcept {
  node_figures sum{queues.count(), 0, 0};
  each_worker([&sum](const worker& each) {
    sum.taken += each.taken_afar_approx();
    sum.taken_early += each.taken_early_approx();
  });
  return sum;
}

reactor& scheduler::home_reactor() noexcept { return this_worker->home(); }

reactor* scheduler::idle_reactor() noexcept {
  worker* here = this_worker;
  if (here == nullptr || &here->owner() != this || !has_threads_) return nullptr;
  return here->stay_at_idle_home() ? &here->home() : nullptr;
}

void scheduler::leave_idle_reactor() noexcept { this_worker->leave_home(); }

reactor& scheduler::next_reactor() noexcept {
  const unsigned count = reactor_count();
  if (count == 1) return *reactors_[0];
  return *reactors_[next_reactor_.fetch_add(1, std::memory_order_relaxed) % count];
}

}  // namespace levity::detail
