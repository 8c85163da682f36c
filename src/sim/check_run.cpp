#include "sim/check_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <typeinfo>
#include <utility>

#include "reactor/sim/sim_network.hpp"
#include "sim/schedule_text.hpp"

namespace levity::inline v0::sim {
namespace {

// As one word of a shell.
std::string shell_word(std::string_view text) {
  std::string word = "'";
  for (const char each : text) {
    if (each == '\'') {
      word += "'\\''";
    } else {
      word += each;
    }
  }
  return word + "'";
}

std::string place_text(const std::source_location& where) { return fmt::format("{}:{}", where.file_name(), where.line()); }

}  // namespace

run_failure failure_by_exception(std::string host, duration at) {
  try {
    throw;
  } catch (const std::exception& it) {
    return {fmt::format("the scenario has thrown an exception: {}", it.what()), fmt::format("exception {}", typeid(it).name()),
            std::move(host), at};
  } catch (...) {
    return {"the scenario has thrown what is no std::exception", "exception", std::move(host), at};
  }
}

std::string replay_line(const check_options& options, std::uint64_t seed, const fault_plan* plan, const schedule& how,
                        std::span<const unsigned> choices) {
  std::string by = plan != nullptr ? " LEVITY_SIM_PLAN=" + shell_word(plan->to_string()) : std::string();
  if (how != schedule{}) by += " LEVITY_SIM_SCHEDULE=" + schedule_text(how);
  if (how.what == schedule_kind::exhaustive) by += " LEVITY_SIM_CHOICES=" + choices_text(choices);
  return fmt::format("LEVITY_SIM_SEED={}{} {}{}{}", seed, by, ::program_invocation_name, options.arguments.empty() ? "" : " ",
                     options.arguments);
}

void prepare_last_words(abort_line& by, const check_options& options, std::uint64_t seed, const fault_plan* plan,
                        const schedule& how, std::span<const unsigned> choices) {
  std::string behind = "\nlevity: to meet it again: " + replay_line(options, seed, plan, how, choices);
  if (plan != nullptr && !plan->faults.empty()) {
    const fault_plan none;
    behind += "\nlevity: without faults: " + replay_line(options, seed, &none, how, choices);
  }
  by.say(fmt::format("levity: this happened in a check, at seed {}", seed), behind);
}

// ---- what happens ----------------------------------------------------------------------------------------------------

bool check_run::state::always_failed(unsigned site, std::int64_t at_ns, std::string_view what, const std::source_location& where) {
  timeline_recorder::always_failed(site, at_ns, what, where);
  fail({fmt::format("always \"{}\" is false, at {}", what, place_text(where)), fmt::format("always {} {}", place_text(where), what),
        name_of(site), age_at(at_ns)});
  return true;
}

void check_run::state::sometimes(unsigned site, std::int64_t at_ns, bool is_true, std::string_view what) {
  if (setting.tally != nullptr) {
    auto found = setting.tally->find(what);
    if (found == setting.tally->end()) found = setting.tally->emplace(what, false).first;
    found->second = found->second || is_true;
  }
  if (is_true && setting.events != nullptr && !seen.contains(what)) {
    seen.emplace(what);
    tell(happened::property, site, at_ns, {fmt::format("sometimes \"{}\" is true", what)});
  }
}

bool check_run::state::wants_end(std::int64_t now_ns) {
  if (!failed && age_at(now_ns) > setting.options.limit) {
    const double limit_s = static_cast<double>(setting.options.limit.count()) / 1e9;
    fail({fmt::format("the scenario has not ended after {} s of the world's time", limit_s), "limit", {}, age_at(now_ns)});
  }
  return failed.has_value();
}

check_run::state::deadlock_is check_run::state::deadlocked(std::int64_t now_ns) {
  fail({"the world stands still: every task of every host waits, and nothing is on its way that could wake one", "standstill", {},
        age_at(now_ns)});
  return setting.tells_deadlock ? deadlock_is::told : deadlock_is::known;
}

std::int64_t check_run::state::now_ns() const { return detail::sim_network::start_ns + in.age().count(); }

void check_run::state::met(fault_kind what) {
  if (setting.faults != nullptr) (*setting.faults)[what]++;
}

void check_run::state::runs(const std::string* host, std::int64_t now_ns) noexcept {
  setting.last_words.runs(host, age_at(now_ns).count());
}

void check_run::state::fail(run_failure how) {
  if (!failed) failed = std::move(how);
}

// ---- what the scenario asks ------------------------------------------------------------------------------------------

check_run::check_run(std::unique_ptr<state> made) noexcept : state_(std::move(made)) {
  state_->in.set_observer(state_.get());
  state_->in.use_strategy(state_->decides.get());
  // Of small tests: elsewhere they would hide what else happens.
  const run_setting& how = state_->setting;
  if (how.events != nullptr && how.schedule.what == schedule_kind::exhaustive) state_->decides->tell_choices();
}

check_run::~check_run() {
  state_->in.set_observer(nullptr);
  state_->runs(nullptr, 0);  // no name of a host is there any more
}

sim::world& check_run::world() noexcept { return state_->in; }

std::uint64_t check_run::seed() const noexcept { return state_->setting.seed; }

const fault_plan& check_run::plan() {
  if (state_->plan) return *state_->plan;
  const run_setting& how = state_->setting;
  state_->plan = how.plan != nullptr ? *how.plan : fault_plan::draw(state_->in, how.options.plan);
  prepare_last_words(how.last_words, how.options, how.seed, &*state_->plan, how.schedule, how.path.choices());
  const auto all = state_->in.hosts();
  for (const fault& each : state_->plan->faults) {
    for (const std::string* name : {&each.host, &each.other}) {
      const bool is_there = std::ranges::any_of(all, [&](const host* one) { return one->name() == *name; }) ||
                            (!each.other.empty() && *name == state_->in.here().name());
      if (is_there || (name == &each.other && name->empty())) continue;
      fail(fmt::format("the fault plan names a host \"{}\", which the world does not have; name one of its hosts", *name));
      throw broken_off{};
    }
  }
  return *state_->plan;
}

void check_run::begin_plan() {
  (void)plan();
  if (follows_plan()) state_->healed.reset();  // before the scenario could wait for it
}

bool check_run::follows_plan() const noexcept { return !state_->plan->faults.empty(); }

task<> check_run::follow_plan(check_run* of) {
  co_await follow(of->world(), *of->state_->plan);
  of->state_->healed.set();
}

task<> check_run::healed() {
  co_await state_->healed.wait();
}

void check_run::fail(std::string_view sentence, const std::source_location& where) { fail(sentence, place_text(where)); }

void check_run::fail(std::string_view sentence, std::string_view place) {
  const detail::place_in_world here = detail::this_place();
  if (here.is_cut_off) return;
  const std::int64_t at_ns = here.by == state_.get() ? here.at_ns : state_->now_ns();
  state_->fail({fmt::format("{}, at {}", sentence, place), fmt::format("fail {}", place),
                here.by != nullptr ? state_->name_of(here.site) : std::string(), state_->age_at(at_ns)});
  state_->tell(happened::property, here.site, at_ns, {sentence});
}

void check_run::fail_by_exception() { state_->fail(failure_by_exception(world().here().name(), world().age())); }

bool check_run::has_failed() const noexcept { return state_->failed.has_value(); }

void check_run::expect_sometimes(std::initializer_list<std::string_view> what) {
  if (state_->setting.tally == nullptr) return;
  for (const std::string_view each : what) state_->setting.tally->emplace(each, false);
}

void check_run::conclude(int code) {
  state_->healed.set();
  if (!state_->failed && code != 0) {
    const host& here = world().here();
    state_->fail({fmt::format("the scenario has ended with exit code {}", code), "exit code", here.name(), world().age()});
  }
  if (!state_->failed) return;
  end_programs();  // while what they refer to, in the scenario, is still there
  throw broken_off{};
}

void check_run::end_programs() { state_->in.end_programs(); }

bool check_run::is_heard() noexcept { return !detail::this_place().is_cut_off; }

}  // namespace levity::sim
