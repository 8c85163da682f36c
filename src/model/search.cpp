#include "model/search.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace levity::inline v0::model::detail {
namespace {

unsigned lowest(thread_set threads) noexcept { return static_cast<unsigned>(std::countr_zero(threads)); }

bool is_store(const action& what) noexcept {
  return what.what == action::kind::store || what.what == action::kind::change;
}

bool in_single_order(const action& what) noexcept {
  return what.single_order || what.what == action::kind::fence || what.what == action::kind::barrier;
}

// Whether two actions of different threads touch, whatever the order and however a load goes.
bool meet(const action& a, unsigned thread_a, const action& b, unsigned thread_b) noexcept {
  using kind = action::kind;
  if (a.what == kind::join || b.what == kind::join) return false;
  if (a.what == kind::barrier && (a.target == thread_b || in_single_order(b))) return true;
  if (b.what == kind::barrier && (b.target == thread_a || in_single_order(a))) return true;
  if (a.what == kind::fence || b.what == kind::fence) return in_single_order(a) && in_single_order(b);
  if (a.mutex() != action::no_word && a.mutex() == b.mutex()) return true;
  if (a.word != b.word || a.word == action::no_word) return false;
  const bool waits_a = a.what == kind::wait;
  const bool waits_b = b.what == kind::wait;
  if (a.what == kind::wake || b.what == kind::wake) {
    return waits_a || waits_b || a.what == b.what;
  }
  if (is_store(a) || is_store(b)) return true;
  return !waits_a && !waits_b && a.single_order && b.single_order;
}

}  // namespace

search::search(const options& wanted, std::optional<answer_list> replay)
    : random_(wanted.how == options::mode::random),
      by_heart_(replay.has_value()),
      reduce_(wanted.reduce != options::reduction::none && wanted.preemptions_max == options::unlimited),
      races_(reduce_ && wanted.reduce == options::reduction::races),
      preemptions_max_(wanted.preemptions_max),
      depth_(wanted.depth),
      random_state_(wanted.seed * 0x9e3779b97f4a7c15U + 1),
      replay_(std::move(replay).value_or(answer_list{})) {}

std::uint64_t search::dice() noexcept {
  // xorshift64*
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return random_state_ * 0x2545f4914f6cdd1dU;
}

bool search::begin(bool again) {
  random_state_then_ = random_state_ = again ? random_state_then_ : random_state_;
  steps_most_ = std::max(steps_most_, at_);
  if (!again) steps_seen_ = steps_most_;
  if (!first_) {
    if (by_heart_) return false;
    if (!random_ && !backtrack()) return false;
  }
  first_ = false;
  at_ = 0;
  data_at_ = 0;
  stamp_ = 0;
  redundant_ = false;
  taken_.clear();
  last_.fill(0);
  for (clock& each : follows_) each.fill(0);
  known_ = nodes_.empty() ? 0 : nodes_.size() - 1;
  if (random_) {
    for (std::int32_t& each : priorities_) each = 1'000 + static_cast<std::int32_t>(dice() % 1'000'000);
    lowest_priority_ = 0;
    changes_.clear();
    for (unsigned i = 1; i < depth_; i++) changes_.push_back(static_cast<std::uint32_t>(dice() % steps_seen_));
  }
  return true;
}

// To the last answer of which there is another one.
bool search::backtrack() {
  for (;;) {
    while (!data_.empty() && data_.back().node == static_cast<int>(nodes_.size()) - 1) {
      datum& last = data_.back();
      if (++last.chosen < last.count) {
        events_.resize(std::min(events_.size(), nodes_.empty() ? 0 : nodes_.size() - 1));
        return true;
      }
      data_.pop_back();
    }
    if (nodes_.empty()) return false;
    node& last = nodes_.back();
    last.done |= set_of(last.chosen);
    if (reduce_) {
      last.sleep |= set_of(last.chosen);
      last.asleep |= set_of(last.chosen);
      last.stamps[last.chosen] = last.created;
    }
    const thread_set left = last.backtrack & ~last.done & ~last.asleep;
    if (left != 0) {
      last.chosen = static_cast<std::uint8_t>(lowest(left));
      events_.resize(std::min(events_.size(), nodes_.size() - 1));
      return true;
    }
    nodes_.pop_back();
  }
}

