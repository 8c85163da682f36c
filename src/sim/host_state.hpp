#pragma once

// host::state: what a simulated machine is between the lives of its programs.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levity/sim/host.hpp"
#include "levity/sync/event.hpp"
#include "reactor/sim/sim_clock.hpp"
#include "reactor/sim/sim_network.hpp"
#include "sim/disk.hpp"
#include "sim/process.hpp"

namespace levity::inline v0::sim {

struct host::state final : disk_listener {
  state(world& in, std::string of_name, const address& of, detail::sim_network& shared, detail::sim_network::site_number number);

  /// One program, from start() until it has ended. Who waits for its end keeps it.
  struct life {
    event over;
    std::optional<int> code;  // with over
  };

  [[nodiscard]] bool is_running() const noexcept { return of_program != nullptr && !of_program->code; }
  /// The scenario's, which runs no program.
  [[nodiscard]] bool is_scenario() const noexcept { return site == 0; }
  void begin_life() { of_program = std::make_shared<life>(); }
  /// Its program has ended.
  void end_life(int code);
  /// Its program ends with that code, before it does anything more. `silently`: with the power.
  void end(int code, bool silently);
  /// The machine is on: its clock begins, unless it was on before.
  void switch_on();
  /// Raises what has waited until the program runs.
  void raise_waiting();
  /// What was done to the machine, and shows in nothing that is drawn.
  enum class done : std::uint8_t { signal, pause, resume, clock, freeze, thaw };
  void trace(done what, std::uint64_t how = 0) noexcept;

  [[nodiscard]] bool listens() const noexcept override;
  void hear(std::string_view text, std::string_view detail, duration lasts) override;

  world& lives_in;
  const std::string name;
  const address at;
  detail::sim_network& network;
  const detail::sim_network::site_number site;

  sim::disk storage;
  std::function<int()> program;  // that runs, or ran last
  std::shared_ptr<life> of_program;  // that runs, ran last or is about to start; null: there was none
  std::unique_ptr<process> now;
  bool is_to_end = false;    // `now` is cut off already
  int ending_code = 0;       // of it
  bool is_to_start = false;  // after that
  bool is_paused = false;
  std::vector<int> waiting_signals;  // each once, as a kernel keeps them

  detail::sim_clock clocks;
  bool is_on = false;
  std::int64_t ahead_ns = 0;
  std::int64_t gain_ppb = 0;
};

}  // namespace levity::sim
