#pragma once

// shed_queue: who is served next, and who is told no, when there are more calls than places. Pure: it is told the time, and neither
// locks nor wakes; load_shedder does.
//
// In calm. Calls that find no place wait, the highest priority first, in each first come, first served: a burst is smoothed out.
//
// Under overload. A queue that stands makes every call as late as the queue is long, and serves nobody sooner: the longer it is,
// the more of the work is done for callers who have gone. So waiting is cut to a few milliseconds, the newest go first (they are
// the ones whose callers are still there), and the rest hears no soon enough to do something else. After Nichols and Jacobson
// (CoDel, 2012) for when a queue is a standing one, Maurer (Fail at Scale, 2015) for the newest first, and Uber's Cinnamon (2022)
// for cohorts.
//
//   service   the running median of how long calls take once they have their place
//   target    the given one, 5 ms, or half of `service` where that is more: a wait that is small beside the work is none
//   interval  the given one, 100 ms, or eight targets
//   patience  of who waits: interval in calm; under overload 2 * target in the last priority, and one target more in each above:
//             who is served next is not shed for a burst
//
//   calm -> overload    for an interval somebody has been waiting for longer than target all the time
//   overload -> calm    for an interval nobody has been, at any event
//
// Who is served, whenever a place is free and somebody waits: of the highest priority that waits
//   the oldest, in calm, or while it has not waited for half of its patience: a priority that keeps up loses nothing
//   else the newest of the lowest cohort
//
// Who is told no
//   too_late     less time is left until the deadline than `service`: on arrival, unless a place is free, nobody waits and any time
//                is left; and when its turn comes. Who is refused teaches nothing, so a `service` that has become wrong must
//                neither keep places empty nor last: it is halved, at such a refusal, when none has succeeded for four intervals
//   overloaded   - waited for longer than patience allows
//                - on arrival under overload, when those of higher priority who wait will take longer than that to be served
//                - the queue is full and nobody in it is less important. Else the least important makes room: of the last priority
//                  the oldest of the highest cohort
//
// Equations, between calls, in mode enforce
//   waiting > 0  =>  inside >= concurrent_max        a free place is never kept from who waits
//   an entry is in its priority's list by age and in its rank's list, or in neither
//   occupied bit of a rank  <=>  its list is not empty
//
// A call that is sorted in, served or shed costs O(1); at one event at most `sheds_max` are shed for having waited, the rest at the
// next, and at most as many for being too late, for all of this happens under a spin lock. Who comes next is served then, too late
// or not: a free place is not kept from who waits.
//
// Rejected: CoDel's own control law, one drop per interval/sqrt(n): it is for flows that slow down when they lose something. Calls
// do not, and to shed 1,600 of them a second it would need half a minute. A controller of the share that is let through: constants
// that fit one server. A gate that keeps low ranks out before the queue: it must be opened again by guessing. One patience for all
// priorities: in simulation the second of six lost 4 % of its calls at twice the capacity, where it has a sixth of the load.

#include <array>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/resilience/call_class.hpp"
#include "levity/resilience/policy_mode.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// How a load_shedder is made. What is out of bounds is clamped to them.
struct load_shedder_options {
  std::uint32_t concurrent_max = 64;  ///< calls at once: what the work behind it can do; at least 1
  std::uint32_t waiting_max = 1024;   ///< that wait
  duration target = 5ms;              ///< how long one may wait in the long run
  duration interval = 100ms;          ///< for how long that may be otherwise
  /// observe: every call is let through at once. Refused would have been who is too late, and who finds so many inside that it
  /// would have waited for too long.
  policy_mode mode = policy_mode::enforce;
};

namespace detail {

/// A median that follows what it is told: each value moves it by one part in 64, in its direction. One word.
class running_median {
public:
  void add(double value) noexcept;
  /// It may have become wrong: half of it, and longer steps again.
  void doubt() noexcept;
  [[nodiscard]] double value() const noexcept { return value_; }  // 0: nothing was added

private:
  double value_ = 0;
  unsigned count_ = 0;
};

/// A call that asks. Lives where its caller keeps it, and stands still while it waits.
struct shed_entry {
  enum class fate : std::uint8_t { asks, waits, admitted, refused };

  list_link by_age;
  list_link by_rank;
  time_point arrived{};
  time_point deadline = time_point::max();
  std::uint8_t priority = 0;
  std::uint8_t cohort = 0;
  fate what = fate::asks;
  rejection_cause why = rejection_cause::overloaded;

  static shed_entry& from_age(list_link& link) noexcept;
  static shed_entry& from_rank(list_link& link) noexcept;
};

class shed_queue {
public:
  static constexpr int sheds_max = 32;
  static constexpr int doubt_after = 4;  // intervals

