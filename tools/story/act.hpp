// act.hpp -- one version of the service through the whole story: start everybody, drive, let things go wrong, judge.
//
//   load thread    the engine's: sends, and writes down what came back (record.hpp)
//   probe thread   looks at the service (probe.hpp)
//   fault thread   tells the operators' ports what to suffer from, at its time
//   this thread    waits for them
#pragma once

#include "load/engine.hpp"
#include "story/judge.hpp"
#include "story/probe.hpp"
#include "story/record.hpp"
#include "story/script.hpp"

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace levity::story {

/// A version of the order service.
struct version {
  std::string name;     ///< before or after
  std::string program;
  bool uses_redis = false;
};

struct act_options {
  double rate = 12'000;
  double duration_s = 16;
  double writes = 0.1;
  std::size_t connections = 0;
  std::int64_t timeout_ns = 5'000'000'000;
  std::int64_t settle_ns = 15'000'000'000;
  std::uint64_t seed = 1;
  std::uint64_t customers = 10'000;
  std::vector<fault_window> script;
  std::string programs;               ///< the folder of the downstreams' programs
  std::optional<std::string> redis;   ///< the program redis-server, when the story has one
  bool shown = false;                 ///< tell on standard error what is going on
};

struct fault_told {
  double at_s = 0;
  std::string error;  ///< empty: the operator has been heard
};

struct act_result {
  version of;
  load::tally run;
  std::unique_ptr<record> met;
  std::vector<look> looks;
  std::vector<fault_told> told;
  std::uint64_t wrong_answers = 0;
  std::vector<std::string> wrong;
  orders::traffic_counts sent;
  judgement judged;
  std::string ended_early;  ///< what it said, when the service died on the way

  [[nodiscard]] std::optional<stats> last_stats() const;
  [[nodiscard]] std::uint64_t tasks_max() const;
  [[nodiscard]] std::uint64_t rss_bytes_max() const;
  [[nodiscard]] double failing_share() const;  ///< of the outside calls
};

/// Runs it. An error when somebody could not be started, or no connection was to be had.
[[nodiscard]] std::expected<act_result, std::string> play(const version& which, const act_options& options);

}  // namespace levity::story
