#pragma once

// health: what a service answers to whoever asks whether it lives and whether to send it work.
//
//   phase          moved by
//   starting       (at first)             startup no,  ready no
//   -> serving     started()              startup yes, ready if all checks say so
//   -> draining    begin_drain()          startup yes, ready no: what is under way is finished, nothing new is wanted
//
// live says no, so that the process is started anew, when the start takes longer than `startup_max`, or nobody has called beat()
// for `beat_max`: a task that beats from time to time shows that tasks still run. Draining alone is no reason to be killed.
//
// Each word stands for itself and publishes nothing: all of them relaxed.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"

namespace levity::inline v0::service {

/// How long a service may take.
struct health_options {
  duration startup_max = std::chrono::minutes(2);  ///< from its making until started(); zero: any time
  duration beat_max{};                             ///< between two beats once started; zero: nobody has to beat
};

/// An answer to a probe.
struct health_answer {
  bool good = false;     ///< 200, else 503
  std::string_view why;  ///< a literal of a few words, or the name of a check; valid as long as the health
};

/// State and checks of one service. Any thread; no call waits or allocates but the constructor.
class health {
public:
  /// The most checks.
  static constexpr std::size_t checks_max = 64;

  /// `checks` are the names of what must be in order for the service to be ready: "database". None of them is at first. More
  /// than checks_max are asserted.
  explicit health(time_point now, std::vector<std::string> checks = {}, health_options options = {});
  health(const health&) = delete;
  health& operator=(const health&) = delete;

  /// The start is over. Idempotent; nothing after begin_drain().
  void started(time_point now) noexcept;
  /// Nothing new is wanted. Idempotent; final.
  void begin_drain() noexcept;
  /// Tasks run.
  void beat(time_point now) noexcept;
  /// Whether the check of that number, in the order of the constructor, is in order.
  void set(std::size_t check, bool good) noexcept;

  /// Whether the process is to be let live.
  [[nodiscard]] health_answer live(time_point now) const noexcept;
  /// Whether work is to be sent to it.
  [[nodiscard]] health_answer ready(time_point now) const noexcept;
  /// Whether the start is over.
  [[nodiscard]] health_answer startup() const noexcept;

private:
  enum class phase : std::uint8_t { starting, serving, draining };

  const health_options options_;
  const std::vector<std::string> checks_;
  const time_point made_;
  atomic<phase> phase_{phase::starting};
  atomic<std::int64_t> beat_ns_;
  atomic<std::uint64_t> good_{0};  // by check
};

}  // namespace levity::service
