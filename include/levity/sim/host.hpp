#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/sim/disk_faults.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::sim {

class world;

/// A machine of a world: it has an address, a clock, and runs one program at a time, which may be any that lives by levity: an
/// unmodified main(). Made by world::add_host(); only within the world's play().
///
/// A program is called on a thread of its own, but never while anything else of the world runs. Static variables of a program are
/// those of the process that simulates: two hosts that run the same program share them, and they survive a crash.
class host {
public:
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  [[nodiscard]] const std::string& name() const noexcept;  ///< as it was added; other hosts look it up
  [[nodiscard]] const address& at() const noexcept;        ///< its address, port 0

  // What starts, ends, pauses and signals programs is asserted not to be called on the scenario's own host, world::here().

  /// Switches it on, if it is off, and has it call `program`, whose result is the exit code of its process. Asserts that no program
  /// runs on it. A program whose main() ends by an exception has the exit code 134, as by std::terminate, and a line on standard
  /// error says so. What it opens it closes before it returns: a connection in a static variable ends the test with a line.
  ///
  ///     orders.start([] { return run_orders(2, arguments); });
  void start(std::function<int()> program);
  /// Starts again what it ran last.
  void restart();

  /// The program ends, in the middle of whatever it does: kill(2) with SIGKILL. Its kernel lives on and ends its connections, as it
  /// does for any process; paths of its Unix sockets stay. Nothing that the program's destructors do is seen by anybody. The exit
  /// code is 137. Does nothing if no program runs.
  void kill();
  /// The same by the loss of power: nobody tells the peers of its connections. Its address answers nothing until start(). Paths of
  /// Unix sockets are gone. Where no program runs the disk loses what was not synced all the same.
  void cut_power();
  /// The program does not run, as after SIGSTOP, while its kernel goes on taking bytes in, until resume().
  void pause();
  /// Ends a pause().
  void resume();
  /// Sends a signal to the program as kill(2) does. SIGTERM and SIGINT cancel its main task unless a signal_set takes them or the
  /// program runs by runtime_options::handle_signals = false; then, and before the program has come to lv::run, they end it. A
  /// signal to a program that is paused, or that has been started and has not run yet, waits until it runs. Does nothing if no
  /// program runs.
  void signal(int number);

  /// From now on its wall clock is ahead of the world's by so much, or behind where that is negative: it steps, forwards or back,
  /// and no timer knows. Both its clocks gain so many parts of a million from now on; no more than a tenth, either way (asserted).
  /// lv::clock goes on from where it is, always: it begins somewhere, drawn from the seed, when the host is switched on, which is
  /// at the first start() and the first one after a cut_power(), and goes on over the lives of programs. Before start(), too: a
  /// wall clock may be wrong from the beginning.
  void set_clock(duration ahead, double gain_ppm = 0);
  /// As set_clock() has it; what was gained since is not in it.
  [[nodiscard]] duration clock_ahead() const noexcept;
  [[nodiscard]] double clock_gain_ppm() const noexcept;  ///< likewise

  /// Its disk is its own, and survives all its programs: what lv::file and the other functions for files do happens there, never in
  /// the file system of the machine that simulates. What is not synced, a cut_power() may lose, tear or keep, drawn from the seed:
  /// parts of 512 bytes of what was written, sizes, and names in directories whose sync is missing. A kill() loses nothing.
  /// It takes its time: an operation 20 to 220 us, a sync 0.5 to 5.5 ms, unless set_disk() says otherwise.
  void set_disk(const disk_faults& how);
  /// How it is.
  [[nodiscard]] const disk_faults& disk() const noexcept;
  /// Operations on files do not end any more until thaw_disk().
  void freeze_disk();
  /// Ends a freeze_disk(): what has waited goes on.
  void thaw_disk();
  /// Makes or replaces a file, with its directories; durable. What the program has done to other names is as durable as before.
  void install_file(std::string_view path, std::string_view text);
  /// What is in a file, as a program on the host would read it; nothing if there is none.
  [[nodiscard]] std::optional<std::string> read_file(std::string_view path) const;

  [[nodiscard]] bool is_running() const noexcept;  ///< a program of it has begun and not ended, though it may be paused
  /// Of the program that ran last; nothing while it runs, or before the first one.
  [[nodiscard]] std::optional<int> exit_code() const noexcept;
  /// Waits until the program that runs now has ended, whatever has been started since then; returns its exit code. That of the last
  /// one if none runs, or 0 if none ever did. Cancellable.
  task<int> ended();

private:
  friend class world;
  struct state;
  explicit host(std::unique_ptr<state> made) noexcept;
  ~host();
  friend struct std::default_delete<host>;

  const std::unique_ptr<state> state_;
};

}  // namespace levity::sim
