#include "levity/sim/world.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

#include "levity/base/assert.hpp"
#include "levity/memory/frame_pool.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/timer_wheel.hpp"
#include "sim/choice_path.hpp"
#include "sim/host_state.hpp"
#include "sim/names.hpp"
#include "sim/process.hpp"
#include "sim/strategy.hpp"
#include "sim/timeline_recorder.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr std::string_view scenario_name = "scenario";
constexpr const char* scenario_address = "10.255.255.254:0";
constexpr unsigned turn_tasks_max = 256;
constexpr unsigned few_tasks = 8;
constexpr int broken_off_code = 128 + SIGKILL;  // of a scenario
constexpr std::uint64_t turn_cost_ns_max = 20'000;
// The frames of all hosts come and go on one thread, which has room for every size of them: with a worker's share the sizes of some
// services would push each other out all the time.
constexpr unsigned frame_shares = 5;

using site_number = detail::sim_network::site_number;

// IPv6 in brackets or without.
address read_address(std::string_view text) {
  const bool is_bare_v6 = text.find(':') != std::string_view::npos && !text.starts_with('[');
  const auto read = address::parse(is_bare_v6 ? "[" + std::string(text) + "]:0" : std::string(text) + ":0");
  if (!read || text.empty()) throw std::invalid_argument("\"" + std::string(text) + "\" is no address of a host; write 10.0.0.1");
  return *read;
}

// What a machine cannot have alone: addresses of every one.
bool is_nobodys(const address& at) {
  const std::string text = at.to_string();
  for (const std::string_view each : {"127.", "0.", "[::1]:", "[::]:", "[::ffff:127.", "[::ffff:0."}) {
    if (text.starts_with(each)) return true;
  }
  return false;
}

void check_link(const link_options& how) {
  const auto is_share = [](double of) { return of >= 0 && of <= 1; };
  LEVITY_ASSERT(is_share(how.loss) && is_share(how.duplicated) && is_share(how.reordered),
                "loss and the shares of datagrams that are duplicated or reordered lie between 0 and 1");
  LEVITY_ASSERT(how.latency >= duration::zero() && how.jitter >= duration::zero() && how.reordered_by >= duration::zero(),
                "latency, jitter and how much later a datagram comes are not negative");
}

std::uint32_t per_million(double share) { return static_cast<std::uint32_t>(std::llround(share * 1e6)); }

}  // namespace

struct world::state {
  explicit state(world& of, std::uint64_t of_seed) : outer(of), seed(of_seed), network(of_seed), known(network) {}

  host& add(std::string name, const address& at) {
    const site_number site = network.add_site({at});
    auto made = std::make_unique<host::state>(outer, std::move(name), at, network, site);
    known.set(made->name, {at});
    hosts.push_back(std::unique_ptr<host>(new host(std::move(made))));
    if (auto* by = detail::observer_of(network); by != nullptr) by->named(site, hosts.back()->name());
    const host& added = *hosts.back();
    for (const auto& each : hosts) {
      if (each->name() == scenario_name || added.name() == scenario_name) continue;
      set(network.link(each->state_->site, site));
      set(network.link(site, each->state_->site));
    }
    return *hosts.back();
  }

  void set(detail::sim_link& link, const link_options& how) const noexcept {
    link.latency_ns = how.latency.count();
    link.jitter_ns = how.jitter.count();
    link.bytes_per_second = how.bytes_per_second;
    link.lost_per_million = per_million(how.loss);
    link.duplicated_per_million = per_million(how.duplicated);
    link.reordered_per_million = per_million(how.reordered);
    link.reordered_by_ns = how.reordered_by.count();
  }
  void set(detail::sim_link& link) const noexcept { set(link, for_all); }

  [[nodiscard]] std::uint64_t next_seed() { return network.draw(~std::uint64_t{0}) | 1; }

  // Whose code runs from here on.
  void tell_who_runs(const host::state* of) noexcept {
    if (auto* by = detail::observer_of(network); by != nullptr) by->runs(of != nullptr ? &of->name : nullptr, network.now_ns());
  }

  void settle(host::state& of);
  void start_now(host::state& of);
  void end_now(host::state& of);
  void end_all();
  [[nodiscard]] bool waits_too_long() const;
  [[nodiscard]] std::size_t pick_turn();
  bool turn_one();
  void report_deadlock(bool too_long);
  int play(task<> scenario, const detail::main_outcome& outcome);

