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
  bool missed = false;  ///< the version that is judged has missed the target, or has no figure
};

/// The table for these versions.
[[nodiscard]] std::vector<row> compare(const std::vector<act_result>& acts, const act_options& options);

/// What it comes to.
struct verdict {
  int exit_code = 0;     ///< 0 all is met, or nothing is judged; 2 a target is missed; 3 it is, and the generator was late itself
  bool judged = false;   ///< only 'after' is, and only with the faults of the script
  std::string sentence;  ///< which says so
};
[[nodiscard]] verdict conclude(const std::vector<act_result>& acts, const act_options& options, const std::vector<row>& table);

/// Everything: options, machine, script, table, and of each version its windows, looks, load and judgement. Sorts latencies.
[[nodiscard]] nlohmann::ordered_json to_json(std::vector<act_result>& acts, const act_options& options,
                                             const std::vector<row>& table);

}  // namespace levity::story
