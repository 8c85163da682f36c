#pragma once

// program_chooser: asks the strategy of a world for one life of a program, until that is severed: from then on nothing that it does
// is a choice of the world's, nor in its trace.

#include <cstddef>
#include <cstdint>
#include <span>

#include "reactor/sim/sim_network.hpp"
#include "sched/chooser.hpp"
#include "sim/strategy.hpp"

namespace levity::inline v0::sim {

class program_chooser final : public detail::chooser {
public:
  /// Of a program at that site. Both outlive it.
  program_chooser(strategy& asked, detail::sim_network& network, detail::sim_network::site_number site)
      : asked_(asked), network_(network), site_(site), life_(asked.begin_life()) {}

  std::size_t pick(std::span<const detail::ready_choice> ready) noexcept override;
  void gives_way(std::uint32_t task) noexcept override;
  [[nodiscard]] bool detaches() const noexcept override { return asked_.detaches(); }
  [[nodiscard]] bool sets_aside(std::uint32_t task) noexcept override;

private:
  [[nodiscard]] bool is_severed() const noexcept { return !network_.has_process(site_); }

  strategy& asked_;
  detail::sim_network& network_;
  const detail::sim_network::site_number site_;
  const std::uint32_t life_;
};

}  // namespace levity::sim
