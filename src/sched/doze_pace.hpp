#pragma once

// doze_pace: how long the watchdog dozes between two looks. Most of a look is the kernel's, and cold caches: 10 us of processor
// time on one machine, 30 on another. Where it is dear there are fewer, so that they never add up to more than a share of a
// processor that nobody would miss; but no fewer than somebody who waits for the next one can bear.

#include <algorithm>
#include <cstdint>

namespace levity::inline v0::detail {

class doze_pace {
public:
  static constexpr std::int64_t pause_min_ns = 10'100'000;  // less than a hundred looks a second, all told
  static constexpr std::int64_t pause_max_ns = 14'100'000;
  static constexpr std::int64_t slack_ns = 2'000'000;  // so much longer each may last: a tick of the kernel often falls within it
  static constexpr std::int64_t share = 650;           // one part in so many is used at most: 0.15 %
  static constexpr unsigned looks_each = 32;           // the pause is reckoned anew

  [[nodiscard]] std::int64_t pause_ns() const noexcept { return pause_ns_; }

  /// A doze begins. `cpu_ns`: the processor time of the watchdog's thread so far.
  void begin_doze(std::int64_t cpu_ns) noexcept {
    if (dozed_at_ns_ >= 0) {
      looks_ns_ += cpu_ns - dozed_at_ns_;
      if (++looks_ == looks_each) reckon();
    }
    dozed_at_ns_ = cpu_ns;
  }
  /// It had more to do than to look, or looks again at once: what that costs is not the price of a doze.
  void forget() noexcept { dozed_at_ns_ = -1; }

private:
  void reckon() noexcept {
    pause_ns_ = std::clamp(looks_ns_ / looks_each * share - slack_ns, pause_min_ns, pause_max_ns);
    looks_ns_ = looks_ = 0;
  }

  std::int64_t pause_ns_ = pause_min_ns;
  std::int64_t dozed_at_ns_ = -1;  // of processor time, when the last doze began; -1: what came after it does not count
  std::int64_t looks_ns_ = 0;      // since last reckoned
  std::int64_t looks_ = 0;
};

}  // namespace levity::detail
