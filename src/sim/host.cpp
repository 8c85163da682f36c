#include "levity/sim/host.hpp"

#include <csignal>
#include <string>
#include <utility>

#include "levity/base/assert.hpp"
#include "sim/host_state.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr int killed_code = 128 + SIGKILL;

}  // namespace

host::state::state(world& in, std::string of_name, const address& of, detail::sim_network& shared,
                   detail::sim_network::site_number number)
    : lives_in(in),
      name(std::move(of_name)),
      at(of),
      network(shared),
      site(number),
      storage(shared.draw(~std::uint64_t{0}), [&shared](std::uint64_t word) { shared.trace(word); }) {
  storage.wall_clock = [this] {
    return now != nullptr ? now->clock().wall_ns()
                          : detail::sim_reactor::wall_start_ns + network.now_ns() - detail::sim_network::start_ns;
  };
}

void host::state::end(int code, bool silently) {
  const bool runs = is_running();
  if (is_to_start) {  // it has not begun
    is_to_start = false;
  } else if (runs) {
    is_to_end = true;
    now->cut_off_files();
  }
  if (runs || silently) {
    detail::tell(network, site, happened::exit,
                 silently              ? "loses power"
                 : code == killed_code ? "is killed"
                                       : "ends with exit code " + std::to_string(code));
    network.sever(site, silently);
  }
  if (silently) {
    storage.crash();
  } else if (runs) {
    storage.end_process();
  }
  if (!runs) return;
  is_paused = false;
  last_code = code;
  over.set();
}

host::host(std::unique_ptr<state> made) noexcept : state_(std::move(made)) {}

host::~host() = default;

const std::string& host::name() const noexcept { return state_->name; }
const address& host::at() const noexcept { return state_->at; }

void host::start(std::function<int()> program) {
  LEVITY_ASSERT(!state_->is_running(), "a host runs one program at a time: kill() it or wait until it has ended()");
  state_->program = std::move(program);
  state_->is_to_start = true;
  state_->last_code.reset();
  state_->over.reset();
}

void host::restart() {
  LEVITY_ASSERT(state_->program != nullptr, "a host restarts what it ran before");
  start(state_->program);
}

void host::kill() { state_->end(killed_code, false); }

void host::cut_power() { state_->end(killed_code, true); }

void host::pause() { state_->is_paused = is_running(); }

void host::resume() { state_->is_paused = false; }

void host::signal(int number) {
  if (number == SIGKILL) return kill();
  if (number == SIGSTOP) return pause();
  if (number == SIGCONT) return resume();
  if (state_->now != nullptr && !state_->is_to_end) state_->now->raise(number);
}

void host::set_clock(duration ahead, double gain_ppm) {
  state_->ahead_ns = ahead.count();
  state_->gain_ppb = static_cast<std::int64_t>(gain_ppm * 1000);
  if (state_->now != nullptr) state_->now->clock().set_clock(state_->ahead_ns, state_->gain_ppb);
}

void host::set_disk(const disk_faults& how) { state_->storage.faults = how; }

const disk_faults& host::disk() const noexcept { return state_->storage.faults; }

void host::freeze_disk() { state_->storage.hang(); }

void host::thaw_disk() { state_->storage.go_on(); }

void host::install_file(std::string_view path, std::string_view text) { state_->storage.install(path, text); }

std::optional<std::string> host::read_file(std::string_view path) const { return state_->storage.contents(path); }

bool host::is_running() const noexcept { return state_->is_running(); }

std::optional<int> host::exit_code() const noexcept { return state_->last_code; }

task<int> host::ended() {
  co_await state_->over.wait();
  co_return state_->last_code.value_or(0);
}

}  // namespace levity::sim
