#pragma once

// parking: who sleeps, who searches, who is woken.
//
// The promise: if a task that nobody is about to run is ready and a worker sleeps, then some worker is searching or about to
// be woken. The one task that a worker pushes onto its own empty queue is about to be run: by that worker, next; if the task
// before it computes for long, it waits that long. Few search: a push wakes nobody while somebody searches, and wakes at
// most one; the searcher that finds work passes the search on.
//
// Submitter                          Sleeper
//   make the task visible              enter(): mark myself idle, stop searching
//   full fence (E14)                   full fence (E14)
//   any searcher? any idle?            look once more at every queue
//   wake one idle worker               sleep
//
// Whichever fence comes first in the single order of fences, either the submitter sees the idle mark, or the sleeper sees the
// task. A worker that is woken starts as a searcher: the token travels from the waker, so that a second submitter in
// the meantime wakes nobody.
//
// A worker sleeps in its reactor (then the doorbell wakes it) or on a futex. `permit` is its one word:
//   empty -> futex, polling   falls asleep          the worker
//   any   -> notified         unpark()              any thread; rings or wakes if it slept
//   any   -> empty            wakes up              the worker
//
// Edges
//   E14  fences of submitter and sleeper, see above: one sees the other.
//   E15  unpark -> wake up: what the waker wrote before.
//   E365 prepare(in a reactor) -> unpark: which reactor that is, for who rings it.
//   E250 enter -> claim: who it is that sleeps in that slot. Slots change hands (watchdog.hpp), and a claimer that still found the
//        former holder would wake that one, and leave the sleeper asleep beside the task.

#include <array>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"

namespace levity::inline v0::detail {

class idle_set {
public:
  static constexpr unsigned workers_max = 256;
  static constexpr int nobody = -1;

  using slot_set = std::array<std::uint64_t, workers_max / 64>;  // by number, a bit each
  static constexpr slot_set all_slots{~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}};

  /// Before any worker runs: how many there are.
  void size_for(unsigned workers) noexcept { words_ = (workers + 63) / 64; }

  /// Somebody sleeps and nobody searches.
  [[nodiscard]] bool wanting_approx() const noexcept {
    return any_idle_approx() && searchers_.load(std::memory_order_relaxed) == 0;
  }

  /// Somebody sleeps or searches.
  [[nodiscard]] bool short_of_work_approx() const noexcept {
    return any_idle_approx() || searchers_.load(std::memory_order_relaxed) != 0;
  }

  /// Worker: marks itself idle; `searching` gives its search token back. A full fence (E14) is included.
  void enter(unsigned worker, bool searching) noexcept;

  /// Worker: takes its own mark back. True: it was still there. False: a waker took it, and with it comes a search token.
  bool leave(unsigned worker) noexcept;

  /// Submitter, after the fence: picks one idle worker to wake, of `near` if one of them is idle, unless somebody searches already.
  /// The search token is taken on its behalf.
  int claim(const slot_set& near) noexcept;

  /// Worker: becomes a searcher unless enough others are.
  bool start_search(unsigned workers) noexcept;
  /// True: it was the last one.
  bool end_search() noexcept { return searchers_.fetch_sub(1, std::memory_order_relaxed) == 1; }

  [[nodiscard]] bool any_idle_approx() const noexcept {
    // Each push and each pop looks here, and few have more than 64 workers.
    return idle_[0].load(std::memory_order_relaxed) != 0 || (words_ > 1 && any_idle_beyond_approx());
  }
  /// Whether so many sleep.
  [[nodiscard]] bool all_idle_approx(unsigned workers) const noexcept;
  [[nodiscard]] int searchers_approx() const noexcept { return searchers_.load(std::memory_order_relaxed); }

private:
  [[nodiscard]] bool any_idle_beyond_approx() const noexcept;
  int take_idle(const slot_set& among) noexcept;

  alignas(cache_line_bytes) atomic<int> searchers_{0};
  alignas(cache_line_bytes) std::array<atomic<std::uint64_t>, workers_max / 64> idle_{};
  unsigned words_ = workers_max / 64;  // of idle_ that are used
};

class parker {
public:
  /// Worker: announces that it is about to sleep, in a reactor or on the futex. False: a permit is there already. Before finish()
  /// nothing is known of who gave it.
  bool prepare(bool in_reactor) noexcept;
  /// Worker: sleeps on the futex until there is a permit, for at most `timeout_ns`. False: there is none.
  bool wait_for(std::int64_t timeout_ns) noexcept;
  /// Worker: awake again; takes the permit, if there is one.
  void finish() noexcept;

  /// Any thread. True: the worker sleeps in its reactor; ring that.
  [[nodiscard]] bool unpark() noexcept;

private:
  enum class permit : std::uint32_t { empty, futex, polling, notified };
  atomic<permit> permit_{permit::empty};
};

}  // namespace levity::detail
