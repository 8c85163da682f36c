#include "commands.hpp"

#include <array>

namespace levity::tools {

std::span<const command> commands() {
  static constexpr std::array<command, 3> rows{{
      {"load", "drive an HTTP server or a TCP echo at a fixed rate and measure it", load_command},
      {"drive-orders", "drive the order service, read every written order back, compare", drive_orders_command},
      {"story", "the order service before and after, while its neighbours are slow and dead", story_command},
  }};
  return rows;
}

}  // namespace levity::tools
