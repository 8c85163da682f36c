#include "sim/disk_backend.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "io/sync_queue.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::sim {

using detail::file_operation;
using detail::sync_queue;

namespace {

constexpr std::int64_t never = INT64_MAX;

std::int64_t now_ns() noexcept { return clock::now().time_since_epoch().count(); }

bool syncs(const file_operation& operation) noexcept {
  return operation.is_sync() || operation.what == file_operation::kind::sync || operation.what == file_operation::kind::sync_data;
}

}  // namespace

disk_backend::disk_backend(disk& on) : disk_(&on) {
  LEVITY_ASSERT(on.user_ == nullptr, "a simulated disk has one user at a time; cut the one before off");
  on.user_ = this;
  alarm_.owner = this;
  alarm_.fire = &ring;
}

disk_backend::~disk_backend() {
  LEVITY_ASSERT(started_.empty(), "a simulated disk's operations are over before the runtime is");
  if (disk_ != nullptr) disk_->user_ = nullptr;
}

// Of a sync its queue decides when it is made; of a durable write the write comes first.
void disk_backend::submit(file_operation& operation) noexcept {
  if (disk_ == nullptr) return detail::complete(operation, -EIO);
  if (operation.syncs == nullptr) return begin(operation);
  if (operation.syncs->failure() != 0) return detail::complete(operation, -operation.syncs->failure());
  if (!operation.is_sync()) return begin(operation);
  switch (operation.syncs->begin(operation)) {
    case sync_queue::turn::now: return begin(operation);
    case sync_queue::turn::later: return;
    case sync_queue::turn::never: return detail::complete(operation, -operation.syncs->failure());
  }
}

// Whether the timer can be armed for it here.
bool disk_backend::has_time(const file_operation& operation) const noexcept {
  if (rings_) return true;
  const detail::executor* const here = detail::current_run().exec;
  if (here == nullptr || (armed_on_ != nullptr && armed_on_ != here)) return false;
  return operation.task == nullptr || operation.task->scope->exec == here;
}

void disk_backend::begin(file_operation& operation) {
  started one{&operation, false, 0, {}};
  const bool has_time = this->has_time(operation);
  if (!has_time && !disk_->hangs()) return end(std::move(one));
  const std::int64_t takes_ns = has_time ? disk_->draw_latency(operation) : 0;
  if (syncs(operation)) {
    one.result = disk_->begin_sync(operation.fd, one.ticket);
    one.done = one.result != 0;
    if (!one.done) disk_->tell_time(one.ticket, takes_ns);
  } else if (disk_->draw_early()) {
    carry_out(one);
  }
  const std::int64_t due_ns = disk_->hangs() ? never : now_ns() + takes_ns;
  started_.emplace(when{due_ns, ++last_}, std::move(one));
  if (!rings_ && due_ns != never) arm();
}

void disk_backend::carry_out(started& one) {
  if (one.done) return;
  one.done = true;
  one.result = one.ticket.of != nullptr ? disk_->end_sync(one.ticket) : disk_->perform(*one.operation);
}

void disk_backend::end(started ended) {
  carry_out(ended);
  over(*ended.operation, ended.result);
}

// Goes on with what is left of it, and wakes who has nothing left.
void disk_backend::over(file_operation& operation, std::int64_t result) {
  sync_queue* queue = operation.syncs;
  if (queue == nullptr) return detail::complete(operation, result);
  if (!operation.is_sync()) {
    if (result <= 0) {
      queue->fail(result);
      return detail::complete(operation, result);
    }
    operation.written = static_cast<std::int32_t>(result);
    return submit(operation);
  }
  const sync_queue::outcome outcome = queue->end(operation, result);
  detail::complete(operation, operation.result);
  detail::complete_all(outcome.served);
  if (outcome.leader != nullptr) begin(*outcome.leader);  // by its queue's word, whatever has failed meanwhile
}

void disk_backend::arm() {
  const auto first = started_.begin();
  if (first == started_.end() || first->first.first == never) return;
  if (armed_on_ != nullptr) {
    if (alarm_.due_ns <= first->first.first) return;
    armed_on_->disarm(alarm_);
  }
  armed_on_ = detail::current_run().exec;
  const detail::task_record* const waits = first->second.operation->task;
  LEVITY_ASSERT(armed_on_ != nullptr && (waits == nullptr || waits->scope->exec == armed_on_),
                "the alarm of a simulated disk is armed by its own host");
  alarm_.due_ns = first->first.first;
  armed_on_->arm(alarm_);
}

std::int64_t disk_backend::ring(detail::timer_node& node) noexcept {
  disk_backend& self = *static_cast<alarm&>(node).owner;
  self.rings_ = true;
  const std::int64_t now = now_ns();
  while (!self.started_.empty() && self.started_.begin()->first.first <= now) {
    auto due = self.started_.extract(self.started_.begin());
    if (self.disk_->hangs()) {
      self.started_.emplace(when{never, due.key().second}, std::move(due.mapped()));
    } else {
      self.end(std::move(due.mapped()));
    }
  }
  self.rings_ = false;
  const std::int64_t next = self.started_.empty() ? never : self.started_.begin()->first.first;
  if (next != never) return next;
  self.armed_on_ = nullptr;
  return detail::timer_node::done;
}

void disk_backend::go_on() noexcept {
  for (;;) {
    const auto hung = started_.lower_bound(when{never, 0});
    if (hung == started_.end()) return;
    auto one = started_.extract(hung);
    end(std::move(one.mapped()));
  }
}

void disk_backend::cut_off() noexcept {
  if (disk_ == nullptr) return;
  disk_->user_ = nullptr;
  disk_ = nullptr;
  if (armed_on_ != nullptr) armed_on_->disarm(alarm_);
  armed_on_ = nullptr;
  while (!started_.empty()) {
    const auto one = started_.extract(started_.begin());
    over(*one.mapped().operation, -EIO);
  }
}

std::int64_t disk_backend::perform_now(const file_operation& operation) noexcept {
  return disk_ == nullptr ? -EIO : disk_->perform(operation);
}

std::int64_t disk_backend::size_of(std::int32_t fd) noexcept { return disk_ == nullptr ? -EIO : disk_->size_of(fd); }

std::int64_t disk_backend::status_of(std::int32_t fd, unsigned, struct statx& into) noexcept {
  return disk_ == nullptr ? -EIO : disk_->status_of(fd, into);
}

std::int64_t disk_backend::try_lock(std::int32_t fd) noexcept { return disk_ == nullptr ? -EIO : disk_->try_lock(fd); }

}  // namespace levity::sim
