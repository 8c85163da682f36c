#pragma once

// adaptive_limit: no more calls at once than the other side works at. Where the limit lies limit_estimator finds out, which is
// pure; here are the lock and the permits. limit_ is a copy of its answer, so that who asks reads one word beside within_.
//
// within_ is inside_ where the limit is enforced. Where it is observed it is how many would be inside: a call that would have been
// refused is not counted, and each that ends makes room, whoever it was, for where more are inside than the other side works at its
// pace is that of the ends, and not that of one call.

#include <cstdint>
#include <expected>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/limit_estimator.hpp"
#include "levity/resilience/policy_mode.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// How an adaptive_limit is made.
struct adaptive_limit_options {
  limit_estimator_options estimator{};      ///< how the limit follows
  /// observe: every call is let through, and the limit is found by how calls differ that met few and many (limit_estimator). That
  /// needs calls that do: while about as many are inside all the time it grows, and does not fall.
  policy_mode mode = policy_mode::enforce;
};

/// A bulkhead that finds its size: as many calls at once as make no call wait for another one. Any thread; no allocation after the
/// constructor; about 30 ns for a call. Calls do not wait here: in front of a server stands a load_shedder, whose size this may
/// set.
///
///     auto place = payments.try_admit(lv::clock::now());
///     if (!place) co_return place.error();
///     auto paid = co_await pay(order);
///     place->record(paid ? lv::verdict::success : lv::verdict::failure, lv::clock::now());
class adaptive_limit {
public:
  /// The right to one call; how it is told what became of the call is how the limit learns.
  class [[nodiscard("the place is given back when the permit goes")]] permit {
  public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), call_(other.call_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        drop();
        of_ = std::exchange(other.of_, nullptr);
        call_ = other.call_;
      }
      return *this;
    }
    ~permit() { drop(); }

    /// Gives the place back now, and tells what the call came to. Idempotent. Any thread.
    void record(verdict said, time_point now) noexcept {
      if (adaptive_limit* const of = std::exchange(of_, nullptr)) of->end(call_, said, now);
    }

  private:
    friend class adaptive_limit;
    permit(adaptive_limit& of, const limit_estimator::begun& call) noexcept : of_(&of), call_(call) {}
    void drop() noexcept {
      if (adaptive_limit* const of = std::exchange(of_, nullptr)) of->drop(call_);
    }
    adaptive_limit* of_;
    limit_estimator::begun call_;
  };

  /// What has been asked of it so far, and how it stands.
  struct figures {
    std::uint64_t admitted;            ///< calls that were let through
    std::uint64_t refused;             ///< limit_reached
    std::uint64_t would_have_refused;  ///< let through because the mode is observe
    std::uint32_t inside;              ///< calls under way
    std::uint32_t limit;               ///< that may be
    duration baseline;                 ///< how long calls take when they do not wait for each other; zero: not known yet
    duration recent;                   ///< how long they took lately
    limit_estimator::figures moves;    ///< how the limit came about
  };

  /// Allocates, once: std::bad_alloc.
  explicit adaptive_limit(adaptive_limit_options options = {});
  adaptive_limit(const adaptive_limit&) = delete;
  adaptive_limit& operator=(const adaptive_limit&) = delete;
  /// No permit is left.
  ~adaptive_limit();

  /// The right to one call, if fewer are under way than the limit says. Refused: limit_reached, with the time in which one of those
  /// under way should end.
  [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept;

  /// How many calls may be under way now.
  [[nodiscard]] std::uint32_t limit() noexcept;

  /// A look from outside; racy by nature.
  [[nodiscard]] figures look() noexcept;

private:
  void end(const limit_estimator::begun& call, verdict said, time_point now) noexcept;
  void drop(const limit_estimator::begun& call) noexcept;
  void leave(const limit_estimator::begun& call, verdict said, time_point now) noexcept;  // under lock_

  const policy_mode mode_;
  detail::spin_lock lock_;
  // Guarded by lock_.
  std::uint32_t inside_ = 0;
  std::uint32_t within_ = 0;
  std::uint32_t limit_;
  time_point last_now_{};  // the last moment it was told: a permit that is dropped has none
  std::uint64_t admitted_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t would_have_refused_ = 0;
  limit_estimator estimator_;
};

}  // namespace levity
