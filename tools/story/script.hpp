// script.hpp -- what happens in the story, and when: the faults on a line of time that is as long as the run.
//
//   0 ......... 3/16 payment slow 6/16 ......... 9/16 inventory dead 12/16 ......... 1     of the duration
//
// Of 16 seconds the faults last 3 each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace levity::story {

struct fault_window {
  std::string service;  ///< payment or inventory
  std::string kind;     ///< slow or dead
  double from_s = 0;
  double to_s = 0;
  double slow_ms = 0;   ///< of each request, when slow

  [[nodiscard]] std::string name() const { return service + " " + kind; }
  [[nodiscard]] bool holds(double at_s) const { return at_s >= from_s && at_s < to_s; }
  /// What the operator is told.
  [[nodiscard]] std::string order() const;
};

/// The faults of a run of `duration_s`; none when it is calm.
[[nodiscard]] std::vector<fault_window> write_script(double duration_s, double slow_ms, bool calm);

/// The fault that holds at that time; null when none does.
[[nodiscard]] const fault_window* fault_at(const std::vector<fault_window>& script, double at_s);

}  // namespace levity::story
