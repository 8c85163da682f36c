#include "levity/sim/host.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <string>
#include <utility>

#include "levity/base/assert.hpp"
#include "platform/signal_counts.hpp"
#include "reactor/sim/sim_unix.hpp"
#include "sim/host_state.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr int killed_code = 128 + SIGKILL;
constexpr double gain_ppm_max = 100'000;
constexpr std::int32_t first_fd = 1'000'000;  // never taken for one of the kernel's
constexpr unsigned fds_bits = 20;             // of each host
constexpr detail::sim_network::site_number sites_max = 2000;
constexpr std::uint64_t up_ns_max = 10ull * 24 * 3600 * 1'000'000'000;  // for which a machine may have been on
constexpr std::int64_t up_ns_min = 1'000'000'000;

// One of its own for each host, so that a number that strays from one to another finds nothing there.
std::int32_t first_fd_of(detail::sim_network::site_number site) {
  LEVITY_ASSERT(site < sites_max, "a world has 2000 hosts at most");
  return first_fd + static_cast<std::int32_t>(site << fds_bits);
}

// A drive in a server, so that what takes time is seen to take time.
disk_faults usual_disk() {
  disk_faults usual;
  usual.latency = 20us;
  usual.latency_jitter = 200us;
  usual.sync_latency = 500us;
  usual.sync_latency_jitter = 5ms;
  return usual;
}

}  // namespace

host::state::state(world& in, std::string of_name, const address& of, detail::sim_network& shared,
                   detail::sim_network::site_number number)
    : lives_in(in),
      name(std::move(of_name)),
      at(of),
      network(shared),
      site(number),
      storage(shared.draw(~std::uint64_t{0}), [&shared](std::uint64_t word) { shared.trace(word); }, first_fd_of(number)),
      clocks(detail::sim_reactor::right_clocks(shared)) {
  storage.faults = usual_disk();
  shared.unix_of(number).keep_names_in(storage);
  storage.listener = this;
  storage.wall_clock = [this] { return clocks.wall_at(network.now_ns()); };
}

void host::state::trace(done what, std::uint64_t how) noexcept {
  network.trace(std::uint64_t{site} << 8 | static_cast<std::uint64_t>(what));
  network.trace(how);
}

bool host::state::listens() const noexcept {
  const detail::world_observer* const by = detail::observer_of(network);
  return by != nullptr && by->records();
}

void host::state::hear(std::string_view text, std::string_view detail, duration lasts) {
  if (auto* by = detail::observer_of(network); by != nullptr) {
    by->tell(happened::disk, site, network.now_ns(), {.text = text, .detail = detail, .lasts = lasts});
  }
}

void host::state::end_life(int code) {
  is_paused = false;
  waiting_signals.clear();
  of_program->code = code;
  of_program->over.set();
}

void host::state::end(int code, bool silently) {
  const bool runs = is_running();
  if (is_to_start) {  // it has not begun
    is_to_start = false;
  } else if (runs) {
    is_to_end = true;
    ending_code = code;
    now->cut_off();
  }
  if (runs || silently) {
    detail::tell(network, site, happened::exit,
                 silently              ? "loses power"
                 : code == killed_code ? "is killed"
                                       : "ends with exit code " + std::to_string(code));
    network.sever(site, silently);
  }
  if (silently) {
    is_on = false;
    storage.crash();
  } else if (runs) {
    storage.end_process();
  }
  if (runs) end_life(code);
}

void host::state::switch_on() {
  if (is_on) return;
  is_on = true;
  clocks.boot(network.now_ns(), up_ns_min + static_cast<std::int64_t>(network.draw(up_ns_max)));
}

void host::state::raise_waiting() {
  for (const int each : std::exchange(waiting_signals, {})) {
    if (now != nullptr && !is_to_end) now->raise(each);
  }
}

host::host(std::unique_ptr<state> made) noexcept : state_(std::move(made)) {}

host::~host() = default;

const std::string& host::name() const noexcept { return state_->name; }
const address& host::at() const noexcept { return state_->at; }