unsigned search::next(thread_set enabled, unsigned current, const action* pending, const memory& words) {
  stamp_ = 0;
  if (by_heart_) return next_by_heart(enabled);
  if (random_) {
    const unsigned chosen = next_at_random(enabled);
    at_++;
    note_thread(chosen);
    return chosen;
  }
  if (at_ < nodes_.size()) {
    const node& known = nodes_[at_++];
    if ((known.sleep & set_of(known.chosen)) != 0) stamp_ = known.stamps[known.chosen];
    note_thread(known.chosen);
    if ((enabled & set_of(known.chosen)) == 0) strayed_ = true;
    return strayed_ ? lowest(enabled) : known.chosen;
  }
  const bool goes_on = (enabled & set_of(current)) != 0;
  unsigned chosen = goes_on ? current : lowest(enabled);
  if (redundant_) {
    at_++;
    note_thread(chosen);
    return chosen;
  }

  node made;
  made.enabled = enabled;
  made.created = words.created();
  if (reduce_ && !nodes_.empty()) {
    const node& parent = nodes_.back();
    made.sleep = sleepers_after(parent, events_.back(), pending);
    for (thread_set each = made.sleep; each != 0; each &= each - 1) {
      const unsigned thread = lowest(each);
      made.stamps[thread] = parent.stamps[thread];
      if (!has_news(thread, pending[thread], made.stamps[thread], words)) made.asleep |= set_of(thread);
    }
    const thread_set awake = enabled & ~made.asleep;
    if (awake == 0) {
      redundant_ = true;
      at_++;
      note_thread(chosen);
      return chosen;
    }
    if ((awake & set_of(chosen)) == 0) chosen = lowest(awake);
  }
  if (!nodes_.empty()) {
    const node& parent = nodes_.back();
    const bool preempted = parent.goes_on && parent.chosen != parent.current;
    made.preemptions = static_cast<std::uint16_t>(parent.preemptions + (preempted ? 1 : 0));
  }
  made.current = static_cast<std::uint8_t>(current);
  made.goes_on = goes_on;
  if (races_) {
    made.backtrack = set_of(chosen);
  } else if (goes_on && made.preemptions >= preemptions_max_) {
    made.backtrack = set_of(chosen);
    bounded_ = bounded_ || enabled != made.backtrack;
  } else {
    made.backtrack = enabled;
  }
  made.chosen = static_cast<std::uint8_t>(chosen);
  if ((made.sleep & set_of(chosen)) != 0) stamp_ = made.stamps[chosen];
  nodes_.push_back(made);
  at_++;
  note_thread(chosen);
  return chosen;
}

unsigned search::next_by_heart(thread_set enabled) {
  at_++;
  unsigned chosen = lowest(enabled);
  if (replay_at_ < replay_.size()) {
    const int answer = replay_[replay_at_++];
    if (answer < 0 && (enabled & set_of(static_cast<unsigned>(-1 - answer))) != 0) {
      chosen = static_cast<unsigned>(-1 - answer);
    } else {
      astray_ = true;
    }
  }
  note_thread(chosen);
  return chosen;
}

unsigned search::next_at_random(thread_set enabled) {
  unsigned best = lowest(enabled);
  for (thread_set each = enabled; each != 0; each &= each - 1) {
    if (priorities_[lowest(each)] > priorities_[best]) best = lowest(each);
  }
  for (std::size_t i = 0; i < changes_.size(); i++) {
    if (changes_[i] == at_) priorities_[best] = static_cast<std::int32_t>(i);
  }
  return best;
}

unsigned search::choose(unsigned count) {
  return choose(count, count, [](unsigned chosen) { return chosen; });
}

unsigned search::pick(unsigned count) {
  if (count <= 1) return 0;
  unsigned chosen = 0;
  if (by_heart_) {
    if (replay_at_ < replay_.size()) {
      const int answer = replay_[replay_at_++];
      if (answer >= 0 && answer < static_cast<int>(count)) {
        chosen = static_cast<unsigned>(answer);
      } else {
        astray_ = true;
      }
    }
  } else if (random_) {
    const std::uint64_t thrown = dice() >> 32;
    chosen = (thrown & 1) != 0 ? 0 : static_cast<unsigned>((thrown >> 1) % count);
  } else if (data_at_ < data_.size()) {
    const datum& known = data_[data_at_++];
    chosen = known.chosen;
    if (chosen >= count) {
      strayed_ = true;
      chosen = 0;
    }
  } else if (!redundant_) {
    data_.push_back({static_cast<int>(nodes_.size()) - 1, 0, static_cast<std::uint16_t>(count)});
    data_at_++;
  }
  return chosen;
}

void search::made(unsigned thread, action what, unsigned place, const memory& words, unsigned kept_from) {
  if (random_ || redundant_ || !reduce_ || by_heart_) return;
  const std::size_t number = at_ - 1;
  if (number < known_) {
    last_[thread] = at_;
    return;
  }
  event self;
  self.what = what;
  self.thread = static_cast<std::uint8_t>(thread);
  self.created = words.created() - 1;
  self.before = follows_[thread];
  if (last_[thread] != 0) {
    const clock& previous = events_[last_[thread] - 1].before;
    for (unsigned t = 0; t < threads_max; t++) self.before[t] = std::max(self.before[t], previous[t]);
  }
  self.index = static_cast<std::uint16_t>(self.before[thread] + 1);
  self.before[thread] = self.index;
  for (std::size_t i = number; i-- > 0;) {
    const event& earlier = events_[i];
    if (earlier.index <= self.before[earlier.thread]) continue;
    const relation between = relate(earlier, self, place, kept_from, words);
    if (between == relation::none) continue;
    if (between == relation::race && races_) reverse(i, thread, self.before);
    if (between == relation::ordered && races_ && what.what == action::kind::lock) reverse_locks(i, self);
    for (unsigned t = 0; t < threads_max; t++) self.before[t] = std::max(self.before[t], earlier.before[t]);
  }
  events_.resize(number);
  events_.push_back(self);
  last_[thread] = at_;
}

