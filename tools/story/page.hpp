// page.hpp -- the story as one HTML file that needs nothing else: the table, and each panel with the versions side by side.
#pragma once

#include "story/act.hpp"
#include "story/verdict.hpp"

#include <string>
#include <vector>

namespace levity::story {

/// The whole page: HTML that is well-formed XML, too. Sorts latencies.
[[nodiscard]] std::string draw_page(std::vector<act_result>& acts, const act_options& options, const std::vector<row>& table);

}  // namespace levity::story
