#pragma once

// A world in which programs are tested: hosts that run unmodified services, a network between them, and a scenario that has them
// fail. Time is virtual, and everything that could come one way or another is drawn from a seed: the same seed gives the same run.
//
//     lv::sim::world world(seed);
//     lv::sim::host& server = world.add_host("server", "10.0.0.1");
//     server.start(run_my_service);
//     world.play([&]() -> lv::task<> {
//       auto stream = co_await lv::tcp_stream::connect("10.0.0.1:7000");
//       server.kill();
//       ...
//     });

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/error.hpp"
#include "levity/runtime/run.hpp"
#include "levity/sim/host.hpp"
#include "levity/sim/link_options.hpp"
#include "levity/sim/schedule.hpp"

namespace levity::inline v0::detail {
struct world_observer;
}

namespace levity::inline v0::sim {

class check_run;
class strategy;
class timeline;

/// One thread makes it, plays in it and destroys it; several worlds at a time are fine on several threads, but for programs that
/// share static variables.
class world {
public:
  /// Without hosts, but for the scenario's. Throws std::bad_alloc.
  explicit world(std::uint64_t seed);
  world(const world&) = delete;
  world& operator=(const world&) = delete;
  /// Kills every program that runs still.
  ~world();

  /// A host of that name and address (no port). Throws std::invalid_argument if one of them is taken, or the address is none that
  /// one machine can have among others (127.0.0.1, 0.0.0.0). Before play(), or in it.
  host& add_host(std::string name, std::string_view at);
  /// The host of that name (asserted).
  [[nodiscard]] host& at(std::string_view name) const;
  /// All but the scenario's, in the order in which they were added.
  [[nodiscard]] std::vector<host*> hosts() const;

  /// Runs `scenario(args...)`, a task, on a host of its own, "scenario" at 10.255.255.254, while the hosts run their programs;
  /// returns its exit code as lv::run does, once it and all it has spawned has ended. Programs that run still stay as they are, for
  /// another play(); those that were killed have ended. Ends the process with a dump of all hosts' tasks when everything waits for
  /// ever, or the scenario does (set_limit()).
  template <class F, class... Args>
  int play(F scenario, Args... args) {
    if constexpr (detail::makes_task<F, Args...>()) {
      detail::main_outcome outcome;
      return play_task(detail::main_task(outcome, std::move(scenario), std::move(args)...), outcome);
    }
    std::unreachable();  // was refused above
  }
  /// The host of the scenario, for conditions between it and others. It runs no program, so none can be started, paused, signalled
  /// or killed there (asserted). Its lv::clock is the world's age and a constant.
  [[nodiscard]] host& here() const noexcept;
  /// How long a scenario may wait for something else than time, while it does nothing itself: 24 h unless it is said. Then play()
  /// says that it is deadlocked, although services with intervals of their own go on for ever. A scenario that sleeps is not meant,
  /// however long, nor one that asks again and again: for those there is check_options::limit.
  void set_limit(duration how_long);
  /// How it chooses among tasks that are ready, and among hosts, from now on; before anybody runs (asserted). Evenly, from the
  /// seed, unless it is said. Within a check, which has check_options::schedule, it does nothing.
  void set_schedule(const schedule& how);
  /// Kills every program that runs, and has it ended when this call returns. Not within play(); nothing of it is in a timeline. The
  /// destructor does it, too; by then what programs refer to by reference may be gone.
  void end_programs();

  /// From now on, for what is sent from one to the other. Asserts that shares are 0 to 1 and nothing negative.
  void set_link(const host& from, const host& to, const link_options& how);
  /// The same for all pairs of hosts, also of those that are added later; but not the scenario's. Asserts the same.
  void set_links(const link_options& how);
  /// How bytes get from one to the other now.
  [[nodiscard]] link_options link(const host& from, const host& to) const;
  /// Nothing gets from one to the other until heal(). What is sent meanwhile is lost: streams send it again, datagrams never come.
  void cut(const host& from, const host& to);
  [[nodiscard]] bool is_cut(const host& from, const host& to) const;  ///< by cut() or part(), and not healed
  /// In both directions.
  void part(const host& a, const host& b);
  /// Undoes cut() and part() of this pair.
  void heal(const host& a, const host& b);
  /// Undoes all of them.
  void heal();

  /// From now on hosts that look `name` up are told these addresses (no ports), in this order, true or not; none: there is no such
  /// name. A host's own name is known from the beginning. Throws std::invalid_argument for what is no address.
  void set_name(std::string name, const std::vector<std::string>& addresses);
  /// From now on looking `name` up fails, after so long.
  void fail_name(std::string name, io_failure with, duration after = duration::zero());

  [[nodiscard]] std::uint64_t seed() const noexcept;  ///< that it was made from
  /// How long it exists, in its own time.
  [[nodiscard]] duration age() const noexcept;
  /// A number below `bound`, not 0, from the world's seed: for scenarios.
  std::uint64_t draw(std::uint64_t bound);
  /// Sums up every choice, byte, timer, effect on a disk and point in time so far: two runs are the same if and only if (up to
  /// 2^-64) this is. It is the same by every compiler and build of one source. LEVITY_SIM_PRINT_HASHES in the environment has each
  /// world say it on standard output when it goes.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;
  /// How often a host was turned or something came out of the network so far: what a run costs goes by that.
  [[nodiscard]] std::uint64_t events() const noexcept;

  /// From now on what matters of what happens is appended to `events`, which outlives the world, or the next call; nullptr: it is
  /// not. A run is the same with it. Within a check, which has a timeline of its own, it does nothing.
  void record_into(timeline* events);

private:
  friend class check_run;
  /// Instead of what record_into() has set, which has no effect from now on.
  void set_observer(detail::world_observer* by);
  /// Instead of what set_schedule() has set, which has no effect from now on. It outlives the world; null: there is none.
  void use_strategy(strategy* by);

  int play_task(task<> scenario, const detail::main_outcome& outcome);
  [[nodiscard]] host::state& state_of(const host& of) const noexcept;

  struct state;
  const std::unique_ptr<state> state_;
};

}  // namespace levity::sim
