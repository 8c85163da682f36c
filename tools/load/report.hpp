// report.hpp -- what a run looks like on a screen and in a file.
#pragma once

#include "common/terminal.hpp"
#include "load/engine.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>

namespace levity::load {

/// The default for how late the generator may be at its p99 before it calls its own run INVALID.
inline constexpr std::int64_t lag_limit_default_ns = 1'000'000;

/// A generator thread that waits for nothing for a larger share of its time than this is the bottleneck itself.
inline constexpr double busy_share_max = 0.95;

/// A sentence when the generator itself was too late for its figures to mean the server; empty when it was not.
[[nodiscard]] std::optional<std::string> invalid_because(const tally& run, std::int64_t lag_limit_ns, bool closed);

/// The table: percentiles of corrected latency, service latency and own lag; rate, errors by kind, bytes, own cost.
[[nodiscard]] std::string show_table(const tally& run, const engine_options& options, const tools::paint& paint);

/// The percentile curves of corrected and service latency. Empty without answers.
[[nodiscard]] std::string show_picture(const tally& run, const tools::paint& paint);

/// Everything of the table, and the filled buckets of the histograms.
[[nodiscard]] nlohmann::ordered_json to_json(const tally& run, const engine_options& options,
                                             std::int64_t lag_limit_ns);

/// Writes the file, or to standard output for "-". The error is one sentence.
[[nodiscard]] std::expected<void, std::string> write_json(const std::string& path, const nlohmann::ordered_json& content);

/// run_load() with a line that is redrawn once a second on standard error, when that is a terminal and `live` is set.
/// Ctrl-C ends the run early, what was measured is reported; a second one ends the process.
/// `each_second`, if given, is called about once a second from the calling thread while the run goes on.
[[nodiscard]] std::expected<tally, std::string> run_watched(engine_options options, const workload_factory& make,
                                                            bool live, const std::function<void()>& each_second = {});

}  // namespace levity::load
