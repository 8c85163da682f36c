#include "levity/resilience/breaker.hpp"

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

breaker::breaker(breaker_settings settings) : machine_(make_machine(std::move(settings))) {}
breaker::breaker(breaker&&) noexcept = default;
breaker& breaker::operator=(breaker&&) noexcept = default;
breaker::~breaker() = default;

std::expected<breaker::permit, rejection> breaker::try_admit(time_point now) noexcept {
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

void breaker::permit::record(verdict said, time_point now) noexcept {
  if (detail::breaker_machine* const machine = std::exchange(machine_, nullptr)) {
    machine->record(pass_, said, now - admitted_at_, now);
  }
}

void breaker::permit::give_back() noexcept { std::exchange(machine_, nullptr)->give_back(pass_); }

}  // namespace levity