  world& outer;
  const std::uint64_t seed;
  detail::sim_network network;
  names known;
  choice_path path{std::uint64_t{0}};  // of an exhaustive schedule: that of the first run
  std::unique_ptr<strategy> own_strategy;  // for set_schedule()
  strategy* decides = nullptr;             // whoever's; null: the seeds order tasks and hosts
  bool is_scheduled = false;               // by a check
  std::unique_ptr<timeline_recorder> records;  // for record_into()
  link_options for_all;
  duration limit = 24h;
  std::int64_t scenario_ran_ns = 0;  // last
  std::uint64_t turns = 0;
  std::vector<std::unique_ptr<host>> hosts;  // the first one is the scenario's
  std::vector<host::state*> ready;           // of turn_one()
  std::vector<unsigned> ready_sites;         // the same for a strategy
};

// Carries out what was asked of a host in the middle of somebody's turn.
void world::state::settle(host::state& of) {
  if (of.is_to_end) end_now(of);
  if (!of.is_to_start) return;
  of.is_to_start = false;
  start_now(of);
  if (of.is_to_end) end_now(of);  // by a signal, or by its own main()
}

void world::state::start_now(host::state& of) {
  network.restore(of.site);
  of.switch_on();
  of.now = std::make_unique<process>(of.name, network, of.site, of.clocks, next_seed(), decides, of.storage, known);
  of.now->on_end([&of](int code) { of.end(code, false); });
  detail::tell(network, of.site, happened::start, "starts");
  tell_who_runs(&of);
  of.now->begin(of.program);
  if (!of.is_paused) of.raise_waiting();
}

void world::state::end_now(host::state& of) {
  of.is_to_end = false;
  tell_who_runs(&of);
  if (!of.now->has_ended() && !of.now->end(of.ending_code)) {
    std::fprintf(stderr,
                 "levity: the program of host \"%s\" was killed, and these of its tasks do not end when they are cancelled\n",
                 of.name.c_str());
    of.now->print_tasks();
    std::abort();
  }
  of.now.reset();
}

// By index here and in turn_one(): what runs may add hosts.
void world::state::end_all() {
  for (std::size_t i = 0; i < hosts.size(); i++) {
    host::state& of = *hosts[i]->state_;
    of.end(broken_off_code, false);
    if (of.is_to_end) end_now(of);
  }
}

// Of those in `ready`.
std::size_t world::state::pick_turn() {
  if (decides == nullptr) return ready.size() == 1 ? 0 : static_cast<std::size_t>(network.draw(ready.size()));
  ready_sites.clear();
  for (const host::state* each : ready) ready_sites.push_back(each->site);
  return decides->pick_host(ready_sites);
}

// One turn of one host, or time moves on to when somebody has something to do. False: it never will.
bool world::state::turn_one() {
  std::int64_t next_ns = network.next_arrival_ns();
  ready.clear();
  for (std::size_t i = 0; i < hosts.size(); i++) {
    host::state& of = *hosts[i]->state_;
    settle(of);
    if (of.now == nullptr) continue;
    if (of.now->has_ended()) {  // without a kill
      const int code = of.now->exit_code();
      detail::tell(network, of.site, happened::exit, "ends with exit code " + std::to_string(code));
      network.sever(of.site, false);
      of.now->cut_off();
      of.storage.end_process();
      of.now.reset();
      of.end_life(code);  // may wake who was looked at before
      return true;
    }
    if (of.is_paused) continue;
    const std::int64_t due_ns = of.now->due_ns();
    if (due_ns <= network.now_ns()) ready.push_back(&of);
    next_ns = std::min(next_ns, due_ns);
  }
  if (ready.empty()) {
    if (next_ns == detail::timer_wheel::never_ns) return false;
    network.advance(next_ns);
    return true;
  }
  host::state& next = *ready[pick_turn()];
  if (next.is_scenario()) scenario_ran_ns = network.now_ns();
  turns++;
  network.trace(next.site);
  tell_who_runs(&next);
  next.now->turn(network.one_in(8) ? 1 + static_cast<unsigned>(network.draw(few_tasks)) : turn_tasks_max);
  network.advance(network.now_ns() + static_cast<std::int64_t>(network.draw(turn_cost_ns_max)));
  return true;
}

// The scenario waits for what is no time, and has for longer than the limit: others that go on, by intervals of theirs, hide that
// nobody will ever answer it.
bool world::state::waits_too_long() const {
  const host::state& here = *hosts.front()->state_;
  return here.now != nullptr && network.now_ns() - scenario_ran_ns > limit.count() &&
         here.now->due_ns() == detail::timer_wheel::never_ns;
}

