// verdict.hpp -- the figures of the story beside the article's: what they were, what they should become, what they are.
#pragma once

#include "story/act.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace levity::story {

/// A figure of one version.
struct figure {
  std::string shown;
  double value = 0;
  bool met = false;
};

/// A line of the table.
struct row {
  std::string name;
  std::string article;  ///< what the article has measured; empty where it says nothing
  std::string target;
  std::string source;   ///< article, or ours
  std::vector<std::optional<figure>> figures;  ///< one a version, in their order
};

/// The table for these versions.
[[nodiscard]] std::vector<row> compare(const std::vector<act_result>& acts, const act_options& options);

/// Whether the last version has met every target of the table.
[[nodiscard]] bool all_met(const std::vector<row>& table);

/// Everything: options, machine, script, table, and of each version its windows, looks, load and judgement. Sorts latencies.
[[nodiscard]] nlohmann::ordered_json to_json(std::vector<act_result>& acts, const act_options& options,
                                             const std::vector<row>& table);

}  // namespace levity::story