void host::start(std::function<int()> program) {
  LEVITY_ASSERT(!state_->is_scenario(), "a program is started on a host that was added, not on the scenario's");
  LEVITY_ASSERT(!state_->is_running(), "a host runs one program at a time: kill() it or wait until it has ended()");
  state_->program = std::move(program);
  state_->is_to_start = true;
  state_->begin_life();
}

void host::restart() {
  LEVITY_ASSERT(!state_->is_scenario(), "a program is restarted on a host that was added, not on the scenario's");
  LEVITY_ASSERT(state_->program != nullptr, "a host restarts what it ran before");
  start(std::function<int()>(state_->program));
}

void host::kill() {
  LEVITY_ASSERT(!state_->is_scenario(), "the scenario's host is not killed: the scenario returns, or is cancelled");
  state_->end(killed_code, false);
}

void host::cut_power() {
  LEVITY_ASSERT(!state_->is_scenario(), "the scenario's host does not lose power");
  state_->end(killed_code, true);
}

void host::pause() {
  LEVITY_ASSERT(!state_->is_scenario(), "the scenario's host is not paused: nobody could resume it");
  state_->trace(state::done::pause);
  state_->is_paused = is_running();
}

void host::resume() {
  if (!std::exchange(state_->is_paused, false)) return;
  state_->trace(state::done::resume);
  state_->raise_waiting();
}

void host::signal(int number) {
  LEVITY_ASSERT(!state_->is_scenario(), "a signal is sent to a program on a host that was added, not to the scenario");
  LEVITY_ASSERT(number > 0 && number < detail::signals_max, "a signal is a number from 1 to 64");
  state_->trace(state::done::signal, static_cast<std::uint64_t>(number));
  if (number == SIGKILL) return kill();
  if (number == SIGSTOP) return pause();
  if (number == SIGCONT) resume();  // and is a signal like any other
  if (!state_->is_running()) return;
  if (!state_->is_to_start && !state_->is_paused) return state_->now->raise(number);
  if (std::ranges::find(state_->waiting_signals, number) == state_->waiting_signals.end()) {
    state_->waiting_signals.push_back(number);
  }
}

void host::set_clock(duration ahead, double gain_ppm) {
  LEVITY_ASSERT(std::abs(gain_ppm) <= gain_ppm_max, "a clock gains or loses a tenth at most");
  state& of = *state_;
  of.ahead_ns = ahead.count();
  of.gain_ppb = std::llround(gain_ppm * 1000);
  of.trace(state::done::clock, static_cast<std::uint64_t>(of.ahead_ns));
  of.trace(state::done::clock, static_cast<std::uint64_t>(of.gain_ppb));
  const std::int64_t now_ns = of.network.now_ns();
  of.clocks.set(now_ns, detail::sim_reactor::right_clocks(of.network).wall_ns + of.ahead_ns, of.gain_ppb);
  if (of.now != nullptr) of.now->clock().set_clocks(of.clocks);
}

duration host::clock_ahead() const noexcept { return duration(state_->ahead_ns); }
double host::clock_gain_ppm() const noexcept { return static_cast<double>(state_->gain_ppb) / 1000; }

void host::set_disk(const disk_faults& how) { state_->storage.faults = how; }

const disk_faults& host::disk() const noexcept { return state_->storage.faults; }

void host::freeze_disk() {
  state_->trace(state::done::freeze);
  state_->storage.hang();
}

void host::thaw_disk() {
  state_->trace(state::done::thaw);
  state_->storage.go_on();
}

void host::install_file(std::string_view path, std::string_view text) { state_->storage.install(path, text); }

std::optional<std::string> host::read_file(std::string_view path) const { return state_->storage.contents(path); }

bool host::is_running() const noexcept { return state_->is_running(); }

std::optional<int> host::exit_code() const noexcept {
  return state_->of_program != nullptr ? state_->of_program->code : std::nullopt;
}

task<int> host::ended() {
  const std::shared_ptr<state::life> one = state_->of_program;
  if (one == nullptr) co_return 0;
  co_await one->over.wait();
  co_return *one->code;
}

}  // namespace levity::sim
