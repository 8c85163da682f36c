#pragma once

// check_run::state: what a check keeps of one run, and how it learns what happens there.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "levity/sim/check.hpp"
#include "levity/sync/event.hpp"
#include "sim/abort_line.hpp"
#include "sim/choice_path.hpp"
#include "sim/strategy.hpp"
#include "sim/timeline_recorder.hpp"

namespace levity::inline v0::sim {

/// Why a run has failed.
struct run_failure {
  std::string what;      // a sentence
  std::string identity;  // the same for the same fault of the program, in whatever words it is told
  std::string host;
  duration at{};

  [[nodiscard]] bool is_same_as(const run_failure& other) const { return identity == other.identity; }
};

/// Which properties were asked for, and whether they were ever true.
using property_tally = std::map<std::string, bool, std::less<>>;

/// How many faults of each kind have begun.
using fault_tally = std::map<fault_kind, std::uint64_t>;

/// Ends a run that has failed, out of check_run::play().
struct broken_off {};

/// What a run is made of.
struct run_setting {
  const check_options& options;
  std::uint64_t seed;
  const fault_plan* plan;   // null: the one that is drawn
  const sim::schedule& schedule;
  choice_path& path;        // of an exhaustive one
  timeline* events;         // null: nobody reads them
  property_tally* tally;    // null: this run does not count
  fault_tally* faults;      // likewise
  bool tells_deadlock;
  abort_line& last_words;
};

struct check_run::state : timeline_recorder {
  explicit state(const run_setting& how)
      : timeline_recorder(how.events), setting(how), decides(make_strategy(how.schedule, how.seed, how.path)), in(how.seed) {
    healed.set();
  }

  bool always_failed(unsigned site, std::int64_t at_ns, std::string_view what, const std::source_location& where) override;
  void sometimes(unsigned site, std::int64_t at_ns, bool is_true, std::string_view what) override;
  bool wants_end(std::int64_t now_ns) override;
  deadlock_is deadlocked(std::int64_t now_ns) override;
  [[nodiscard]] std::int64_t now_ns() const override;
  void met(fault_kind what) override;
  void runs(const std::string* host, std::int64_t now_ns) noexcept override;

  using timeline_recorder::age_at;
  using timeline_recorder::name_of;
  /// Of two failures the first counts.
  void fail(run_failure how);

  const run_setting setting;
  const std::unique_ptr<strategy> decides;
  std::optional<fault_plan> plan;
  std::optional<run_failure> failed;
  std::set<std::string, std::less<>> seen;  // properties that were true in this run
  event healed;                             // set while no plan is followed
  sim::world in;                            // last, and so gone first: its programs may know of all of these
};

/// Of the exception that is being handled.
[[nodiscard]] run_failure failure_by_exception(std::string host, duration at);

/// The line that brings a run again. Without a plan it is drawn again.
[[nodiscard]] std::string replay_line(const check_options& options, std::uint64_t seed, const fault_plan* plan,
                                      const schedule& how, std::span<const unsigned> choices);

/// What is said if the process ends in this run. Without a plan it is not known yet.
void prepare_last_words(abort_line& by, const check_options& options, std::uint64_t seed, const fault_plan* plan,
                        const schedule& how, std::span<const unsigned> choices);

}  // namespace levity::sim
