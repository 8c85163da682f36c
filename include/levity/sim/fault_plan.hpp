#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::sim {

class world;

/// What can happen to a host, or between two.
enum class fault_kind : std::uint8_t {
  kill,    ///< the program is killed, and restarted at the end
  power,   ///< the host loses power, whether a program runs or not; starts again at the end what ran
  pause,   ///< the program does not run
  part,    ///< nothing gets from one host to the other, nor back
  cut,     ///< nothing gets from the first host to the other
  slow,    ///< packets between the two take longer by `amount` nanoseconds, each way
  lose,    ///< of a million packets between the two, `amount` at least are lost, each way
  narrow,  ///< no more than `amount` bytes a second get through, each way
  jump,    ///< the host's wall clock is ahead by `amount` nanoseconds, or behind where that is negative; see host::set_clock()
  drift,   ///< the host's clocks gain `amount` parts of a thousand million, up to a tenth
  full,      ///< the host's disk has no room: what needs some has ENOSPC
  badsync,   ///< the next `amount` syncs on the host's disk fail, as far as it lasts; what they were to make durable is lost
  slowdisk,  ///< what the host's disk does takes longer by `amount` nanoseconds
  duplicate,  ///< of a million datagrams between the two, `amount` at least come twice, each way
  reorder,    ///< of a million datagrams between the two, `amount` at least are held back, each way; see link_options
};

/// Something that begins, lasts, and is over.
struct fault {
  duration at{};                       ///< from the beginning of the plan; not negative
  fault_kind what = fault_kind::kill;  ///< of which it depends what the rest means
  std::string host{};                  ///< whom it hurts
  std::string other{};                 ///< of two hosts the other one; else empty
  std::int64_t amount = 0;             ///< of a kind that has one, else 0
  duration lasts{};                    ///< after so long it is over; not negative

  friend bool operator==(const fault&, const fault&) = default;
};

/// How a plan is drawn. Two faults never hurt one host at a time; a fault between two hosts hurts the first one.
struct plan_options {
  duration from{};             ///< nothing happens before
  duration horizon = 30s;      ///< everything is over by then
  duration mean_gap = 3s;      ///< between the beginnings of two faults, on average; 0: there are none
  duration shortest = 10ms;    ///< that a fault lasts
  duration longest = 5s;       ///< the same
  unsigned at_once_max = 1;    ///< hosts that are hurt at a time
  std::vector<std::string> hosts{};  ///< that may be hurt; empty: every one
  bool scenario_links = false;  ///< whether the other host of a fault between two may be "scenario", where customers usually are

  duration latency_max = 500ms;              ///< of slow
  double loss_max = 0.3;                     ///< of lose, up to 1
  std::uint64_t bytes_per_second_min = 10'000;  ///< of narrow, up to a hundred times as many
  duration jump_max = 10s;                   ///< of jump, either way
  double drift_ppm_max = 500;                ///< of drift, either way, up to 100,000
  unsigned bad_syncs_max = 3;                ///< of badsync
  duration disk_latency_max = 200ms;         ///< of slowdisk
  double duplicated_max = 0.3;               ///< of duplicate, up to 1
  double reordered_max = 0.3;                ///< of reorder, up to 1

  // How often each kind, relative to the others; 0: never. Nor is a kind drawn whose bound is 0. After a write or sync that failed
  // for want of room or by an error an lv::file fails for good: whoever draws full and badsync needs a program that ends then, or
  // opens anew. Duplicate and reorder are nothing to streams. So these four are not drawn unless you say so.
  unsigned kill = 10;   ///< weight of fault_kind::kill
  unsigned power = 5;   ///< weight of fault_kind::power
  unsigned pause = 10;  ///< weight of fault_kind::pause
  unsigned part = 10;   ///< weight of fault_kind::part
  unsigned cut = 5;     ///< weight of fault_kind::cut
  unsigned slow = 5;    ///< weight of fault_kind::slow
  unsigned lose = 5;    ///< weight of fault_kind::lose
  unsigned narrow = 2;  ///< weight of fault_kind::narrow
  unsigned jump = 3;    ///< weight of fault_kind::jump
  unsigned drift = 3;   ///< weight of fault_kind::drift
  unsigned full = 0;      ///< weight of fault_kind::full
  unsigned badsync = 0;   ///< weight of fault_kind::badsync
  unsigned slowdisk = 3;  ///< weight of fault_kind::slowdisk
  unsigned duplicate = 0;  ///< weight of fault_kind::duplicate
  unsigned reorder = 0;    ///< weight of fault_kind::reorder
};

/// What goes wrong in a world, and when. A value, with a text that stands on one line:
///
///     2.5s kill orders 300ms; 4s part orders payment 2s
///
/// is: 2.5 s after the beginning orders is killed, and restarted 300 ms later; 4 s after it orders and payment are parted for 2 s.
/// The kinds that have an amount have it behind that:
///
///     4s slow orders payment 2s 50ms; 4s lose orders payment 2s 12.5%; 4s narrow orders payment 2s 10000B/s
///     4s jump orders 2s -300ms; 4s drift orders 2s 200ppm
///     4s full orders 2s; 4s badsync orders 2s 3; 4s slowdisk orders 2s 50ms
///     4s duplicate orders payment 2s 12.5%; 4s reorder orders payment 2s 12.5%
struct fault_plan {
  std::vector<fault> faults;  ///< in any order

  /// The plan that follows from `seed`, for hosts of these names: the same on every machine. Without hosts that may be hurt, or
  /// kinds that are possible with so many, it is empty. Asserts that no option is negative, longest no less than shortest, and the
  /// horizon within 70 years.
  static fault_plan draw(std::uint64_t seed, std::span<const std::string> hosts, const plan_options& how = {});
  /// The same for the hosts of a world, but the scenario's, from its seed; nothing else that the world draws depends on it.
  static fault_plan draw(const world& of, const plan_options& how = {});

  /// Reads a text; the error is one sentence that says what is wrong with which part of it.
  static std::expected<fault_plan, std::string> parse(std::string_view text);
  /// The text that parse() makes the same plan of. A name that would be misread stands in double quotes.
  [[nodiscard]] std::string to_string() const;

  /// When all of it is over, from the beginning of the plan.
  [[nodiscard]] duration end() const noexcept;

  friend bool operator==(const fault_plan&, const fault_plan&) = default;
};

/// Carries a plan out, from now on, and ends when all of it is over; a task of the scenario. Faults may overlap: what is parted
/// twice is healed when both are over. Healed means as the scenario had it: its own cuts, links, clocks and disks are as they were
/// before the first fault that touched them. A program that does not run when it would be killed, is not, nor restarted; nor is one
/// that runs again already. When the task is cancelled all is healed at once. Asserts that the world has hosts of these names.
task<> follow(world& in, fault_plan plan);

}  // namespace levity::sim
