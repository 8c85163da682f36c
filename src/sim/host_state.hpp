#pragma once

// host::state: what a simulated machine is between the lives of its programs.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "levity/sim/host.hpp"
#include "levity/sync/event.hpp"
#include "reactor/sim/sim_network.hpp"
#include "sim/disk.hpp"
#include "sim/process.hpp"

namespace levity::inline v0::sim {

struct host::state {
  state(world& in, std::string of_name, const address& of, detail::sim_network& shared, detail::sim_network::site_number number);

  [[nodiscard]] bool is_running() const noexcept { return is_to_start || (now != nullptr && !is_to_end); }
  /// Its program ends with that code, before it does anything more. `silently`: with the power.
  void end(int code, bool silently);

  world& lives_in;
  const std::string name;
  const address at;
  detail::sim_network& network;
  const detail::sim_network::site_number site;

  sim::disk storage;
  std::function<int()> program;  // that runs, or ran last
  std::unique_ptr<process> now;
  bool is_to_end = false;    // `now` is cut off already
  bool is_to_start = false;  // after that
  bool is_paused = false;
  std::optional<int> last_code;
  event over;  // set while no program runs
  std::int64_t ahead_ns = 0;
  std::int64_t gain_ppb = 0;
};

}  // namespace levity::sim
