#pragma once

// search: which execution comes next. It answers the two questions that an execution asks, which thread makes the next step and
// which of several things happens in it, and keeps for each answer what else could have been said.
//
// Exhaustive: a depth-first walk over the answers, made small by two observations about steps of different threads.
//
//   Independent steps commute. Only orders of dependent ones need to be tried (source sets of Abdulla, Aronis, Jonsson and Sagonas,
//   2014): when a step turns out to race with an earlier one, a thread that begins the reversal is noted where the earlier one
//   was chosen (`backtrack`). And what was tried at a node sleeps below its later branches, until a step that depends on it
//   has been made (sleep sets, Godefroid 1996).
//
//   A load that may read old messages loses nothing when a store comes before it: it can still read what it could before. So an
//   earlier store and a later load need not be reversed; and a load that sleeps wakes at a store only for the messages that are new
//   (`stamp`). Hence each way of reading is tried once, in one order. Of seq_cst loads and stores this is not so, for a load may
//   not go back behind a store that was made; nor of a load that has read an old message as often as it may.
//
//   f, then e        dependent                         must be reversed
//   load, store      yes                               yes
//   store, load      if it reads that or a newer one   if both are seq_cst, or the load was kept from an older one
//   store, store     yes                               yes       (a read-modify-write is a store)
//   any, compare     yes                               yes       (it failed; in another order it might have been a store)
//   compare, any     as a load                         as a load
//   load, load       if both are seq_cst               yes
//   fence            with fences, seq_cst operations   yes       (others have no step of their own)
//   barrier on u     with steps of u, as a fence       yes
//   wait, wake       with each other; wait and store   yes
//   lock, lock       of the same mutex                 yes, though an unlock lies between them
//   unlock, lock     of the same mutex                 no: who waits for a lock cannot come before
//
// An execution in which everyone who could go on sleeps is one that has been seen in another order; it is run to its end, for
// nobody can be torn from the middle of code that may not throw, but counts as redundant. (One that cannot be is left all the same,
// exploration_late.cpp: that is asked for.)
//
// A bound on preemptions and sleep sets do not go together (the order that was kept may have more preemptions than the one that was
// not), so with a bound nothing is reduced.
//
// Random: priorities with some change points (Burckhardt, Kothari, Musuvathi and Nagarakatte, 2010), and of what may be read the
// newest or any other, half and half. Who spins goes behind all others: two threads that look again and again, and wake each other
// by what they write meanwhile, would keep the third one, for which both wait, from its next step for ever.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "levity/model/explore.hpp"
#include "model/memory.hpp"
#include "model/replay.hpp"

namespace levity::inline v0::model::detail {

using thread_set = std::uint32_t;  // by number, a bit each
constexpr thread_set set_of(unsigned thread) noexcept { return thread_set{1} << thread; }

/// What a thread is about to do, or has done.
struct action {
  // change: a read-modify-write; compare: one that was made, and failed.
  enum class kind : std::uint8_t { load, store, change, compare, fence, barrier, wait, wake, join, lock, unlock };
  static constexpr std::uint32_t no_word = ~std::uint32_t{0};

  kind what = kind::join;
  bool single_order = false;      // seq_cst
  std::uint8_t target = 0;        // barrier, join: of which thread
  std::uint32_t word = no_word;
  std::uint32_t lets_go = no_word;  // wait at a condition variable: of which mutex

  /// The mutex that it takes, or lets go of.
  [[nodiscard]] constexpr std::uint32_t mutex() const noexcept {
    return what == kind::lock || what == kind::unlock ? word : lets_go;
  }
};

class search {
public:
  search(const options& wanted, std::optional<answer_list> replay);

  /// Prepares the next execution. False: there is none. `again`: at random, the one before once more, by the same dice.
  bool begin(bool again = false);

  /// Which of `enabled` makes the next step; `current` made the last one. `pending`: by thread.
  unsigned next(thread_set enabled, unsigned current, const action* pending, const memory& words);
  /// Which of `count` things happens; 0 is the plainest.
  unsigned choose(unsigned count);
  /// The same of some of them, of which the one chosen is number `all_of(chosen)` of `all_count`: what a replay goes by.
  template <class Number>
  unsigned choose(unsigned count, unsigned all_count, Number all_of) {
    const unsigned chosen = pick(count);
    if (all_count > 1) taken_.push_back(static_cast<std::int16_t>(all_of(chosen)));
    return chosen;
  }
  /// Messages that were created before this number need not be tried again by the load whose turn it is.
  [[nodiscard]] std::uint32_t stamp() const noexcept { return stamp_; }
  /// The step of the thread that next() named is made. For a load: which message it read; and that which it was kept from, because
  /// it had read it often enough.
  void made(unsigned thread, action what, unsigned place, const memory& words, unsigned kept_from = none_kept);
  static constexpr unsigned none_kept = ~0U;
  /// A thread spins: at random, all others take precedence from here on.
  void gives_way(unsigned thread) noexcept { priorities_[thread] = --lowest_priority_; }
  /// Who runs from here on does so because of what `cause` did last.
  void follows(unsigned thread, unsigned cause) noexcept;

