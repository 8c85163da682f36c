// The words of an exploration: what a load may read, where a store may stand, fences and barriers, and who waits at a word.

#include <array>
#include <cstring>

#include "model/exploration.hpp"

namespace levity::inline v0::model::detail {
namespace {

using kind = action::kind;
using happens = happening::kind;

constexpr std::uint64_t bytes_mask(std::size_t size) noexcept {
  return size >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * size)) - 1;
}

std::uint64_t changed_by(levity::detail::change how, std::uint64_t from, std::uint64_t operand) noexcept {
  switch (how) {
    case levity::detail::change::exchange: break;
    case levity::detail::change::add: return from + operand;
    case levity::detail::change::subtract: return from - operand;
    case levity::detail::change::bit_and: return from & operand;
    case levity::detail::change::bit_or: return from | operand;
    case levity::detail::change::bit_xor: return from ^ operand;
  }
  return operand;
}

}  // namespace

void exploration::begins(const void* word, std::size_t, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  memory::problem wrong;
  memory_.begins(current_, word, where, wrong);
  check(wrong, where);
}

void exploration::ends(const void* word, std::size_t) noexcept {
  const at_work answers(*this);
  keep_promise();
  memory::problem wrong;
  memory_.ends(current_, word, wrong);
  check(wrong, {});
}

unsigned exploration::pick_message(unsigned word, bool single_order) noexcept {
  const unsigned oldest = memory_.oldest(current_, word, single_order);
  const unsigned count = memory_.count(word);
  const std::uint32_t stamp = search_.stamp();
  if (stamp == 0) return count - 1 - search_.choose(count - oldest);
  unsigned ways = 0;
  for (unsigned place = oldest; place < count; place++) ways += memory_.at(word, place).created >= stamp ? 1 : 0;
  unsigned picked = count - 1;
  search_.choose(ways, count - oldest, [&](unsigned chosen) {
    for (unsigned place = count; place-- > oldest;) {
      if (memory_.at(word, place).created >= stamp && chosen-- == 0) {
        picked = place;
        break;
      }
    }
    return count - 1 - picked;
  });
  return picked;
}

void exploration::look_again(unsigned t) noexcept {
  threads_[t].is = state::ready;
  threads_[t].in_vain = 0;
}

// Who looks again and again, and neither sees nor does anything new, spins, whether it says so or not. Who looks over many words,
// as a worker does that finds nothing to do, does not.
void exploration::looked(bool in_vain) noexcept {
  constexpr unsigned patience = 48;
  thread& self = threads_[current_];
  self.in_vain = in_vain ? self.in_vain + 1 : 0;
  if (!in_vain) self.hints = 0;  // another loop, or another round of news for this one
  if (self.in_vain <= patience) return;
  bounded_.looks = true;
  self.is = state::spins;
  search_.gives_way(current_);
}

std::uint64_t exploration::load(const void* word, std::size_t size, std::memory_order order, site where) noexcept {
  const at_work answers(*this);
  const taken_halves taken = weakened_.at(where);
  const bool weak{taken};
  order = taken.of(order);
  const unsigned w = find(word, size, where);
  const action what{kind::load, is_single_order(order), 0, w};
  goes_before_late(word, what.single_order);
  const auto size32 = static_cast<std::uint32_t>(size);
  if (const auto value = promise({kind::load, w, size32, order, weak, where, word})) return *value;
  step(what, where);
  const unsigned known = memory_.oldest_known(current_, w, what.single_order);
  const unsigned oldest = memory_.oldest(current_, w, what.single_order);
  const unsigned kept_from = oldest != known && memory_.has_enough(current_, w) ? known : search::none_kept;
  const unsigned place = pick_message(w, what.single_order);
  const message& seen = memory_.at(w, place);
  const std::uint64_t value = seen.value;
  note({happens::load, 0, 0, weak, order, w, size32, value, 0, seen.created, memory_.created(),
        memory_.at(w, oldest).created, where});
  const bool in_vain = memory_.read(current_, w, place, order);
  made(what, place, kept_from);
  looked(in_vain);
  has_read(word, value);
  return value;
}

