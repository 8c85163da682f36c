#include "commands.hpp"

#include <array>

namespace levity::tools {

std::span<const command> commands() {
  static constexpr std::array<command, 2> rows{{
      {"load", "drive an HTTP server or a TCP echo at a fixed rate and measure it", load_command},
      {"drive-orders", "drive the order service, read every written order back, compare", drive_orders_command},
  }};
  return rows;
}

}  // namespace levity::tools
