// commands.hpp -- the commands of the binary `levity`: one folder and one row each.
#pragma once

#include <span>
#include <string_view>

namespace levity::tools {

struct command {
  std::string_view name;
  std::string_view summary;
  int (*run)(int argc, char** argv);  ///< argv[0] is the command's name; returns the exit code
};

[[nodiscard]] std::span<const command> commands();

int load_command(int argc, char** argv);
int drive_orders_command(int argc, char** argv);
int story_command(int argc, char** argv);

}  // namespace levity::tools