  /// The number of steps so far in this execution.
  [[nodiscard]] std::uint32_t steps() const noexcept { return at_; }
  /// Whether this execution is a reordering of one that was seen.
  [[nodiscard]] bool redundant() const noexcept { return redundant_; }
  /// Whether an execution asks other questions than the one before it did, after the same answers.
  [[nodiscard]] bool strayed() const noexcept { return strayed_; }
  /// Every execution, within the bounds, has been seen: what begin() that said no means.
  [[nodiscard]] bool exhaustive() const noexcept { return !random_ && !by_heart_; }
  /// The bound on preemptions has left something out.
  [[nodiscard]] bool bounded() const noexcept { return bounded_; }

  /// All answers of this execution, to be given again.
  [[nodiscard]] std::string line() const { return line_of(taken_); }
  /// Whether the answers of a replay did not fit the questions, or some were left.
  [[nodiscard]] bool astray() const noexcept { return astray_ || replay_at_ < replay_.size(); }

private:
  using clock = std::array<std::uint16_t, threads_max>;

  struct node {  // before a step
    thread_set enabled = 0;
    thread_set backtrack = 0;
    thread_set done = 0;
    thread_set sleep = 0;   // threads whose steps were tried before, for messages older than their stamps
    thread_set asleep = 0;  // of these, those that have no newer message to read
    std::uint8_t chosen = 0;
    std::uint8_t current = 0;      // who made the step before,
    bool goes_on = false;          // and could make this one
    std::uint16_t preemptions = 0;  // so far
    std::uint32_t created = 0;  // messages at that time
    std::array<std::uint32_t, threads_max> stamps{};
  };
  struct event {  // a step
    action what;
    std::uint8_t thread = 0;
    std::uint16_t index = 0;       // among those of its thread, from 1
    std::uint32_t created = 0;     // store: the number of its message
    clock before{};                // what is ordered before it, by thread; itself included
  };
  struct datum {
    int node;
    std::uint16_t chosen;
    std::uint16_t count;
  };
  enum class relation : std::uint8_t { none, ordered, race };

  static relation relate(const event& earlier, const event& later, unsigned place, unsigned kept_from, const memory& words);
  thread_set sleepers_after(const node& parent, const event& done, const action* pending) const;
  bool has_news(unsigned thread, const action& pending, std::uint32_t stamp, const memory& words) const;
  void reverse(std::size_t earlier, unsigned thread, const clock& before);
  void reverse_locks(std::size_t unlocked, const event& later);
  unsigned pick(unsigned count);
  unsigned next_at_random(thread_set enabled);
  unsigned next_by_heart(thread_set enabled);
  bool backtrack();
  std::uint64_t dice() noexcept;
  void note_thread(unsigned thread) { taken_.push_back(static_cast<std::int16_t>(-1 - static_cast<int>(thread))); }

  const bool random_;
  const bool by_heart_;  // a replay
  const bool reduce_;
  const bool races_;
  const unsigned preemptions_max_;
  const unsigned depth_;

  std::vector<node> nodes_;
  std::vector<event> events_;
  std::vector<datum> data_;
  answer_list taken_;                // all of them
  std::uint32_t at_ = 0;             // steps begun
  std::size_t data_at_ = 0;
  std::size_t known_ = 0;            // steps before this one are as they were in the execution before
  std::uint32_t stamp_ = 0;
  bool first_ = true;
  bool redundant_ = false;
  bool bounded_ = false;
  std::array<std::uint32_t, threads_max> last_{};  // the last event of each thread, plus one
  std::array<clock, threads_max> follows_{};

  std::uint64_t random_state_;
  std::uint64_t random_state_then_ = 0;  // when this execution began
  std::array<std::int32_t, threads_max> priorities_{};
  std::int32_t lowest_priority_ = 0;
  std::vector<std::uint32_t> changes_;
  std::uint32_t steps_seen_ = 16;
  std::uint32_t steps_most_ = 16;

  answer_list replay_;
  std::size_t replay_at_ = 0;
  bool astray_ = false;
  bool strayed_ = false;
};

}  // namespace levity::model::detail