void world::state::report_deadlock(bool too_long) {
  const double age_s = static_cast<double>(network.now_ns() - detail::sim_network::start_ns) / 1e9;
  const auto of_seed = static_cast<unsigned long long>(seed);
  if (too_long) {
    std::fprintf(stderr,
                 "levity: the simulated world is deadlocked %.6f s after its start: its scenario has waited for more than %.6f s, "
                 "and for no time; see world::set_limit() if what it waits for may take so long (seed %llu)\n",
                 age_s, static_cast<double>(limit.count()) / 1e9, of_seed);
  } else {
    std::fprintf(stderr,
                 "levity: the simulated world is deadlocked %.6f s after its start: every task of every host waits, and no timer, "
                 "segment or connection is on its way that could wake one (seed %llu)\n",
                 age_s, of_seed);
  }
  for (const auto& each : hosts) {
    const host::state& of = *each->state_;
    std::fprintf(stderr, "levity: host \"%s\"%s\n", of.name.c_str(),
                 of.now == nullptr ? " runs no program" : of.is_paused ? " is paused" : "");
    if (of.now != nullptr) of.now->print_tasks();
  }
}

int world::state::play(task<> scenario, const detail::main_outcome& outcome) {
  const detail::frame_magazine_scope frames(frame_shares);  // for all turns: each would fill and flush one of its own
  host::state& here = *hosts.front()->state_;
  LEVITY_ASSERT(here.now == nullptr, "a world plays one scenario at a time");
  network.restore(here.site);
  here.now = std::make_unique<process>(here.name, network, here.site, here.clocks, next_seed(), decides, here.storage, known);
  here.begin_life();
  here.now->begin(std::move(scenario), outcome);
  scenario_ran_ns = network.now_ns();
  tell_who_runs(&here);
  while (here.is_running()) {
    detail::world_observer* const by = detail::observer_of(network);
    if (by != nullptr && by->wants_end(network.now_ns())) here.end(broken_off_code, false);
    const bool too_long = here.is_running() && waits_too_long();
    if ((!too_long && turn_one()) || !here.is_running()) continue;
    using detail::world_observer;
    const auto is = by == nullptr ? world_observer::deadlock_is::fatal : by->deadlocked(network.now_ns());
    if (is != world_observer::deadlock_is::known) report_deadlock(too_long);
    if (is == world_observer::deadlock_is::fatal) std::abort();
  }
  // Who was killed at last ends in this call, not in a later one. Who was started begins in the next one.
  for (std::size_t i = 0; i < hosts.size(); i++) {
    host::state& of = *hosts[i]->state_;
    if (of.is_to_end) end_now(of);
  }
  tell_who_runs(nullptr);
  return here.of_program->code.value_or(0);
}

world::world(std::uint64_t seed) : state_(std::make_unique<state>(*this, seed)) {
  state_->add(std::string(scenario_name), *address::parse(scenario_address));
}

world::~world() {
  if (std::getenv("LEVITY_SIM_PRINT_HASHES") != nullptr) {
    std::printf("levity: the world of seed %llu came to %016llx after %lld ns\n", static_cast<unsigned long long>(seed()),
                static_cast<unsigned long long>(trace_hash()), static_cast<long long>(age().count()));
    std::fflush(stdout);
  }
  state_->network.set_recorder(nullptr);
  state_->end_all();
}

void world::end_programs() {
  LEVITY_ASSERT(state_->hosts.front()->state_->now == nullptr, "all programs are ended outside of play()");
  // Nobody is told: it is the end of the world, not of its story.
  detail::sim_recorder* const told = state_->network.recorder();
  state_->network.set_recorder(nullptr);
  state_->end_all();
  state_->network.set_recorder(told);
}

void world::set_limit(duration how_long) {
  LEVITY_ASSERT(how_long >= duration::zero(), "a limit is not negative");
  state_->limit = how_long;
}

host& world::add_host(std::string name, std::string_view at) {
  const address read = read_address(at);
  if (is_nobodys(read)) {
    throw std::invalid_argument("\"" + std::string(at) + "\" is no address of one host among others; write 10.0.0.1");
  }
  for (const auto& each : state_->hosts) {
    if (each->name() == name) throw std::invalid_argument("there is a host \"" + name + "\" already");
    if (each->at().to_string() == read.to_string()) {
      throw std::invalid_argument("host \"" + each->name() + "\" is at " + read.to_string() + " already");
    }
  }
  return state_->add(std::move(name), read);
}

