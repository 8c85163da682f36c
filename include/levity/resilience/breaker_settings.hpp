#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "levity/base/clock.hpp"
#include "levity/resilience/breaker_transition.hpp"
#include "levity/resilience/breaker_window.hpp"
#include "levity/resilience/policy_mode.hpp"

namespace levity::inline v0 {

/// When a breaker opens and how it comes back. Take a preset, change what is to be different (with breaker.hpp included):
///
///     auto settings = levity::breaker_settings::article();
///     settings.name = "payments";
///     settings.open_min = 2s;
///     levity::breaker payments(std::move(settings));
///
/// Shares are judged as quotients of doubles, "over" means over: 4 of 10 is not over 0.40.
struct breaker_settings {
  /// Opens when, of the last `calls` verdicts, the share of failures is over `failures_over`; not before there are `calls_min`.
  /// Judged at each verdict, a success too. Up to 32 calls it costs one word; up to 1,024 a short lock at each verdict.
  struct last_calls {
    unsigned calls = 10;           ///< 1 to 1,024
    unsigned calls_min = 10;       ///< 1 to `calls`; with fewer the share is of those that there are
    double failures_over = 0.40;   ///< from 0, below 1
  };

  /// Opens when so many calls have failed one after the other.
  struct in_a_row {
    unsigned failures = 5;  ///< from 1
  };

  /// Opens when, of the calls of the last `window`, too many failed or took too long. The window moves in tenths of its length. A
  /// short lock at each verdict.
  struct call_rate {
    duration window = std::chrono::seconds(10);    ///< from 10 ns
    unsigned calls_min = 20;                       ///< with fewer calls in the window it stays closed
    double failures_over = 0.50;                   ///< from 0 to 1; 1: failures never open it
    double slow_over = 1.0;                        ///< from 0 to 1; 1: slow calls never open it
    duration slow_from = std::chrono::seconds(1);  ///< what takes so long, from its permit to its verdict, is slow
  };

  /// Does what github.com/sony/gobreaker/v2 (v2.4.0) does with the same settings, call for call: how to come from there without a
  /// surprise, and what `breaker` is checked against. Of the settings below it heeds `name`, `mode` and `on_transition`. What
  /// differs: `trips` and `on_transition` run outside of the lock, and counts do not wrap at 2^32. Judged at failures only; a short
  /// lock at each call and each verdict.
  struct as_gobreaker {
    std::uint32_t requests_max = 1;  ///< MaxRequests: calls let through while half open, and successes that close it; 0 is 1
    duration interval{};             ///< Interval: so often a closed one forgets what it has counted; none if not positive
    duration bucket_period{};        ///< BucketPeriod: forgets bit by bit, in steps of this; at once if not positive
    duration timeout = std::chrono::seconds(60);  ///< Timeout: how long it stays open; 60 s if not positive
    /// ReadyToTrip: told what has been counted, the failure included. Must not throw. Empty: more than 5 failures in a row.
    std::function<bool(const breaker_window&)> trips{};
  };

  /// What becomes of a breaker whose probe does not answer.
  enum class fall_back : std::uint8_t {
    open,    ///< no answer is a failure, too
    closed,  ///< calls go through again, and are judged: for those that may last for ever
  };

  /// In transitions and their messages.
  std::string name = "unnamed";
  /// When it opens.
  std::variant<last_calls, in_a_row, call_rate, as_gobreaker> rule = last_calls{};

  /// For how long it is open at first. Kept to 1.05 ms, never less. At most a year, as `open_max`.
  duration open_min = std::chrono::seconds(5);
  /// It is open twice as long as the last time when a probe has failed, or when it opens again before it was closed for as long as
  /// it had been open, but no longer than this, to which jitter may add its share. From the 15th time on it is as long as this,
  /// however far `open_min` lies below.
  duration open_max = std::chrono::seconds(60);
  /// By what share, from 0 to 0.9, the time that it is open differs from that at random, either way: those that opened together do
  /// not probe together.
  double jitter = 0.20;
  /// Which random sequence that is. The moment of opening goes into it, too: breakers with one seed differ, and in a simulated
  /// runtime, whose time follows from its seed, so does this.
  std::uint64_t seed = 0;
  /// How many probes may be under way at once while it is half open, 1 to 63.
  unsigned probes_max = 1;
  /// So many probes must succeed before it closes, 1 to 63. One that fails opens it again.
  unsigned successes_needed = 3;
  /// When all probes that may be under way are, and the newest of them began so long ago, it is half open no longer. Noticed by the
  /// next who asks; kept to 34 ms, never less. At most 30 days; zero: they are waited for.
  duration unanswered_max = std::chrono::seconds(60);
  /// What it is then.
  fall_back unanswered = fall_back::open;

  /// Whether it acts, or merely counts what it would have refused.
  policy_mode mode = policy_mode::enforce;
  /// Told each change of its state, by the thread that made it, before that one's call returns; under no lock, so it may call the
  /// breaker. Several threads may be inside at once. Must not throw.
  std::function<void(const breaker_transition&)> on_transition{};

  /// More than 40 % of the last 10 calls failed: opens at the fifth failure of ten.
  [[nodiscard]] static breaker_settings article();
  /// gobreaker.Settings{}: more than 5 failures in a row, open for 60 s, one probe.
  [[nodiscard]] static breaker_settings gobreaker();
  /// As gobreaker, but with `counts.Requests >= requests_min && float64(counts.TotalFailures)/float64(counts.Requests) >
  /// failures_over`, the way in which "ten calls, over 40 %" is usually written for it. That counts everything since the interval
  /// began (without one: since it closed), so the longer it went well the longer it takes to open; article() does not.
  [[nodiscard]] static breaker_settings gobreaker(std::uint32_t requests_min, double failures_over, duration interval = {});
  /// `failures` in a row, and nothing else.
  [[nodiscard]] static breaker_settings consecutive(unsigned failures);
  /// Over `failures_over` of the calls of the last `window` failed, or over `slow_over` of them took `slow_from` or longer.
  [[nodiscard]] static breaker_settings rate(duration window, double failures_over, double slow_over = 1.0,
                                             duration slow_from = std::chrono::seconds(1));

  /// What is wrong with them, in one sentence; null if nothing is. For settings that somebody typed: a breaker asserts it.
  [[nodiscard]] const char* problem() const noexcept;
};

}  // namespace levity
