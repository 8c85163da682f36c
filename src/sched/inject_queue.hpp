#pragma once

// inject_queue: ready tasks that belong to no worker: woken or spawned by foreign threads, spilled by a full deque, or yielding.
// First in, first out.
//
// Pushing is lock-free (a stack, after Treiber): a thread that is descheduled in the middle holds nobody up. What is pushed at once
// is one entry of the stack, a chain in its order. Taking moves the whole stack, turned round, behind the ordered list, under a
// spin lock: two pointer writes a chain, however long that is.
//
//   of a chain's first link   next: the second one, null if there is none    prev: the entry below it in the stack
//   of its second             prev: the chain's last one
//
// Edges
//   E13  push -> take: the task and what its pusher wrote.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

class inject_queue {
public:
  /// Any thread.
  void push(task_record& task) noexcept {
    task.queue.next = nullptr;
    push_chain(task.queue, 1);
  }

  /// Any thread. Pushes `count` tasks, first to be taken first.
  void push_all(task_record* const* tasks, std::size_t count) noexcept {
    if (count == 0) return;
    list_link& last = tasks[count - 1]->queue;
    for (std::size_t i = 0; i + 1 < count; i++) tasks[i]->queue.next = &tasks[i + 1]->queue;
    last.next = nullptr;
    if (count > 1) tasks[1]->queue.prev = &last;
    push_chain(tasks[0]->queue, static_cast<std::int64_t>(count));
  }

  /// Takes up to `wanted` tasks, oldest first. Any thread.
  std::size_t take(task_record** into, std::size_t wanted) noexcept {
    if (empty_approx()) return 0;
    std::size_t taken = 0;
    lock_.lock();
    collect();
    while (taken < wanted && first_ != nullptr) {
      list_link* link = first_;
      first_ = link->next;
      link->next = nullptr;
      into[taken++] = &task_record::from_queue(*link);
    }
    if (first_ == nullptr) last_ = nullptr;
    const auto gone = static_cast<std::int64_t>(taken);
    const std::int64_t left = size_.fetch_sub(gone, std::memory_order_relaxed) - gone;
    lock_.unlock();
    // Somebody is in the middle of a push. Whoever finds work that cannot be had yet looks again and again, perhaps on the very
    // processor that the pusher waits for.
    if (taken == 0 && left > 0) [[unlikely]] give_way();
    return taken;
  }

  [[nodiscard]] bool empty_approx() const noexcept { return size_.load(std::memory_order_relaxed) <= 0; }
  [[nodiscard]] std::int64_t size_approx() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
  void push_chain(list_link& first, std::int64_t count) noexcept {
    // Before the tasks are there: the size may say too much for a moment, never too little, so no task is overlooked.
    size_.fetch_add(count, std::memory_order_relaxed);
    list_link* head = inbox_.load(std::memory_order_relaxed);
    do {
      first.prev = head;
    } while (!inbox_.compare_exchange_weak(head, &first, std::memory_order_release,  // E13 release.
                                           std::memory_order_relaxed));
  }

  void collect() noexcept {
    if (inbox_.load(std::memory_order_relaxed) == nullptr) return;
    list_link* chain = inbox_.exchange(nullptr, std::memory_order_acquire);  // E13 acquire.
    list_link* turned = nullptr;
    list_link* newest = nullptr;
    while (chain != nullptr) {
      list_link* const below = chain->prev;
      list_link* const last = chain->next == nullptr ? chain : chain->next->prev;
      if (newest == nullptr) newest = last;
      last->next = turned;
      turned = chain;
      chain = below;
    }
    if (turned == nullptr) return;
    if (last_ == nullptr) {
      first_ = turned;
    } else {
      last_->next = turned;
    }
    last_ = newest;
  }

  alignas(cache_line_bytes) atomic<list_link*> inbox_{nullptr};
  alignas(cache_line_bytes) atomic<std::int64_t> size_{0};
  spin_lock lock_;
  list_link* first_ = nullptr;  // guarded by lock_
  list_link* last_ = nullptr;   // guarded by lock_
};

}  // namespace levity::detail
