#include "sim/shrink.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace levity::inline v0::sim {
namespace {

class shrinker {
public:
  shrinker(fault_plan failing, const std::function<bool(const fault_plan&)>& fails, unsigned runs_max)
      : best_(std::move(failing)), fails_(fails), runs_max_(runs_max) {}

  // What a fault was needed for may be gone when others are shorter or have moved: as long as one goes, all is tried again.
  void search() {
    drop_faults();
    for (std::size_t before = 0; before != best_.faults.size();) {
      shorten();
      move();
      before = best_.faults.size();
      if (before > 1) drop_faults();
    }
  }

  shrunk_plan result() && { return {std::move(best_), runs_, !is_stopped_}; }

private:
  // The plan without a part of it; parts get smaller until they are single faults.
  void drop_faults() {
    if (try_instead({})) return;  // it fails by itself
    std::size_t parts = 2;
    while (best_.faults.size() > 1) {
      const std::size_t size = best_.faults.size();
      parts = std::min(parts, size);
      bool is_smaller = false;
      for (std::size_t i = 0; i < parts && !is_smaller; i++) {
        const std::size_t from = size * i / parts;
        const std::size_t to = size * (i + 1) / parts;
        is_smaller = (parts > 2 && try_instead(part(from, to))) || try_instead(all_but(from, to));
        if (is_smaller) parts = best_.faults.size() == to - from ? 2 : std::max<std::size_t>(parts - 1, 2);
      }
      if (is_smaller) continue;
      if (parts == size) return;
      parts *= 2;
    }
  }

  void shorten() {
    for (std::size_t i = 0; i < best_.faults.size(); i++) {
      const auto lasts = [i](fault_plan& of) -> duration& { return of.faults[i].lasts; };
      halve(lasts);
      round(lasts);
    }
  }

  // Earlier if possible. A fault that has to hit a moment may have to come a little later or earlier than a round number.
  void move() {
    for (std::size_t i = 0; i < best_.faults.size(); i++) {
      const auto at = [i](fault_plan& of) -> duration& { return of.faults[i].at; };
      if (try_time(at, {})) continue;
      halve(at);
      round(at);
    }
  }

  bool try_instead(fault_plan other) {
    if (other == best_) return false;
    is_stopped_ = is_stopped_ || runs_ == runs_max_;
    if (is_stopped_) return false;
    runs_++;
    if (!fails_(other)) return false;
    best_ = std::move(other);
    return true;
  }

  template <class Time>
  bool try_time(const Time& time, duration wanted) {
    fault_plan other = best_;
    time(other) = wanted;
    return try_instead(std::move(other));
  }

  template <class Time>
  void halve(const Time& time) {
    while (time(best_) >= duration(2ms) && try_time(time, time(best_) / 2)) {
    }
  }

  // The roundest number near it, downwards or upwards.
  template <class Time>
  void round(const Time& time) {
    constexpr std::array<std::int64_t, 5> units_ns = {1'000'000'000, 100'000'000, 10'000'000, 1'000'000, 1'000};
    const std::int64_t ns = time(best_).count();
    for (const std::int64_t unit_ns : units_ns) {
      const std::int64_t below_ns = ns / unit_ns * unit_ns;
      if (below_ns == ns) return;
      if (below_ns > 0 && try_time(time, duration(below_ns))) return;
      if (unit_ns <= ns && try_time(time, duration(below_ns + unit_ns))) return;
    }
  }

  [[nodiscard]] fault_plan part(std::size_t from, std::size_t to) const {
    const auto first = best_.faults.begin();
    return {.faults = {first + static_cast<std::ptrdiff_t>(from), first + static_cast<std::ptrdiff_t>(to)}};
  }

  [[nodiscard]] fault_plan all_but(std::size_t from, std::size_t to) const {
    fault_plan rest = best_;
    const auto first = rest.faults.begin();
    rest.faults.erase(first + static_cast<std::ptrdiff_t>(from), first + static_cast<std::ptrdiff_t>(to));
    return rest;
  }

  fault_plan best_;
  const std::function<bool(const fault_plan&)>& fails_;
  const unsigned runs_max_;
  unsigned runs_ = 0;
  bool is_stopped_ = false;  // something was left to try, and no run to try it by
};

}  // namespace

shrunk_plan shrink(fault_plan failing, const std::function<bool(const fault_plan&)>& fails, unsigned runs_max) {
  shrinker work(std::move(failing), fails, runs_max);
  work.search();
  return std::move(work).result();
}

}  // namespace levity::sim
