#pragma once

#include <cstdint>

namespace levity::inline v0::sim {

/// By which rule a world takes one of several things that it could do next.
enum class schedule_kind : std::uint8_t {
  /// Evenly, from the seed. Finds what many orders show; an order that needs one task to be late k times in a row comes once in 2^k
  /// runs.
  random,
  /// As they come to be ready: the oldest first, hosts in turns. For reading a failure that does not need more.
  fifo,
  /// Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi and Nagarakatte, "A Randomized Scheduler with
  /// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010): each task has a priority drawn from the seed, the highest one that
  /// is ready runs, and at schedule::depth - 1 steps, drawn too, whoever would run goes behind all others. A fault that `depth`
  /// constraints of the form "this before that" bring about is found by one run with a probability of at least 1 / (n *
  /// k^(depth-1)), for n tasks and k steps; of evenly drawn orders there is no such bound. Who yields goes behind all others, and
  /// each 1009th step is of who has been ready for longest, so that nobody starves: where either matters the bound is none.
  pct,
  /// One after the other, within schedule::runs_max and delays_max: all orders of a small test. Of check() and explore(); a world
  /// alone does what fifo does.
  exhaustive,
};

/// How a world chooses which ready task of a host runs next, and which host's turn it is where several have something to do at
/// the same moment. Times, latencies and all else that is drawn follow from the seed whatever the schedule is.
struct schedule {
  static constexpr std::uint64_t unlimited = ~std::uint64_t{0};  ///< no bound

  schedule_kind what = schedule_kind::random;  ///< the rule
  unsigned depth = 3;                          ///< of pct; at least 1
  /// Of pct: how many a run has, more or less; the more it is off, the smaller the chance. 0: what the runs of the check had so
  /// far, of which the first one changes no priority, nor does a world that no check has made.
  std::uint64_t steps = 0;
  /// Of exhaustive: after so many runs of a seed it stops, be that all or not.
  std::uint64_t runs_max = 10'000;
  /// Of exhaustive: only orders that part from fifo by so many delays. To run the i-th of those that are ready, counted from 0,
  /// costs i of them, to set a task aside costs one (delay bounding: Emmi, Qadeer and Rakamaric, POPL 2011).
  std::uint64_t delays_max = unlimited;
  /// Whether it is a choice, too, that a task loses its worker, as in a run on threads one does that keeps it for long
  /// (runtime_options::stuck_threads_max): others that are ready overtake it at an await of levity that needs no wait, before what
  /// it asks for is done; or at blocking(f), before f is called, and again before the task goes on. Random: once in eight; pct: at
  /// the drawn steps; fifo: never. It covers nothing else that such a run shows: between two awaits a simulated task is alone, a
  /// task that was spawned does not begin before its parent awaits, and f is called in one piece.
  bool detaching = false;

  friend bool operator==(const schedule&, const schedule&) = default;
};

}  // namespace levity::sim
