#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0::sim {

/// What a timeline tells of.
enum class happened : std::uint8_t {
  note,        ///< by note()
  plan,        ///< a fault of a plan that is followed
  start,       ///< of a program
  exit,        ///< of a program
  connection,  ///< made, refused, reset, given up
  segment,     ///< lost, or a request for a connection that nobody answers; a datagram that fares otherwise than usual
  disk,        ///< what a loss of power took, a sync that failed or was late, a disk that is full
  choice,      ///< of the task that runs next, in a run of an exhaustive schedule
  property,    ///< always() that was false, or sometimes() and reachable() that were true for the first time
};

/// What mattered of what happened in a world: the last events of a run, in their order. Filled by world::record_into(); to be read
/// by people, or by a program that draws it. One thread.
class timeline {
public:
  /// Something that happened.
  struct event {
    duration at{};                         ///< the age of the world
    std::string host{};                    ///< where; empty: in the world itself
    happened what = happened::note;        ///< of what kind it is
    std::string text{};                    ///< in words
    duration lasts{};                      ///< of a fault: until it is over
    std::string detail{};                  ///< behind the text: what differs between events that are alike, as the port of a peer

    friend bool operator==(const event&, const event&) = default;
  };

  /// Keeps the last `events_max`; what came before is dropped, and counted. As many faults, starts and ends of programs, and losses
  /// of disks are kept beyond that, for digest() and json().
  explicit timeline(std::size_t events_max = 10'000) : events_max_(events_max) {}

  /// Appends one.
  void add(event next);
  /// What is kept, the oldest first.
  [[nodiscard]] const std::deque<event>& events() const noexcept { return events_; }
  /// How many there were before that.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

  /// A line for each of events(): when, where, what.
  ///
  ///     2.500000 s  orders    plan: 2.5s kill orders 300ms
  [[nodiscard]] std::string text() const;
  /// For who has little time. Connections, segments and failures of disks that are alike share a line, as long as no fault, start,
  /// end or property stands between them; of these lines the last `lines_max` are told. Before them stand the faults of the plan,
  /// and as many starts and ends of programs and losses of disks, however far back; "..." is what was left out.
  ///
  ///     3.346917 s  desk      connection: is connected to by scenario, 12 times until 3.404239 s
  [[nodiscard]] std::string digest(std::size_t lines_max) const;
  /// All of them as a trace of events in JSON, for https://ui.perfetto.dev or chrome://tracing: a track for each host.
  [[nodiscard]] std::string json() const;

private:
  std::size_t events_max_;
  std::deque<event> events_;
  std::deque<event> early_;  // before those: what a reader must know of all the same
  std::uint64_t dropped_ = 0;
};

/// Leaves a sentence in the timeline of the world in which the calling code runs, be it a task of a host, of the scenario or a
/// program's main(); without one it does nothing. For what would be read beside faults and connections.
void note(std::string_view text);

}  // namespace levity::sim