  explicit shed_queue(load_shedder_options options) noexcept;
  shed_queue(const shed_queue&) = delete;
  shed_queue& operator=(const shed_queue&) = delete;

  /// Fills the entry in from what the call says of itself.
  static void describe(shed_entry& entry, const call_class& call, time_point now) noexcept;

  // Each of these may settle others, and puts them into `settled`, linked by_age, with their fate.

  /// A call asks. Its fate is admitted, refused, or asks: then it may wait.
  void ask(shed_entry& entry, time_point now, link_list& settled) noexcept;
  /// It waits, as ask() has just allowed. If the queue is full the least important entry makes room, which may be this one.
  void wait(shed_entry& entry, time_point now, link_list& settled) noexcept;
  /// A call that was admitted at `began` has ended.
  void end(time_point began, verdict said, time_point now, link_list& settled) noexcept;
  /// So many at once from now on.
  void set_concurrent_max(std::uint32_t most, time_point now, link_list& settled) noexcept;

  /// Takes an entry out that waits.
  void remove(shed_entry& entry) noexcept;
  /// For an entry that is removed because its patience has ended: it counts as refused.
  void give_up(shed_entry& entry) noexcept;
  /// For an entry that asked and will not wait.
  void refuse(shed_entry& entry, rejection_cause why) noexcept;

  /// When an entry's patience ends, at the latest; then it is to be removed.
  [[nodiscard]] time_point until(const shed_entry& entry) const noexcept;
  /// What to tell who is refused.
  [[nodiscard]] rejection refusal(const shed_entry& entry) const noexcept;

  /// The last moment it was told.
  [[nodiscard]] time_point last_now() const noexcept { return last_now_; }

  struct figures {
    std::uint64_t admitted;            ///< calls that were let through
    std::uint64_t refused_waited;      ///< overloaded: waited too long, or would have
    std::uint64_t refused_full;        ///< overloaded: the queue was full
    std::uint64_t refused_too_late;    ///< too_late
    std::uint64_t left;                ///< cancelled while they waited
    std::uint64_t would_have_refused;  ///< let through because the mode is observe
    std::array<std::uint64_t, call_class::priorities> admitted_by_priority;  ///< of those admitted
    std::array<std::uint64_t, call_class::priorities> refused_by_priority;   ///< of those refused
    std::uint32_t inside;              ///< calls under way
    std::uint32_t concurrent_max;      ///< calls that may be
    std::uint32_t waiting;             ///< calls that wait
    duration service;                  ///< what half of the calls take once they have a place; zero: not known yet
    bool overloaded;                   ///< whether it sheds
  };
  [[nodiscard]] figures look() const noexcept;
  void count_left() noexcept { left_++; }

  void check_invariants() noexcept;

private:
  struct band {
    link_list by_age;                             // oldest first
    std::array<link_list, call_class::cohorts> by_rank;  // oldest first
    std::array<std::uint64_t, 2> occupied{};      // a bit for each list of by_rank
    std::uint32_t waiting = 0;
  };

  [[nodiscard]] duration target() const noexcept;
  [[nodiscard]] duration interval() const noexcept;
  [[nodiscard]] duration strained_patience(unsigned priority) const noexcept;
  [[nodiscard]] duration patience(unsigned priority) const noexcept;
  [[nodiscard]] bool too_late(const shed_entry& entry, time_point now) const noexcept;
  [[nodiscard]] bool comes_too_late(const shed_entry& entry, time_point now) noexcept;
  void note_time(time_point now) noexcept;
  void watch(time_point now, link_list& settled) noexcept;
  void serve(time_point now, link_list& settled) noexcept;
  void admit(shed_entry& entry) noexcept;
  [[nodiscard]] shed_entry* next(time_point now) noexcept;
  [[nodiscard]] shed_entry* least_important() noexcept;

  load_shedder_options options_;
  running_median service_;
  time_point learnt_at_{};       // service_: the last success, or doubt
  std::uint32_t inside_ = 0;
  std::uint32_t waiting_ = 0;
  bool overloaded_ = false;
  bool turning_ = false;         // since turning_since_ it is all the time otherwise than overloaded_ says
  time_point turning_since_{};
  time_point last_now_{};
  std::array<band, call_class::priorities> bands_;

  std::uint64_t refused_waited_ = 0;
  std::uint64_t refused_full_ = 0;
  std::uint64_t refused_too_late_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t would_have_refused_ = 0;
  std::array<std::uint64_t, call_class::priorities> admitted_by_{};
  std::array<std::uint64_t, call_class::priorities> refused_by_{};
};

}  // namespace detail
}  // namespace levity
