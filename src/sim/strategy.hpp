#pragma once

// strategy: how a world chooses, by the rule of a schedule. It is asked by the world, for hosts, and for the tasks of each life of
// a program by a program_chooser.
//
// All of them choose among things in the order in which they came to be ready, so that 0 is the plainest choice; hosts come in
// turns, beginning behind the one that had the last. What is asked for a task is a step, also where there is but one answer.
//
// The priorities of pct. Each task, and each host, has one that follows from the seed and its number, so that nothing is kept of
// those who keep it. Who is put behind all others has one below 0: at the i-th change point, in the order in which they are drawn
// and not that in which they come, i - depth; who yields, and a host that has had many turns in a row while others were due, one
// below all of these.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "levity/sim/schedule.hpp"
#include "sched/chooser.hpp"

namespace levity::inline v0::sim {

class choice_path;

class strategy {
public:
  explicit strategy(bool detaches) noexcept : detaches_(detaches) {}
  strategy(const strategy&) = delete;
  strategy& operator=(const strategy&) = delete;
  virtual ~strategy() = default;

  /// Whose turn it is of the hosts at these sites, ascending, at least one.
  [[nodiscard]] virtual std::size_t pick_host(std::span<const unsigned> sites) = 0;
  /// Which of those of a life is next, at least one.
  [[nodiscard]] virtual std::size_t pick(std::uint32_t life, std::span<const detail::ready_choice> ready) = 0;
  /// Whether the task of a life is set aside.
  [[nodiscard]] virtual bool sets_aside(std::uint32_t life, std::uint32_t task) = 0;
  /// That task of a life goes behind the others.
  virtual void gives_way([[maybe_unused]] std::uint32_t life, [[maybe_unused]] std::uint32_t task) {}

  /// Whether sets_aside() is asked at all.
  [[nodiscard]] bool detaches() const noexcept { return detaches_; }
  /// From now on what is chosen is told to who observes the world.
  void tell_choices() noexcept { tells_choices_ = true; }
  [[nodiscard]] bool tells_choices() const noexcept { return tells_choices_; }
  /// The number of the next life of a program.
  [[nodiscard]] std::uint32_t begin_life() noexcept { return ++lives_; }
  /// How often it has been asked.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

protected:
  std::uint64_t steps_ = 0;

private:
  const bool detaches_;
  bool tells_choices_ = false;
  std::uint32_t lives_ = 0;
};

/// Null: the schedule is what a world does without one. `path`, of an exhaustive one, outlives the strategy.
[[nodiscard]] std::unique_ptr<strategy> make_strategy(const schedule& how, std::uint64_t seed, choice_path& path);

}  // namespace levity::sim
