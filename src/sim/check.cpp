#include "levity/sim/check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "levity/base/atomic.hpp"
#include "sim/check_run.hpp"
#include "sim/shrink.hpp"

namespace levity::inline v0::sim {

// What the environment has said.
struct wishes {
  std::optional<unsigned> seeds;
  std::optional<std::uint64_t> seed;
  std::optional<fault_plan> plan;
};

namespace {

constexpr std::size_t last_lines = 40;

// How many checks this process has begun: their files must not have one name.
constinit atomic<unsigned> checks{0};

template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number read = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return read;
}

std::expected<wishes, std::string> read_environment() {
  wishes read;
  if (const char* seeds = std::getenv("LEVITY_SIM_SEEDS"); seeds != nullptr) {
    read.seeds = read_number<unsigned>(seeds);
    if (!read.seeds || *read.seeds == 0) {
      return std::unexpected(fmt::format("LEVITY_SIM_SEEDS is \"{}\"; write how many seeds a check runs, 1 at least", seeds));
    }
  }
  if (const char* seed = std::getenv("LEVITY_SIM_SEED"); seed != nullptr) {
    read.seed = read_number<std::uint64_t>(seed);
    if (!read.seed) return std::unexpected(fmt::format("LEVITY_SIM_SEED is \"{}\"; write the number of a seed", seed));
  }
  if (const char* plan = std::getenv("LEVITY_SIM_PLAN"); plan != nullptr) {
    auto parsed = fault_plan::parse(plan);
    if (!parsed) return std::unexpected(fmt::format("LEVITY_SIM_PLAN: {}", parsed.error()));
    read.plan = *std::move(parsed);
  }
  return read;
}

double seconds(duration time) { return static_cast<double>(time.count()) / 1e9; }

std::string count_of(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// Where two timelines of one seed part.
std::string first_difference(const timeline& one, const timeline& other) {
  if (one.dropped() == other.dropped()) {
    const auto text_of = [](const timeline& of, std::size_t i) {
      if (i >= of.events().size()) return std::string("  nothing more\n");
      timeline line;
      line.add(of.events()[i]);
      return line.text();
    };
    const std::size_t size = std::max(one.events().size(), other.events().size());
    for (std::size_t i = 0; i < size; i++) {
      if (i < one.events().size() && i < other.events().size() && one.events()[i] == other.events()[i]) continue;
      return fmt::format("The first thing that differs in their timelines is\n{}and\n{}", text_of(one, i), text_of(other, i));
    }
  }
  return "Their timelines do not show where they part: it is in what is sent, in which order, or when. note() says more.\n";
}

// Who observes this thread outside of all hosts, while it lives.
class thread_presence {
public:
  explicit thread_presence(detail::world_observer* by) noexcept : before_(detail::exchange_thread_observer(by)) {}
  thread_presence(const thread_presence&) = delete;
  thread_presence& operator=(const thread_presence&) = delete;
  ~thread_presence() { detail::exchange_thread_observer(before_); }

private:
  detail::world_observer* const before_;
};

constexpr std::string_view hints =
    "A scenario and its programs must not depend on the machine's clock (lv::clock and lv::wall_clock are the world's), on\n"
    "std::random_device or other randomness (lv::random_seed is the world's), on the order of addresses (containers by pointer,\n"
    "hashes of pointers), on threads of their own, or on static variables that keep something from one run to the next.\n";

}  // namespace

// One call of check().
class checker {
public:
  checker(const check_options& options, const std::function<void(check_run&)>& scenario, wishes wanted)
      : options_(options), scenario_(scenario), wanted_(std::move(wanted)) {}

  check_result result() {
    const unsigned seeds = wanted_.seed ? 1 : wanted_.seeds.value_or(options_.seeds);
    if (seeds == 0) return {.message = "sim::check was to run no seed at all, which would show nothing; give it one at least\n"};
    for (unsigned i = 0; i < seeds; i++) {
      const std::uint64_t seed = wanted_.seed.value_or(options_.first_seed + i);
      const bool is_twice = options_.twice_every > 0 && i % options_.twice_every == 0;
      timeline events(options_.timeline_events);
      const outcome first = run_once({.seed = seed, .plan = given_plan(), .events = is_twice ? &events : nullptr, .counts = true});
      seeds_run_++;
      if (first.failed) return failed(seed, first);
      if (is_twice) {
        timeline again_events(options_.timeline_events);
        const outcome again = run_once({.seed = seed, .plan = given_plan(), .events = &again_events});
        if (again.failed || again.hash != first.hash) return differs(seed, first, again, events, again_events);
      }
      if (wanted_.seed) return replayed(seed, first, events);
    }
    return concluded(seeds);
  }

private:
  struct outcome {
    std::optional<run_failure> failed;
    fault_plan plan;
    std::uint64_t hash = 0;
    duration age{};
  };

