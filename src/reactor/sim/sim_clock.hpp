#pragma once

// sim_clock: the two clocks of a simulated host, as functions of the time of its network.
//
//   own    lv::clock, CLOCK_MONOTONIC: begins somewhere at each boot, is never set, goes on over the lives of programs
//   wall   lv::wall_clock, CLOCK_REALTIME: may be set, forwards and backwards
//
// Both come of one oscillator, so they gain the same. A value: who keeps it over the lives of programs and who reads it in one of
// them have a copy each, to which the same is done.

#include <cstdint>

namespace levity::inline v0::detail {

struct sim_clock {
  static constexpr std::int64_t billion = 1'000'000'000;

  std::int64_t base_ns;  // of the network
  std::int64_t own_ns;   // at that moment
  std::int64_t wall_ns;  // at that moment
  std::int64_t gain_ppb = 0;

  /// What has passed since that moment, by the host's oscillator.
  [[nodiscard]] std::int64_t passed_ns(std::int64_t network_ns) const noexcept {
    const std::int64_t passed = network_ns - base_ns;
    if (gain_ppb == 0) return passed;
    return passed + static_cast<std::int64_t>(static_cast<__int128>(passed) * gain_ppb / billion);
  }
  [[nodiscard]] std::int64_t own_at(std::int64_t network_ns) const noexcept { return own_ns + passed_ns(network_ns); }
  [[nodiscard]] std::int64_t wall_at(std::int64_t network_ns) const noexcept { return wall_ns + passed_ns(network_ns); }

  /// When the network will have come to where `own` is then, or a little later.
  [[nodiscard]] std::int64_t network_at(std::int64_t own) const noexcept {
    const std::int64_t left = own - own_ns;
    if (gain_ppb == 0) return base_ns + left;
    // Rounded up: woken a moment too early a host would only look at its clock and sleep again.
    return base_ns + static_cast<std::int64_t>(static_cast<__int128>(left) * billion / (billion + gain_ppb)) + 1;
  }

  /// From now on the wall clock shows `wall`, and both gain so much.
  void set(std::int64_t network_ns, std::int64_t wall, std::int64_t gain) noexcept {
    own_ns = own_at(network_ns);
    wall_ns = wall;
    base_ns = network_ns;
    gain_ppb = gain;
  }
  /// The machine is switched on: its own clock begins at `own`. The wall clock has run on.
  void boot(std::int64_t network_ns, std::int64_t own) noexcept {
    wall_ns = wall_at(network_ns);
    own_ns = own;
    base_ns = network_ns;
  }
};

}  // namespace levity::detail
