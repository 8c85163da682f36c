#include "levity/sync/detail/wait_list.hpp"

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

wait_list::~wait_list() {
  for (;;) {
    lock.lock();
    const bool alone = passers == 0;
    LEVITY_ASSERT(!alone || waiting.empty(), "what tasks wait for outlives their wait; join them before it goes");
    lock.unlock();
    if (alone) return;
    give_way();
  }
}

task_record* wait_list::hand_to_first() noexcept {
  list_link* first = waiting.pop_front();
  if (first == nullptr) return nullptr;
  task_record& record = task_record::from_queue(*first);
  static_cast<queued_wait*>(record.waits_on)->stage_ = queued_wait::stage::handed;
  return &record;
}

void wait_list::hand_to_all(link_list& from) noexcept {
  constexpr int slice = 64;
  constexpr int crowd = 1024;  // some 0.2 ms to wake them
  link_list served;
  passers++;
  for (int count = slice;; count += slice) {
    for (int i = 0; i < slice; i++) {
      list_link* link = from.pop_front();
      if (link == nullptr) break;
      static_cast<queued_wait*>(task_record::from_queue(*link).waits_on)->stage_ = queued_wait::stage::handed;
      served.push_back(*link);
    }
    if (from.empty()) break;
    lock.unlock();
    if (count == crowd && this_run.exec != nullptr) this_run.exec->will_last();
    lock.lock();
  }
  passers--;
  lock.unlock();
  wake_served(served);
}

void wake_served(link_list& served) noexcept {
  // A worker runs what was pushed last first: so the last one is pushed first.
  while (!served.empty()) {
    list_link& last = *served.end()->prev;
    last.unlink();
    wake(task_record::from_queue(last));
  }
}

bool queued_wait::park(task_record& record) noexcept {
  prepare_wait(record, record.leaf, *this);
  stage_ = stage::waiting;
  list_.waiting.push_back(record.queue);
  list_.lock.unlock();
  return !commit_wait(record);
}

bool queued_wait::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<queued_wait&>(self);
  wait.list_.lock.lock();
  const bool ours = wait.stage_ == stage::waiting;
  if (ours) {
    record.queue.unlink();
    wait.stage_ = stage::cancelled;
    wait.why_ = effective_cancel(record);
  }
  wait.list_.lock.unlock();
  return ours;
}

}  // namespace levity::detail