void exploration::store(void* word, std::size_t size, std::uint64_t value, std::memory_order order, site where) noexcept {
  const at_work answers(*this);
  const taken_halves taken = weakened_.at(where);
  const bool weak{taken};
  order = taken.of(order);
  const unsigned w = find(word, size, where);
  const action what{kind::store, is_single_order(order), 0, w};
  const passing_write write{word, passing_write::store, 0, value};
  goes_before_late(write, order);
  step(what, where);
  unsigned place = memory_.count(w);
  if (wanted_.reorder_stores) {
    const unsigned first = memory_.first_place(current_, w, what.single_order);
    unsigned ways = 0;
    for (unsigned each = first; each <= memory_.count(w); each++) ways += memory_.is_free(w, each) ? 1 : 0;
    unsigned chosen = search_.choose(ways);
    for (unsigned each = memory_.count(w); each >= first; each--) {
      if (memory_.is_free(w, each) && chosen-- == 0) {
        place = each;
        break;
      }
    }
  }
  if (place == memory_.count(w)) std::memcpy(word, &value, size);
  note({happens::store, 0, 0, weak, order, w, static_cast<std::uint32_t>(size), value, 0, memory_.created(), 0, 0, where});
  memory_.write(current_, w, place, value, order, where, search_.steps() - 1);
  made(what);
  stored();
  has_written(write);
}

std::uint64_t exploration::read_modify_write(void* word, std::size_t size, levity::detail::change how, std::uint64_t operand,
                                             std::memory_order order, site where) noexcept {
  const at_work answers(*this);
  const taken_halves taken = weakened_.at(where);
  const bool weak{taken};
  order = taken.of(order);
  const unsigned w = find(word, size, where);
  const action what{kind::change, is_single_order(order), 0, w};
  const auto changed = [&](std::uint64_t from) { return changed_by(how, from, operand) & bytes_mask(size); };
  const passing_write write{word, passing_write::change + static_cast<unsigned>(how), 0, operand};
  goes_before_late(write, order);
  if (const auto read = promise({kind::change, w, static_cast<std::uint32_t>(size), order, weak, where, word})) {
    late_.writes = changed(*read);
    return *read;
  }
  step(what, where);
  const message& seen = memory_.at(w, memory_.count(w) - 1);
  const std::uint64_t old = seen.value;
  const std::uint64_t value = changed(old);
  note({happens::change, 0, 0, weak, order, w, static_cast<std::uint32_t>(size), old, value, seen.created, 0, 0, where});
  memory_.change(current_, w, value, order, where, search_.steps() - 1);
  std::memcpy(word, &value, size);
  made(what);
  stored();
  has_written(write);
  return old;
}