  struct how_to_run {
    std::uint64_t seed;
    const fault_plan* plan = nullptr;
    timeline* events = nullptr;
    bool counts = false;  // its properties do
    bool is_last = false;
  };

  [[nodiscard]] const fault_plan* given_plan() const noexcept { return wanted_.plan ? &*wanted_.plan : nullptr; }

  outcome run_once(const how_to_run& how) {
    last_words_.say("levity: the seed of a check that this was: " + replay_line(options_, how.seed, how.plan));
    auto made = std::make_unique<check_run::state>(run_setting{.options = options_,
                                                               .seed = how.seed,
                                                               .plan = how.plan,
                                                               .events = how.events,
                                                               .tally = how.counts ? &tally_ : nullptr,
                                                               .tells_deadlock = how.is_last,
                                                               .last_words = last_words_});
    check_run::state& state = *made;
    check_run run(std::move(made));
    const thread_presence here(&state);
    try {
      scenario_(run);
    } catch (const broken_off&) {
    } catch (...) {
      state.fail(failure_by_exception({}, state.in.age()));
    }
    run.end_programs();
    return {state.failed, state.plan.value_or(fault_plan{}), state.in.trace_hash(), state.in.age()};
  }

  [[nodiscard]] check_result result_of(std::uint64_t seed, const outcome& of) const {
    return {.seed = seed, .plan = of.plan, .trace_hash = of.hash, .seeds_run = seeds_run_};
  }

  check_result failed(std::uint64_t seed, const outcome& first) {
    const auto fails_so = [&](const outcome& other) { return other.failed && other.failed->is_same_as(*first.failed); };
    const std::int64_t late_ns = detail::kernel_now_ns() + options_.shrink_time_max.count();  // of the machine's time
    const auto fails_with = [&](const fault_plan& plan) {
      return detail::kernel_now_ns() < late_ns && fails_so(run_once({.seed = seed, .plan = &plan}));
    };
    // By its plan alone, as whoever replays it will meet it.
    timeline events(options_.timeline_events);
    const outcome again = run_once({.seed = seed, .plan = &first.plan, .events = &events});
    if (!fails_so(again) || again.hash != first.hash) {
      timeline first_events(options_.timeline_events);
      (void)run_once({.seed = seed, .plan = &first.plan, .events = &first_events});
      return differs(seed, first, again, events, first_events);
    }
    shrunk_plan least{first.plan, 0};
    if (!wanted_.plan) least = shrink(first.plan, fails_with, options_.shrink_runs_max);
    timeline last_events(options_.timeline_events);
    outcome last = run_once({.seed = seed, .plan = &least.plan, .events = &last_events, .is_last = true});
    if (!fails_so(last)) return differs(seed, first, last, last_events, last_events);

    check_result result = result_of(seed, last);
    result.trace_file = write_trace(seed, last_events);
    std::string drawn;
    if (first.plan != last.plan) {
      drawn = fmt::format(", the least of {} in {}", count_of(first.plan.faults.size(), "fault"), count_of(least.runs, "run"));
    }
    result.message =
        fmt::format("sim::check failed on seed {}, after {}: {}\n", seed, count_of(seeds_run_, "seed"), last.failed->what);
    result.message += fmt::format("  when    {:.6f} s after the world's beginning{}{}\n", seconds(last.failed->at),
                                  last.failed->host.empty() ? "" : ", on host ", last.failed->host);
    result.message += fmt::format("  plan    {}{}\n", last.plan.faults.empty() ? "no fault" : last.plan.to_string(), drawn);
    result.message += fmt::format("  replay  {}\n", replay_line(options_, seed, &last.plan));
    result.message += told(last_events, result.trace_file);
    return result;
  }

