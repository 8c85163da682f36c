// show.hpp -- the story on a terminal: a line for each half second, then the table.
#pragma once

#include "common/terminal.hpp"
#include "story/act.hpp"
#include "story/verdict.hpp"

#include <string>
#include <vector>

namespace levity::story {

/// One version's timeline, with what can be said of its orders and of the generator below it.
[[nodiscard]] std::string show_timeline(act_result& of, const act_options& options, const tools::paint& colours);

/// The table: article, target, and each version beside the other. A row whose target is missed by the version that is judged begins
/// with a mark, which needs no colours.
[[nodiscard]] std::string show_table(const std::vector<row>& table, const std::vector<act_result>& acts,
                                     const tools::paint& colours);

/// Why the figures of a run are not the service's alone; empty when the generator was in time.
[[nodiscard]] std::string late_because(const act_result& of);

}  // namespace levity::story
