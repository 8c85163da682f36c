#pragma once

// query: one name that is looked up, its outcome, and the task that waits for it.
//
// It belongs to both sides, the task that asks and the thread, and goes with the last of them: a task that is cancelled leaves at
// once, and the thread drops the late answer. Where its task waits is one word:
//   asked (0) -> a record       the task waits           the task
//   a record  -> asked          take back                a canceller
//   any       -> answered (1)   the outcome is there     the thread; a record found there is woken
//
// Edges
//   E110  push -> take of the inbox: the query. (Back, the outcome travels with E111, or with wake().)
//   E111  the answer -> a task that finds it there: the outcome. Whoever waits is woken by the word of its record (E2, E3).
//   E112  last but one owner -> last: what the others did with the query is over before it goes.

#include <coroutine>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/atomic.hpp"
#include "levity/base/error.hpp"
#include "levity/resolve/resolver.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

inline constexpr const char* looking_up = "looking a name up";

struct query {
  static constexpr std::uintptr_t asked = 0;
  static constexpr std::uintptr_t answered = 1;

  query* next = nullptr;  // the inbox's
  void* home = nullptr;   // the thread's
  std::string host;
  std::string service;
  address_family family = address_family::any;
  atomic<std::uintptr_t> word{asked};
  atomic<unsigned> owners{2};
  io_result<std::vector<address>> outcome = std::unexpected(io_error{io_failure::cancelled, 0, looking_up});

  void answer(io_result<std::vector<address>> with) noexcept;
  /// One owner has done with it.
  void let_go() noexcept;
};

/// Waits for the answer; tells the reason that ended the wait early, none otherwise.
class query_wait : waiter {
public:
  explicit query_wait(query& on) noexcept : waiter{&reason_}, query_(on) {}
  bool await_ready() const noexcept { return false; }
  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame);
  }
  cancel_reason await_resume() const noexcept { return why_; }

private:
  bool suspend(std::coroutine_handle<> frame) noexcept;
  static bool take_back(waiter& self, task_record& record) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;

  static const wait_reason reason_;

  query& query_;
  cancel_reason why_ = cancel_reason::none;
};

/// Queries that nobody has begun. Any thread pushes.
class query_inbox {
public:
  /// True: it was empty. What comes until the thread takes them all is taken with it.
  [[nodiscard]] bool push(query& one) noexcept;
  /// All of them, oldest first, by `next`; null: there are none.
  [[nodiscard]] query* take_all() noexcept;

private:
  atomic<query*> newest_{nullptr};
};

}  // namespace levity::detail