bool exploration::compare_exchange(void* word, std::size_t size, std::uint64_t& expected, std::uint64_t desired, bool weak,
                                   std::memory_order success, std::memory_order failure, site where) noexcept {
  const at_work answers(*this);
  const taken_halves taken = weakened_.at(where);
  const bool succeeds_weakly = success != taken.of(success);
  const bool fails_weakly = failure != taken.of_failure(failure);
  success = taken.of(success);
  failure = taken.of_failure(failure);
  const unsigned w = find(word, size, where);
  action what{kind::change, is_single_order(success) || is_single_order(failure), 0, w};
  const auto size32 = static_cast<std::uint32_t>(size);
  const passing_write write{word, passing_write::exchange, expected, desired};
  goes_before_late(write, success);
  if (promise({kind::change, w, size32, success, succeeds_weakly, where, word, desired}, &expected)) return true;
  step(what, where);
  const unsigned count = memory_.count(w);
  const unsigned oldest = memory_.oldest(current_, w, is_single_order(failure));
  const bool equal = memory_.at(w, count - 1).value == expected;
  // It succeeds; or it is a load of something else; or, if it is weak, of what was expected, though not twice in a row.
  const bool may_fail = weak && memory_.may_fail(current_, w);
  bounded_.exchanges = bounded_.exchanges || (weak && !may_fail);
  const bool is_kept = oldest != memory_.oldest_known(current_, w, is_single_order(failure)) && memory_.has_enough(current_, w);
  bounded_.stale_reads = bounded_.stale_reads || is_kept;
  const auto is_way = [&](unsigned place, bool spurious) {
    return (memory_.at(w, place).value == expected) == spurious && (!spurious || may_fail);
  };
  unsigned ways = equal ? 1U : 0U;
  for (unsigned place = oldest; place < count; place++) ways += is_way(place, false) || is_way(place, true) ? 1 : 0;
  unsigned chosen = search_.choose(ways);
  if (equal && chosen == 0) {
    note({happens::change, 0, 0, succeeds_weakly, success, w, size32, expected, desired, memory_.at(w, count - 1).created, 0, 0,
          where});
    memory_.change(current_, w, desired, success, where, search_.steps() - 1);
    std::memcpy(word, &desired, size);
    made(what);
    stored();
    has_written(write);
    return true;
  }
  what.what = kind::compare;
  if (equal) chosen--;
  unsigned picked = count;
  for (const bool spurious : {false, true}) {
    for (unsigned place = count; picked == count && place-- > oldest;) {
      if (is_way(place, spurious) && chosen-- == 0) picked = place;
    }
  }
  const unsigned place = picked;
  if (memory_.at(w, place).value == expected) {
    note({happens::spurious, 0, 0, fails_weakly, failure, w, size32, expected, 0, memory_.at(w, place).created, memory_.created(),
          memory_.at(w, oldest).created, where});
    memory_.read(current_, w, place, failure);
    memory_.failed(current_, w);
    made(what, place);
    has_read(word, expected);
    return false;
  }
  expected = memory_.at(w, place).value;
  note({happens::failed, 0, 0, fails_weakly, failure, w, size32, expected, 0, memory_.at(w, place).created, memory_.created(),
        memory_.at(w, oldest).created, where});
  const bool in_vain = memory_.read(current_, w, place, failure);
  made(what, place);
  looked(in_vain);
  has_read(word, expected);
  return false;
}

void exploration::fence(std::memory_order order, site where) noexcept {
  const at_work answers(*this);
  if (weakened_.at(where)) return;
  keep_promise();
  if (is_single_order(order)) {
    const action what{kind::fence, true, 0, action::no_word};
    step(what, where);
    memory_.fence(current_, order);
    made(what);
  } else {
    memory_.fence(current_, order);
  }
  note({happens::fence, 0, 0, false, order, {}, 0, 0, 0, 0, 0, 0, where});
}

void exploration::compiler_fence(site where) noexcept {
  const at_work answers(*this);
  if (weakened_.at(where)) return;
  keep_promise();
  memory_.compiler_fence(current_);
  note({happens::compiler_fence, 0, 0, false, {}, {}, 0, 0, 0, 0, 0, 0, where});
}

void exploration::process_barrier(site where) noexcept {
  const at_work answers(*this);
  if (weakened_.at(where)) return;
  keep_promise();
  note({happens::barrier, 0, 0, false, {}, {}, 0, 0, 0, 0, 0, 0, where});
  fence(std::memory_order_seq_cst, where);
  for (unsigned t = 0; t < threads_count_; t++) {
    if (t == current_) continue;
    const action what{kind::barrier, true, static_cast<std::uint8_t>(t), action::no_word};
    step(what, where);
    memory_.barrier_reaches(t);
    note({happens::reach, 0, static_cast<std::uint8_t>(t), false, {}, {}, 0, 0, 0, 0, 0, 0, where});
    made(what);
  }
  fence(std::memory_order_seq_cst, where);
}