  check_result differs(std::uint64_t seed, const outcome& first, const outcome& again, const timeline& one, const timeline& other) {
    check_result result = result_of(seed, first);
    const auto end_of = [](const outcome& of) { return of.failed ? of.failed->what : std::string("nothing was wrong"); };
    result.message = fmt::format("sim::check failed: not deterministic: seed {} was run twice, and came to different ends\n", seed);
    result.message += fmt::format("  once    {} ({:.6f} s, {:016x})\n", end_of(first), seconds(first.age), first.hash);
    result.message += fmt::format("  again   {} ({:.6f} s, {:016x})\n", end_of(again), seconds(again.age), again.hash);
    result.message += fmt::format("  replay  {}\n", replay_line(options_, seed, &first.plan));
    if (&one != &other) result.message += first_difference(one, other);
    result.message += hints;
    return result;
  }

  // The one seed of the environment.
  check_result replayed(std::uint64_t seed, const outcome& of, const timeline& seen) {
    timeline events(options_.timeline_events);
    if (seen.events().empty()) (void)run_once({.seed = seed, .plan = given_plan(), .events = &events});
    const timeline& shown = seen.events().empty() ? events : seen;
    check_result result = result_of(seed, of);
    result.holds = true;
    result.trace_file = write_trace(seed, shown);
    result.message = fmt::format("sim::check: seed {} has nothing wrong, with {}\n", seed,
                                 of.plan.faults.empty() ? "no fault" : "the fault plan " + of.plan.to_string());
    result.message += told(shown, result.trace_file);
    std::fputs(result.message.c_str(), stderr);  // nobody prints the message of what holds, and it was asked for
    return result;
  }

  check_result concluded(unsigned seeds) {
    check_result result{.seeds_run = seeds_run_};
    // Fewer seeds or other plans than it is meant to have need not come by everything.
    if (!wanted_.plan && seeds >= options_.seeds) {
      for (const auto& [what, was_true] : tally_) {
        if (!was_true) result.message += fmt::format("  sometimes \"{}\"\n", what);
      }
    }
    if (!result.message.empty()) {
      result.message = fmt::format("sim::check failed: in {} this was never true\n{}"
                                   "  More seeds, or a fault plan of other kinds, may show it; else the scenario does not test "
                                   "what it is meant to.\n",
                                   count_of(seeds, "seed"), result.message);
      return result;
    }
    result.holds = true;
    result.message = fmt::format("sim::check: {} from {}, and nothing was wrong\n", count_of(seeds, "seed"), options_.first_seed);
    return result;
  }

  [[nodiscard]] static std::string told(const timeline& events, const std::string& file) {
    std::string text;
    if (!file.empty()) text += fmt::format("  trace   {}, for https://ui.perfetto.dev\n", file);
    const std::uint64_t all = events.dropped() + events.events().size();
    text += all <= last_lines ? "  what happened\n" : fmt::format("  what happened, the last {} of {} events\n", last_lines, all);
    return text + events.text(last_lines);
  }

  // The name of the file; empty if it cannot be written, which is no reason to fail.
  [[nodiscard]] std::string write_trace(std::uint64_t seed, const timeline& events) const {
    std::error_code failed;
    std::filesystem::path folder = options_.trace_folder;
    if (folder.empty()) folder = std::filesystem::temp_directory_path(failed);
    if (failed) return {};
    const std::filesystem::path path = folder / fmt::format("levity-sim-{}-{}-{}.json", ::getpid(), number_, seed);
    std::ofstream file(path, std::ios::binary);
    file << events.json();
    file.close();
    return file ? path.string() : std::string();
  }

  const check_options& options_;
  const std::function<void(check_run&)>& scenario_;
  const wishes wanted_;
  const unsigned number_ = checks.fetch_add(1, std::memory_order_relaxed);  // only to be unlike others
  abort_line last_words_;
  property_tally tally_;
  unsigned seeds_run_ = 0;
};

check_result check(const check_options& options, const std::function<void(check_run&)>& scenario) {
  auto wanted = read_environment();
  if (!wanted) return {.message = fmt::format("sim::check failed: {}\n", wanted.error())};
  return checker(options, scenario, *std::move(wanted)).result();
}

}  // namespace levity::sim
