#include "levity/resilience/breaker.hpp"

#include <utility>
#include <variant>

#include "levity/base/assert.hpp"
#include "resilience/breaker_machine.hpp"
#include "resilience/gobreaker_machine.hpp"
#include "resilience/judging_machine.hpp"

namespace levity::inline v0 {
namespace {

detail::breaker_machine* make_machine(breaker_settings settings) {
  const char* const problem = settings.problem();
  LEVITY_ASSERT(problem == nullptr, problem);
  const bool as_gobreaker = std::holds_alternative<breaker_settings::as_gobreaker>(settings.rule);
  if (as_gobreaker) return new detail::gobreaker_machine(std::move(settings));
  return new detail::judging_machine(std::move(settings));
}

}  // namespace

breaker::breaker(breaker_settings settings) : machine_(make_machine(std::move(settings))), gate_(&*machine_) {}
breaker::breaker(breaker&& other) noexcept
    : machine_(std::move(other.machine_)), gate_(std::exchange(other.gate_, nullptr)) {}
breaker& breaker::operator=(breaker&& other) noexcept {
  if (this == &other) return *this;
  machine_ = std::move(other.machine_);
  gate_ = std::exchange(other.gate_, nullptr);
  return *this;
}
breaker::~breaker() = default;

std::expected<breaker::permit, rejection> breaker::admit_slowly(time_point now) noexcept {
  detail::breaker_machine* const machine = &*machine_;
  const auto answer = machine->admit(now);
  if (answer) [[likely]] return permit(machine, *answer, now);
  if (machine->settings().mode == policy_mode::observe) {
    machine->count_would_have_refused();
    return permit(nullptr, {}, now);
  }
  machine->count_refused();
  return std::unexpected(answer.error());
}

breaker_state breaker::state(time_point now) noexcept { return machine_->state(now); }
breaker_look breaker::look() const noexcept { return machine_->look(); }
const std::string& breaker::name() const noexcept { return machine_->settings().name; }
void breaker::force_open(time_point now) noexcept { machine_->force(breaker_state::forced_open, now); }
void breaker::force_closed(time_point now) noexcept { machine_->force(breaker_state::forced_closed, now); }
void breaker::automatic(time_point now) noexcept { machine_->force(breaker_state::closed, now); }

void breaker::permit::record_slowly(verdict said, time_point now) noexcept {
  static_cast<detail::breaker_machine*>(std::exchange(gate_, nullptr))->record(pass_, said, now - admitted_at_, now);
}

void breaker::permit::give_back() noexcept {
  static_cast<detail::breaker_machine*>(std::exchange(gate_, nullptr))->give_back(pass_);
}

}  // namespace levity
