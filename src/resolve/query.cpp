#include "resolve/query.hpp"

#include <cstdio>

#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::detail {

void query::answer(io_result<std::vector<address>> with) noexcept {
  outcome = std::move(with);
  const std::uintptr_t before = word.exchange(answered, std::memory_order_release);  // E111 release.
  if (before > answered) wake(*reinterpret_cast<task_record*>(before));
  let_go();
}

void query::let_go() noexcept {
  if (owners.fetch_sub(1, std::memory_order_release) != 1) return;  // E112 release.
  (void)owners.load(std::memory_order_acquire);                     // E112 acquire.
  delete this;
}

const wait_reason query_wait::reason_{"name look-up", &query_wait::take_back, nullptr, &query_wait::describe};

bool query_wait::suspend(std::coroutine_handle<> frame) noexcept {
  task_record& record = running_task();
  if (why_ = pending_cancel(record); why_ != cancel_reason::none) return false;
  prepare_wait(record, frame, *this);
  std::uintptr_t expected = query::asked;
  const auto waits = reinterpret_cast<std::uintptr_t>(&record);
  if (query_.word.compare_exchange_strong(expected, waits, std::memory_order_relaxed, std::memory_order_relaxed)) {
    return commit_wait(record);
  }
  (void)query_.word.load(std::memory_order_acquire);  // E111 acquire: it is answered.
  return false;
}

bool query_wait::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<query_wait&>(self);
  auto expected = reinterpret_cast<std::uintptr_t>(&record);
  if (!wait.query_.word.compare_exchange_strong(expected, query::asked, std::memory_order_relaxed, std::memory_order_relaxed)) {
    return false;
  }
  wait.why_ = effective_cancel(record);
  return true;
}

void query_wait::describe(const waiter& self, char* text, std::size_t size) noexcept {
  const query& on = static_cast<const query_wait&>(self).query_;
  std::snprintf(text, size, "%s", on.host.c_str());
}

bool query_inbox::push(query& one) noexcept {
  query* newest = newest_.load(std::memory_order_relaxed);
  do {
    one.next = newest;
    // E110 release.
  } while (!newest_.compare_exchange_weak(newest, &one, std::memory_order_release, std::memory_order_relaxed));
  return newest == nullptr;
}

query* query_inbox::take_all() noexcept {
  // E110 acquire.
  query* newest = newest_.exchange(nullptr, std::memory_order_acquire);
  query* oldest = nullptr;
  while (newest != nullptr) {
    query* const before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  return oldest;
}

}  // namespace levity::detail
