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
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "levity/base/atomic.hpp"
#include "sim/check_run.hpp"
#include "sim/plan_text.hpp"
#include "sim/schedule_text.hpp"
#include "sim/shrink.hpp"

namespace levity::inline v0::sim {

// What the environment has said.
struct wishes {
  std::optional<unsigned> seeds;
  std::optional<std::uint64_t> seed;
  std::optional<fault_plan> plan;
  std::optional<sim::schedule> schedule;
  std::optional<std::vector<unsigned>> choices;
  bool known = true;
  std::size_t lines = 40;  // of a timeline
};

namespace {

// How many checks this process has begun: their files must not have one name.
constinit atomic<unsigned> checks{0};

template <class Number>
std::optional<Number> read_number(std::string_view text) {
  Number read = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return read;
}

std::expected<wishes, std::string> read_environment(const check_options& options) {
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
  if (const char* known = std::getenv("LEVITY_SIM_KNOWN"); known != nullptr) {
    const auto number = read_number<unsigned>(known);
    if (!number || *number > 1) {
      return std::unexpected(fmt::format("LEVITY_SIM_KNOWN is \"{}\"; write 0 to leave out the known cases, or 1", known));
    }
    read.known = *number == 1;
  }
  if (const char* plan = std::getenv("LEVITY_SIM_PLAN"); plan != nullptr) {
    auto parsed = fault_plan::parse(plan);
    if (!parsed) return std::unexpected(fmt::format("LEVITY_SIM_PLAN: {}", parsed.error()));
    read.plan = *std::move(parsed);
  }
  if (const char* schedule = std::getenv("LEVITY_SIM_SCHEDULE"); schedule != nullptr) {
    auto parsed = parse_schedule(schedule, options.schedule);
    if (!parsed) return std::unexpected(fmt::format("LEVITY_SIM_SCHEDULE: {}", parsed.error()));
    read.schedule = *parsed;
  }
  if (const char* lines = std::getenv("LEVITY_SIM_LINES"); lines != nullptr) {
    const auto number = read_number<std::size_t>(lines);
    if (!number) {
      return std::unexpected(fmt::format("LEVITY_SIM_LINES is \"{}\"; write how many lines of a timeline are shown", lines));
    }
    read.lines = *number;
  }
  if (const char* choices = std::getenv("LEVITY_SIM_CHOICES"); choices != nullptr) {
    auto parsed = parse_choices(choices);
    if (!parsed) return std::unexpected(fmt::format("LEVITY_SIM_CHOICES: {}", parsed.error()));
    if (!read.seed || read.schedule.value_or(options.schedule).what != schedule_kind::exhaustive) {
      return std::unexpected("LEVITY_SIM_CHOICES are those of one seed and of an exhaustive schedule; say LEVITY_SIM_SEED and "
                             "LEVITY_SIM_SCHEDULE, too");
    }
    read.choices = *std::move(parsed);
  }
  return read;
}

double seconds(duration time) { return static_cast<double>(time.count()) / 1e9; }

// 1,234,567
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string count_of(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", grouped(count), what, count == 1 ? "" : "s");
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
      : options_(options), scenario_(scenario), wanted_(std::move(wanted)),
        schedule_(wanted_.schedule.value_or(options.schedule)) {}

  check_result result() {
    const unsigned seeds = wanted_.seed ? 1 : wanted_.seeds.value_or(options_.seeds);
    if (seeds == 0) return {.message = "sim::check was to run no seed at all, which would show nothing; give it one at least\n"};
    if (wanted_.known && !wanted_.seed && !wanted_.plan) {
      for (const known_case& each : options_.known) {
        if (auto ended = run_known(each)) return *std::move(ended);
      }
    }
    for (unsigned i = 0; i < seeds; i++) {
      const std::uint64_t seed = wanted_.seed.value_or(options_.first_seed + i);
      const bool is_twice = options_.twice_every > 0 && i % options_.twice_every == 0;
      seeds_run_++;
      if (auto ended = run_seed(seed, is_twice, wanted_.plan ? &*wanted_.plan : nullptr)) return *std::move(ended);
    }
    return concluded(seeds);
  }

private:
  struct outcome {
    std::optional<run_failure> failed;
    fault_plan plan;
    sim::schedule schedule;
    std::vector<unsigned> choices;
    std::uint64_t hash = 0;
    duration age{};
    std::uint64_t steps = 0;
    bool has_strayed = false;
  };

  struct how_to_run {
    std::uint64_t seed;
    const sim::schedule& schedule;
    choice_path& path;
    const fault_plan* plan = nullptr;
    timeline* events = nullptr;
    bool counts = false;  // its properties do
    bool is_last = false;
  };

  // Whether a seed has several runs.
  [[nodiscard]] bool explores() const noexcept { return schedule_.what == schedule_kind::exhaustive && !wanted_.choices; }

  // As run_seed().
  std::optional<check_result> run_known(const known_case& it) {
    known_ = &it;
    std::optional<fault_plan> plan;
    if (it.plan) {
      auto parsed = fault_plan::parse(*it.plan);
      if (!parsed) {
        return check_result{.message = fmt::format("sim::check failed: the plan of the known case of seed {}: {}\n", it.seed,
                                                   parsed.error())};
      }
      plan = *std::move(parsed);
    }
    known_run_++;
    auto ended = run_seed(it.seed, false, plan ? &*plan : nullptr);
    known_ = nullptr;
    return ended;
  }

  // With the plan that is drawn, where there is none. Nothing: it holds, and the check goes on.
  std::optional<check_result> run_seed(std::uint64_t seed, bool is_twice, const fault_plan* plan) {
    sim::schedule now = schedule_;
    if (now.steps == 0) now.steps = steps_max_;
    choice_path path = wanted_.choices ? choice_path(*wanted_.choices) : choice_path(now.delays_max);
    for (std::uint64_t runs = 1;; runs++) {
      const bool is_again = is_twice && runs == 1;
      timeline events(options_.timeline_events);
      const outcome first = run_once({.seed = seed,
                                      .schedule = now,
                                      .path = path,
                                      .plan = plan,
                                      .events = is_again ? &events : nullptr,
                                      .counts = true});
      runs_++;
      steps_max_ = std::max(steps_max_, first.steps);
      age_ += first.age;
      if (first.has_strayed) return strayed(seed, first);
      if (first.failed) return failed(seed, first);
      if (is_again) {
        timeline again_events(options_.timeline_events);
        seeds_twice_++;
        const outcome again = run_again(seed, first, plan, &again_events);
        if (again.failed || again.hash != first.hash) return differs(seed, first, again, events, again_events);
      }
      if (wanted_.seed && !explores()) return replayed(seed, first, events, plan);
      if (!explores()) return std::nullopt;
      if (!path.next()) break;
      if (runs < now.runs_max) continue;
      is_complete_ = false;
      break;
    }
    is_bounded_ = is_bounded_ || path.is_bounded();
    return std::nullopt;
  }

  // In the order of a run that was.
  outcome run_again(std::uint64_t seed, const outcome& of, const fault_plan* plan, timeline* events = nullptr,
                    bool is_last = false) {
    choice_path path(of.choices);
    return run_once({.seed = seed, .schedule = of.schedule, .path = path, .plan = plan, .events = events, .is_last = is_last});
  }

  outcome run_once(const how_to_run& how) {
    how.path.begin();
    prepare_last_words(last_words_, options_, how.seed, how.plan, how.schedule, how.path.choices());
    auto made = std::make_unique<check_run::state>(run_setting{.options = options_,
                                                               .seed = how.seed,
                                                               .plan = how.plan,
                                                               .schedule = how.schedule,
                                                               .path = how.path,
                                                               .events = how.events,
                                                               .tally = how.counts ? &tally_ : nullptr,
                                                               .faults = how.counts ? &faults_ : nullptr,
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
    const bool has_strayed = !how.path.end();
    return {.failed = state.failed,
            .plan = state.plan.value_or(fault_plan{}),
            .schedule = how.schedule,
            .choices = how.path.choices(),
            .hash = state.in.trace_hash(),
            .age = state.in.age(),
            .steps = state.decides != nullptr ? state.decides->steps() : 0,
            .has_strayed = has_strayed};
  }

  [[nodiscard]] check_result result_of(std::uint64_t seed, const outcome& of) const {
    return {.seed = seed,
            .plan = of.plan,
            .trace_hash = of.hash,
            .seeds_run = seeds_run_,
            .runs = runs_,
            .schedule = of.schedule,
            .choices = of.choices};
  }

  [[nodiscard]] std::string replay(std::uint64_t seed, const outcome& of) const {
    return fmt::format("  replay  {}\n", replay_line(options_, seed, &of.plan, of.schedule, of.choices));
  }

  [[nodiscard]] std::string order_of(const outcome& of) const {
    if (of.schedule == sim::schedule{}) return {};
    std::string text = "  order   " + schedule_text(of.schedule);
    if (explores()) text += fmt::format(", run {}", runs_);
    if (!of.choices.empty()) text += ", choices " + choices_text(of.choices);
    return text + "\n";
  }

  check_result failed(std::uint64_t seed, const outcome& first) {
    const auto fails_so = [&](const outcome& other) { return other.failed && other.failed->is_same_as(*first.failed); };
    const std::int64_t late_ns = detail::kernel_now_ns() + options_.shrink_time_max.count();  // of the machine's time
    bool is_late = false;
    const auto has_time = [&] {
      is_late = is_late || detail::kernel_now_ns() >= late_ns;
      return !is_late;
    };
    const auto fails_with = [&](const fault_plan& plan) { return has_time() && fails_so(run_again(seed, first, &plan)); };
    // By its plan alone, as whoever replays it will meet it.
    timeline events(options_.timeline_events);
    const outcome again = run_again(seed, first, &first.plan, &events);
    if (!fails_so(again) || again.hash != first.hash) {
      timeline first_events(options_.timeline_events);
      (void)run_again(seed, first, &first.plan, &first_events);
      return differs(seed, first, again, events, first_events);
    }
    shrunk_plan least{.plan = first.plan};
    if (!wanted_.plan) least = shrink(first.plan, fails_with, options_.shrink_runs_max);
    const std::string drawn = how_small(least, first.plan, is_late);
    const auto fails_by = [&](const outcome& other) { return has_time() && fails_so(run_again(seed, other, &least.plan)); };
    timeline last_events(options_.timeline_events);
    outcome last = run_again(seed, plainest(first, fails_by), &least.plan, &last_events, true);
    if (!fails_so(last)) return differs(seed, first, last, last_events, last_events);

    check_result result = result_of(seed, last);
    result.trace_file = write_trace(seed, last_events);
    result.message =
        fmt::format("sim::check failed on seed {}, after {}{}: {}\n", seed, count_of(seeds_run_, "seed"),
                    known_ != nullptr ? ", a known case" : "", last.failed->what);
    if (known_ != nullptr && !known_->what.empty()) result.message += fmt::format("  before  {}\n", known_->what);
    result.message += fmt::format("  when    {:.6f} s after the world's beginning{}{}\n", seconds(last.failed->at),
                                  last.failed->host.empty() ? "" : ", on host ", last.failed->host);
    result.message += fmt::format("  plan    {}{}\n", last.plan.faults.empty() ? "no fault" : last.plan.to_string(), drawn);
    result.message += order_of(last) + replay(seed, last);
    result.message += told(last_events, result.trace_file);
    return result;
  }

  // Behind a plan: what is known of it.
  [[nodiscard]] std::string how_small(const shrunk_plan& least, const fault_plan& drawn, bool is_late) const {
    const std::string all = count_of(drawn.faults.size(), "fault");
    if (is_late) {
      return fmt::format(", the smallest found of {}: the limit of {} s was reached", all, seconds(options_.shrink_time_max));
    }
    if (!least.is_least) {
      return fmt::format(", the smallest found of {}: the limit of {} was reached", all, count_of(least.runs, "run"));
    }
    if (least.plan == drawn) return {};
    return fmt::format(", the least of {} in {}", all, count_of(least.runs, "run"));
  }

  // A run of which as many choices are the plainest ones as can be, and that still fails.
  template <class Fails>
  [[nodiscard]] outcome plainest(outcome run, const Fails& fails) const {
    if (!explores()) return run;
    unsigned tries = options_.shrink_runs_max;
    for (std::size_t i = run.choices.size(); i-- > 0 && tries > 0;) {
      if (run.choices[i] == 0) continue;
      tries--;
      const unsigned before = std::exchange(run.choices[i], 0U);
      if (!fails(run)) run.choices[i] = before;
    }
    return run;
  }

  check_result differs(std::uint64_t seed, const outcome& first, const outcome& again, const timeline& one, const timeline& other) {
    check_result result = result_of(seed, first);
    const auto end_of = [](const outcome& of) { return of.failed ? of.failed->what : std::string("nothing was wrong"); };
    result.message = fmt::format("sim::check failed: not deterministic: seed {} was run twice, and came to different ends\n", seed);
    result.message += fmt::format("  once    {} ({:.6f} s, {:016x})\n", end_of(first), seconds(first.age), first.hash);
    result.message += fmt::format("  again   {} ({:.6f} s, {:016x})\n", end_of(again), seconds(again.age), again.hash);
    result.message += order_of(first) + replay(seed, first);
    if (&one != &other) result.message += first_difference(one, other);
    result.message += hints;
    return result;
  }

  // Its choices no longer lead where they led.
  check_result strayed(std::uint64_t seed, const outcome& of) {
    check_result result = result_of(seed, of);
    result.message = fmt::format("sim::check failed: not deterministic: two runs of seed {} had the same choices, and then not the "
                                 "same things to choose from\n", seed);
    result.message += order_of(of) + replay(seed, of);
    result.message += hints;
    return result;
  }

  // The one seed of the environment.
  check_result replayed(std::uint64_t seed, const outcome& of, const timeline& seen, const fault_plan* plan) {
    timeline events(options_.timeline_events);
    if (seen.events().empty()) (void)run_again(seed, of, plan, &events);
    const timeline& shown = seen.events().empty() ? events : seen;
    check_result result = result_of(seed, of);
    result.holds = true;
    result.trace_file = write_trace(seed, shown);
    result.message = fmt::format("sim::check: seed {} has nothing wrong, with {}\n", seed,
                                 of.plan.faults.empty() ? "no fault" : "the fault plan " + of.plan.to_string());
    result.message += order_of(of);
    result.message += told(shown, result.trace_file);
    std::fputs(result.message.c_str(), stderr);  // nobody prints the message of what holds, and it was asked for
    return result;
  }

  check_result concluded(unsigned seeds) {
    check_result result{.seeds_run = seeds_run_, .runs = runs_, .schedule = schedule_};
    result.complete = explores() && is_complete_;
    result.cut_short = !is_complete_;
    result.bounded = is_bounded_;
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
    result.message = fmt::format("sim::check: {}{} from {}{}{}, and nothing was wrong; {}; {}\n",
                                 known_run_ == 0 ? "" : count_of(known_run_, "known case") + " and ", count_of(seeds, "seed"),
                                 wanted_.seed.value_or(options_.first_seed), twice(), explored(), faults_met(), worlds_time());
    if (wanted_.seed) std::fputs(result.message.c_str(), stderr);  // as in replayed()
    return result;
  }

  [[nodiscard]] std::string twice() const {
    if (explores() || seeds_run_ == 1 || seeds_twice_ == 0) return {};
    return fmt::format(", {} of them twice", grouped(seeds_twice_));
  }

  [[nodiscard]] std::string faults_met() const {
    std::uint64_t all = 0;
    std::string kinds;
    for (const auto& [what, count] : faults_) {
      all += count;
      kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", grouped(count), fault_text(what));
    }
    return all == 0 ? "met no fault" : fmt::format("met {}: {}", count_of(all, "fault"), kinds);
  }

  [[nodiscard]] std::string worlds_time() const {
    const double s = seconds(age_);
    if (s < 60) return fmt::format("{:.1f} s of the worlds' time", s);
    if (s < 3600) return fmt::format("{:.1f} min of the worlds' time", s / 60);
    return fmt::format("{:.1f} h of the worlds' time", s / 3600);
  }

  // How much of all orders was seen.
  [[nodiscard]] std::string explored() const {
    if (!explores()) return {};
    const std::string runs = count_of(runs_, "run");
    if (!is_complete_) return fmt::format(" in {}, and orders are left (schedule::runs_max)", runs);
    if (is_bounded_) return fmt::format(" in {}, all orders of up to {}", runs, count_of(schedule_.delays_max, "delay"));
    return fmt::format(" in {}, all orders", runs);
  }

  [[nodiscard]] std::string told(const timeline& events, const std::string& file) const {
    std::string text;
    if (!file.empty()) text += fmt::format("  trace   {}, for https://ui.perfetto.dev\n", file);
    const std::uint64_t all = events.dropped() + events.events().size();
    if (all <= wanted_.lines) return text + "  what happened\n" + events.text();
    text += fmt::format("  what happened, {} events, the last of them in {}; LEVITY_SIM_LINES={} shows more\n", all,
                        count_of(wanted_.lines, "line"), std::max<std::size_t>(10 * wanted_.lines, 100));
    return text + events.digest(wanted_.lines);
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
  const sim::schedule schedule_;
  const unsigned number_ = checks.fetch_add(1, std::memory_order_relaxed);  // only to be unlike others
  abort_line last_words_;
  property_tally tally_;
  fault_tally faults_;
  duration age_{};            // of all worlds, each once
  unsigned seeds_twice_ = 0;  // that were run again
  unsigned seeds_run_ = 0;
  unsigned known_run_ = 0;
  const known_case* known_ = nullptr;  // that is run now
  std::uint64_t runs_ = 0;
  std::uint64_t steps_max_ = 0;  // of a run so far
  bool is_complete_ = true;
  bool is_bounded_ = false;
};

check_result check(const check_options& options, const std::function<void(check_run&)>& scenario) {
  auto wanted = read_environment(options);
  if (!wanted) return {.message = fmt::format("sim::check failed: {}\n", wanted.error())};
  return checker(options, scenario, *std::move(wanted)).result();
}

}  // namespace levity::sim