search::relation search::relate(const event& earlier, const event& later, unsigned place, unsigned kept_from, const memory& words) {
  action would_be = later.what;
  if (would_be.what == action::kind::compare) would_be.what = action::kind::change;
  if (!meet(earlier.what, earlier.thread, would_be, later.thread)) return relation::none;
  if (earlier.what.mutex() != action::no_word && earlier.what.mutex() == later.what.mutex() &&
      (earlier.what.what != action::kind::lock || later.what.what != action::kind::lock)) {
    return relation::ordered;
  }
  const bool store_then_load = earlier.what.word == later.what.word && is_store(earlier.what) &&
                               later.what.what == action::kind::load && earlier.what.word != action::no_word;
  if (!store_then_load || (earlier.what.single_order && later.what.single_order)) return relation::race;
  for (unsigned i = 0; i <= place; i++) {
    if (words.at(later.what.word, i).created == earlier.created) return i > kept_from ? relation::race : relation::ordered;
  }
  return relation::none;
}

// Notes where `earlier` was chosen that a thread is to be tried which begins an order in which the step of `thread`, that races
// with it, comes first: one of those whose first step after `earlier`, of those that do not depend on it, depends on no other of
// them.
void search::reverse(std::size_t earlier, unsigned thread, const clock& before) {
  const event& first = events_[earlier];
  thread_set seen = 0;
  thread_set initials = 0;
  std::array<std::uint16_t, threads_max> begins{};
  const auto look = [&](unsigned t, std::uint16_t index, const clock& its) {
    if ((seen & set_of(t)) != 0) return;
    bool initial = true;
    for (thread_set each = seen; each != 0; each &= each - 1) initial = initial && begins[lowest(each)] > its[lowest(each)];
    seen |= set_of(t);
    begins[t] = index;
    if (initial) initials |= set_of(t);
  };
  for (std::size_t i = earlier + 1; i < events_.size() && i < at_ - 1; i++) {
    const event& between = events_[i];
    if (between.before[first.thread] >= first.index) continue;
    look(between.thread, between.index, between.before);
  }
  look(thread, before[thread], before);
  node& there = nodes_[earlier];
  if ((there.backtrack & initials) != 0) return;
  const thread_set able = initials & there.enabled;
  if (able == 0) {
    there.backtrack |= there.enabled;
  } else {
    there.backtrack |= (able & set_of(thread)) != 0 ? set_of(thread) : set_of(lowest(able));
  }
}

// A lock that waited for an unlock could not have come before that, but before the lock that it ends.
void search::reverse_locks(std::size_t unlocked, const event& later) {
  const event& ends = events_[unlocked];
  for (std::size_t i = unlocked; i-- > 0;) {
    const event& begins = events_[i];
    if (begins.thread != ends.thread || begins.what.what != action::kind::lock || begins.what.word != later.what.word) continue;
    if (begins.index > later.before[begins.thread]) reverse(i, later.thread, later.before);
    return;
  }
}

// Who sleeps on after a step: those whose own does not depend on it; and loads that it gives something new to read, for nothing
// else.
thread_set search::sleepers_after(const node& parent, const event& done, const action* pending) const {
  thread_set sleepers = 0;
  for (thread_set each = parent.sleep & ~set_of(done.thread); each != 0; each &= each - 1) {
    const unsigned thread = lowest(each);
    const action& its = pending[thread];
    const bool only_news = is_store(done.what) && its.what == action::kind::load && its.word == done.what.word &&
                           !(done.what.single_order && its.single_order);
    if (only_news || !meet(done.what, done.thread, its, thread)) sleepers |= set_of(thread);
  }
  return sleepers;
}

bool search::has_news(unsigned thread, const action& pending, std::uint32_t stamp, const memory& words) const {
  if (pending.what != action::kind::load) return false;
  for (unsigned place = words.oldest(thread, pending.word, pending.single_order); place < words.count(pending.word); place++) {
    if (words.at(pending.word, place).created >= stamp) return true;
  }
  return false;
}

void search::follows(unsigned thread, unsigned cause) noexcept {
  if (last_[cause] == 0 || events_.size() < last_[cause]) return;
  const clock& its = events_[last_[cause] - 1].before;
  for (unsigned t = 0; t < threads_max; t++) follows_[thread][t] = std::max(follows_[thread][t], its[t]);
}

}  // namespace levity::model::detail
