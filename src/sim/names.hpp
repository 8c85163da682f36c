#pragma once

// names: what the hosts of a world are told when they look a name up. Nobody caches: each question is asked anew.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/simulated_names.hpp"
#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "reactor/sim/sim_network.hpp"

namespace levity::inline v0::sim {

class names final : public detail::simulated_names {
public:
  explicit names(detail::sim_network& drawn_by) noexcept : network_(drawn_by) {}

  void set(std::string name, std::vector<address> to) { known_[std::move(name)] = {std::move(to), io_failure::not_found, {}}; }
  void fail(std::string name, io_failure with, duration after) { known_[std::move(name)] = {{}, with, after}; }

  answer ask(std::string_view name) override;

private:
  struct record {
    std::vector<address> addresses;
    io_failure failure = io_failure::not_found;
    duration after{};
  };

  detail::sim_network& network_;
  std::map<std::string, record, std::less<>> known_;
};

}  // namespace levity::sim
