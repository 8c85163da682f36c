#pragma once

// process: one life of a program on a simulated host, from its first instruction to its last.
//
// The program, an unmodified main(), is called on a thread of its own, for it may sleep in lv::run. That hands its task over to the
// process's runtime, which the world turns on its own thread; so tasks run on the world's thread, main() on the program's, and one
// of the two stands still at any time. Two handings over are a whole life: that costs as much as two context switches.
//
//   fresh -> begun   begin()                       main() runs, the world waits
//   begun -> running run(), called by main()       its task is here; the world goes on and turns it
//   begun -> ended   main() has returned without lv::run, or after it
//   running -> begun the last task has ended, by itself or by end(): main() goes on, the world waits
//
// Who is killed is ended as well: it must give back what it holds. But its network and its files are cut off before, and its clock
// is its own from then on (sim_reactor::leave_time), so that it is over at once in the time of the world and nobody can know what
// its destructors do.
//
// Rejected: stacks switched by hand instead of threads (sanitizers and debuggers need to be told, thread-locals would be shared,
// and there is nothing to gain: nothing is switched while the program runs).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/system_condition.hpp"
#include "base/system_mutex.hpp"
#include "base/system_thread.hpp"
#include "io/simulated_names.hpp"
#include "reactor/sim/sim_clock.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "runtime/run_host.hpp"
#include "runtime/runtime_core.hpp"
#include "sim/disk.hpp"
#include "sim/disk_backend.hpp"
#include "sim/program_chooser.hpp"

namespace levity::inline v0::sim {

/// All but run() on the world's thread.
class process final : detail::run_host {
public:
  /// Of the host of that name, at a site of the network, with its disk; these, names and strategy outlive it. Without a strategy
  /// the seed orders its tasks.
  process(const std::string& host, detail::sim_network& network, detail::sim_network::site_number site,
          const detail::sim_clock& clocks, std::uint64_t seed, strategy* by, disk& storage, detail::simulated_names& names);
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  /// It has ended (asserted), or never begun.
  ~process();

  /// Calls `program` on a thread of its own until its task is here, or it has returned.
  void begin(std::function<int()> program);
  /// Takes a task instead of a program: there is no thread.
  void begin(task<> main, const detail::main_outcome& outcome);

  /// Runs what is ready, so many tasks at most, and goes on with main() if there will be nothing more.
  void turn(unsigned tasks_max);
  /// Cancels everything and turns it until main() has returned, outside of the world's time; `code` is what lv::run returns to it.
  /// Its site is severed. False: tasks are left that do not heed their cancellation.
  [[nodiscard]] bool end(int code);

  /// It has ended, for others: nothing that it does reaches its disk any more, and no line of ours tells of it.
  void cut_off() noexcept;

  [[nodiscard]] bool has_ended() const noexcept { return phase_ == phase::ended; }
  /// When it has ended.
  [[nodiscard]] int exit_code() const noexcept { return code_; }
  /// When it wants to be turned, in the time of the network.
  [[nodiscard]] std::int64_t due_ns() const noexcept { return home_.due_ns(); }
  [[nodiscard]] detail::sim_reactor& clock() noexcept { return home_; }
  /// Not while it is to be ended.
  void raise(int signal);
  /// What is to be done when a signal or the program itself ends the process, with that code: by the world, for the process must be
  /// ended between two turns.
  void on_end(std::function<void(int code)> told) { core_.signals->on_end = std::move(told); }
  void print_tasks() noexcept;

private:
  enum class phase : std::uint8_t { fresh, begun, running, ended };
  enum class side : std::uint8_t { world, program };

  int run(const runtime_options& options, task<> main, const detail::main_outcome& outcome) override;
  detail::reactor& home() noexcept override { return home_; }
  detail::file_backend* files() noexcept override { return &files_; }

  int call(const std::function<int()>& program);
  void take(task<> main, const detail::main_outcome& outcome);
  void stop_running(int code);
  void let_program_go_on();
  void wait_for(side whose);
  void give_to(side whose);

  const std::string& host_;
  disk_backend files_;
  std::optional<program_chooser> chooser_;
  detail::runtime_core core_;
  detail::sim_reactor& home_;  // the core's
  phase phase_ = phase::fresh;
  const detail::main_outcome* outcome_ = nullptr;
  int run_code_ = 0;  // what lv::run returns
  int code_ = 0;
  bool has_run_ = false;
  unsigned refused_ = 0;  // calls of lv::run after the first one

  // Whose turn it is.
  detail::system_mutex lock_;
  detail::system_condition changed_;
  side turn_of_ = side::world;  // guarded by lock_
  std::optional<detail::system_thread> program_;
};

}  // namespace levity::sim
