#include "levity/sim/host.hpp"

#include <csignal>
#include <utility>

#include "levity/base/assert.hpp"
#include "sim/host_state.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr int killed_code = 128 + SIGKILL;

}  // namespace

void host::state::end(int code, bool silently) {
  if (is_to_start) {  // it has not begun
    is_to_start = false;
  } else if (now == nullptr || is_to_end) {
    if (silently) network.sever(site, true);
    return;
  } else {
    is_to_end = true;
  }
  network.sever(site, silently);
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

bool host::is_running() const noexcept { return state_->is_running(); }

std::optional<int> host::exit_code() const noexcept { return state_->last_code; }

task<int> host::ended() {
  co_await state_->over.wait();
  co_return state_->last_code.value_or(0);
}

}  // namespace levity::sim