host& world::at(std::string_view name) const {
  const auto found = std::ranges::find_if(state_->hosts, [&](const auto& each) { return each->name() == name; });
  LEVITY_ASSERT(found != state_->hosts.end(), "a host is asked for by the name that it was added by");
  return **found;
}

std::vector<host*> world::hosts() const {
  std::vector<host*> all;
  for (const auto& each : state_->hosts) {
    if (each != state_->hosts.front()) all.push_back(each.get());
  }
  return all;
}

host& world::here() const noexcept { return *state_->hosts.front(); }

int world::play_task(task<> scenario, const detail::main_outcome& outcome) { return state_->play(std::move(scenario), outcome); }

host::state& world::state_of(const host& of) const noexcept {
  LEVITY_ASSERT(&of.state_->lives_in == this, "a host is one of this world");
  return *of.state_;
}

void world::set_link(const host& from, const host& to, const link_options& how) {
  check_link(how);
  state_->set(state_->network.link(state_of(from).site, state_of(to).site), how);
}

void world::set_links(const link_options& how) {
  check_link(how);
  state_->for_all = how;
  for (const auto& from : state_->hosts) {
    for (const auto& to : state_->hosts) {
      if (from != to && from->name() != scenario_name && to->name() != scenario_name) set_link(*from, *to, how);
    }
  }
}

link_options world::link(const host& from, const host& to) const {
  const detail::sim_link& by = state_->network.link(state_of(from).site, state_of(to).site);
  return {.latency = duration(by.latency_ns),
          .jitter = duration(by.jitter_ns),
          .bytes_per_second = by.bytes_per_second,
          .loss = by.lost_per_million / 1e6,
          .duplicated = by.duplicated_per_million / 1e6,
          .reordered = by.reordered_per_million / 1e6,
          .reordered_by = duration(by.reordered_by_ns)};
}

void world::cut(const host& from, const host& to) { state_->network.link(state_of(from).site, state_of(to).site).cut = true; }

bool world::is_cut(const host& from, const host& to) const {
  return state_->network.link(state_of(from).site, state_of(to).site).cut;
}

void world::part(const host& a, const host& b) {
  cut(a, b);
  cut(b, a);
}

void world::heal(const host& a, const host& b) {
  state_->network.link(state_of(a).site, state_of(b).site).cut = false;
  state_->network.link(state_of(b).site, state_of(a).site).cut = false;
}

void world::heal() {
  for (const auto& a : state_->hosts) {
    for (const auto& b : state_->hosts) heal(*a, *b);
  }
}

void world::set_name(std::string name, const std::vector<std::string>& addresses) {
  std::vector<address> to;
  for (const std::string& each : addresses) to.push_back(read_address(each));
  state_->known.set(std::move(name), std::move(to));
}

void world::fail_name(std::string name, io_failure with, duration after) { state_->known.fail(std::move(name), with, after); }

std::uint64_t world::seed() const noexcept { return state_->seed; }

duration world::age() const noexcept { return duration(state_->network.now_ns() - detail::sim_network::start_ns); }

std::uint64_t world::draw(std::uint64_t bound) { return state_->network.draw(bound); }

std::uint64_t world::trace_hash() const noexcept { return state_->network.trace_hash(); }

std::uint64_t world::events() const noexcept { return state_->turns + state_->network.arrived(); }

void world::record_into(timeline* events) {
  if (detail::observer_of(state_->network) != state_->records.get()) return;  // a check's
  state_->records = events != nullptr ? std::make_unique<timeline_recorder>(events) : nullptr;
  set_observer(state_->records.get());
}

void world::set_schedule(const schedule& how) {
  state& in = *state_;
  if (in.is_scheduled) return;  // by a check
  for (const auto& each : in.hosts) LEVITY_ASSERT(each->state_->now == nullptr, "a schedule is set before anybody runs");
  in.own_strategy = make_strategy(how, in.seed, in.path);
  in.decides = in.own_strategy.get();
}

void world::use_strategy(strategy* by) {
  state_->is_scheduled = true;
  state_->decides = by;
}

void world::set_observer(detail::world_observer* by) {
  state_->network.set_recorder(by);
  if (by == nullptr) return;
  for (const auto& each : state_->hosts) by->named(each->state_->site, each->name());
}

}  // namespace levity::sim
