#pragma once

// simulated_names: who answers the question of a name's addresses in a world that is made up. It knows when it will have answered;
// the one who asks waits so long.

#include <cstdint>
#include <string_view>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

struct simulated_names {
  struct answer {
    io_result<std::vector<address>> addresses;  // without ports, in the order in which they are to be tried; empty: not_found
    std::int64_t after_ns = 0;
  };
  /// On the thread that runs the tasks. Throws std::bad_alloc.
  virtual answer ask(std::string_view name) = 0;

protected:
  ~simulated_names() = default;
};

}  // namespace levity::detail
