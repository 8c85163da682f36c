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
  static constexpr std::int64_t slack_ns = 2'000'000;  // so much longer each may last: a tick of the kernel falls within it, mostly
  static constexpr std::int64_t share = 650;           // one part in so many is used at most: 0.15 %
  static constexpr unsigned dozes_each = 32;           // the pause is reckoned anew

  [[nodiscard]] std::int64_t pause_ns() const noexcept { return pause_ns_; }

  /// One more doze begins. True: now is the time for reckon().
  [[nodiscard]] bool count() noexcept { return ++dozes_ >= dozes_each; }

  /// `cpu_ns`: the processor time of the watchdog's thread so far.
  void reckon(std::int64_t cpu_ns) noexcept {
    if (cpu_ns_ >= 0) {
      const std::int64_t look_ns = (cpu_ns - cpu_ns_) / static_cast<std::int64_t>(dozes_);
      pause_ns_ = std::clamp(look_ns * share - slack_ns, pause_min_ns, pause_max_ns);
    }
    cpu_ns_ = cpu_ns;
    dozes_ = 0;
  }

private:
  std::int64_t pause_ns_ = pause_min_ns;
  std::int64_t cpu_ns_ = -1;  // when last reckoned; -1: not yet
  unsigned dozes_ = 0;
};

}  // namespace levity::detail
