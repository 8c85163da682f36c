// The mutexes and condition variables of an exploration.
//
// A mutex is a word that is 0 while it is free, and else the number of who has it, plus one. Both of its steps are
// read-modify-writes, an acquire and a release: so one whose order was taken away hands on what the ones before it have handed on,
// and adds nothing of its own.

#include <fmt/format.h>

#include "model/exploration.hpp"

namespace levity::inline v0::model::detail {
namespace {

using kind = action::kind;
using happens = happening::kind;

}  // namespace

unsigned exploration::find_mutex(const void* mutex, site where) noexcept { return find(mutex, sizeof(std::uint32_t), where); }

bool exploration::has(unsigned mutex) const noexcept {
  return memory_.at(mutex, memory_.count(mutex) - 1).value == current_ + 1;
}

void exploration::lock(const void* mutex, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  const bool weak{weakened_.at(where)};
  const unsigned w = find_mutex(mutex, where);
  const action what{kind::lock, false, 0, w};
  step(what, where);
  threads_[current_].locks++;
  threads_[current_].wrote = false;
  const std::memory_order order = weak ? std::memory_order_relaxed : std::memory_order_acquire;
  note({happens::lock, 0, 0, weak, order, w, 0, 0, 0, 0, 0, 0, where});
  memory_.change(current_, w, current_ + 1, order, where, search_.steps() - 1);
  made(what);
}

// Its step is about to be noted as made.
void exploration::lets_go(unsigned w, bool orders, site where) noexcept {
  threads_[current_].locks--;
  memory_.change(current_, w, 0, orders ? std::memory_order_release : std::memory_order_relaxed, where, search_.steps() - 1);
}

void exploration::unlock(const void* mutex, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  const bool weak{weakened_.at(where)};
  const unsigned w = find_mutex(mutex, where);
  if (!has(w)) fail(fmt::format("{} unlocks{} what it has not locked", name_of_thread(current_), at(where)));
  const action what{kind::unlock, false, 0, w};
  step(what, where);
  note({happens::unlock, 0, 0, weak, weak ? std::memory_order_relaxed : std::memory_order_release, w, 0, 0, 0, 0, 0, 0, where});
  lets_go(w, !weak, where);
  made(what);
  if (threads_[current_].wrote) stored();  // for who spins on what the mutex guards
}

// It may end for no reason, though not twice in a row, or a loop around it would have no end; that it does so later, when others
// have made a step, is the same as if it waited for the lock until then.
bool exploration::wait(const std::uint32_t* condition, const void* mutex, bool timed, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  const bool weak{weakened_.at(where)};
  const unsigned c = find(condition, sizeof *condition, where);
  const unsigned w = find_mutex(mutex, where);
  if (!has(w)) fail(fmt::format("{} waits{} and has not locked the mutex", name_of_thread(current_), at(where)));
  const action what{kind::wait, false, 0, c, w};
  step(what, where);
  const bool may_be_over = timed && wanted_.timeouts && !threads_[current_].was_late;
  const bool may_fail = memory_.may_fail(current_, c);
  bounded_.waits = bounded_.waits || !may_fail || (timed && wanted_.timeouts && !may_be_over);
  const unsigned chosen = search_.choose(1U + (may_fail ? 1U : 0U) + (may_be_over ? 1U : 0U));
  const bool fails = may_fail && chosen == 1;
  const bool is_over = chosen != 0 && !fails;
  memory_.failed(current_, c, fails || (is_over && !may_fail));  // in turn with time-outs it would have no end, either
  note({fails ? happens::wakes_up : is_over ? happens::timeout : happens::sleep, 0, 0, weak, {}, c, 0, 0, 0, 0, 0, 0, where});
  lets_go(w, !weak, where);
  made(what);
  if (threads_[current_].wrote) stored();
  if (is_over) now_ns_ += limit_ns;
  threads_[current_].was_late = is_over || (fails && threads_[current_].was_late);
  const bool is_late = is_over || (chosen == 0 && !sleep_until_woken(timed));
  lock(mutex, where);
  return !is_late;
}

void exploration::notify(const std::uint32_t* condition, bool all, site where) noexcept {
  {
    const at_work answers(*this);
    keep_promise();
    static_cast<void>(find(condition, sizeof *condition, where));  // other than a futex's word it has to be there
  }
  futex_wake(condition, all, where);
}

}  // namespace levity::model::detail