void exploration::spins() noexcept {
  const at_work answers(*this);
  keep_promise();
  thread& self = threads_[current_];
  if (self.hints < wanted_.hints_max && search_.choose(2) == 1) {
    self.hints++;
    return;
  }
  self.hints = 0;
  bounded_.hints = true;
  memory_.spins(current_);
  self.is = state::spins;
  search_.gives_way(current_);
}

bool exploration::futex_wait(const std::uint32_t* word, std::uint32_t expected, bool timed, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  const unsigned w = find(word, sizeof *word, where);
  const action what{kind::wait, false, 0, w};
  step(what, where);
  const std::uint64_t value = memory_.at(w, memory_.count(w) - 1).value;
  memory_.compiler_fence(current_);  // a call into the kernel
  happening seen{happens::wait, 0, 0, false, {}, w, sizeof *word, value, 0, 0, 0, 0, where};
  // It may be over, or end for no reason, though neither twice in a row.
  const bool may_be_over = timed && wanted_.timeouts && !threads_[current_].was_late;
  const bool may_fail = !threads_[current_].was_roused;
  if (static_cast<std::uint32_t>(value) != expected) {
    seen.what = happens::no_wait;
  } else {
    bounded_.waits = bounded_.waits || !may_fail || (timed && wanted_.timeouts && !may_be_over);
    const unsigned chosen = search_.choose(1U + (may_fail ? 1U : 0U) + (may_be_over ? 1U : 0U));
    if (chosen != 0) seen.what = may_fail && chosen == 1 ? happens::no_reason : happens::timeout;
  }
  note(seen);
  made(what);
  if (seen.what == happens::timeout) now_ns_ += limit_ns;
  // Who ends one wait by its limit and the next one for no reason, in turn, has no end either: a wait that is one counts anew.
  thread& self = threads_[current_];
  self.was_late = seen.what == happens::timeout || (seen.what == happens::no_reason && self.was_late);
  self.was_roused = seen.what == happens::no_reason || (seen.what == happens::timeout && self.was_roused);
  if (seen.what != happens::wait) return seen.what != happens::timeout;
  return sleep_until_woken(timed);
}

// False: its time is over.
bool exploration::sleep_until_woken(bool timed) noexcept {
  thread& self = threads_[current_];
  self.is = state::waits;
  self.is_timed = timed && wanted_.timeouts;
  self.is_late = false;
  const unsigned me = current_;
  if (const unsigned chosen = decide(); chosen != me) go_on_in(chosen);
  made(action{});
  return !self.is_late;
}

// Nobody can go on: the time of those who wait with a limit is over. False: there are none.
bool exploration::let_time_pass() noexcept {
  bool any = false;
  for (unsigned t = 0; t < threads_count_; t++) {
    thread& each = threads_[t];
    if (each.is != state::waits || !each.is_timed) continue;
    each.is = state::ready;
    each.is_late = any = true;
    pending_[t] = action{};
  }
  if (any) now_ns_ += limit_ns;
  return any;
}

void exploration::futex_wake(const std::uint32_t* word, bool all, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  // The kernel reads nothing there: who was to be woken may have gone on, and the word be gone.
  const unsigned w = memory_.name(word, sizeof *word);
  if (w == memory::no_word) return;
  const action what{kind::wake, false, 0, w};
  step(what, where);
  std::array<unsigned, threads_max> waiting{};
  unsigned count = 0;
  for (unsigned t = 0; t < threads_count_; t++) {
    if (threads_[t].is == state::waits && pending_[t].word == w) waiting[count++] = t;
  }
  happening seen{happens::wake, 0, threads_max, false, {}, w, 0, 0, 0, 0, 0, 0, where};
  if (count == 0) note(seen);
  const unsigned one = all ? 0 : search_.choose(count);
  made(what);
  for (unsigned i = 0; i < count; i++) {
    if (!all && i != one) continue;
    threads_[waiting[i]].is = state::ready;
    pending_[waiting[i]] = action{};  // to be awake again
    search_.follows(waiting[i], current_);
    seen.other = static_cast<std::uint8_t>(waiting[i]);
    note(seen);
  }
}

}  // namespace levity::model::detail
