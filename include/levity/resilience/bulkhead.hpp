#pragma once

// bulkhead: so many calls at once, so many that wait, for so long; whatever happens behind it, the rest of the ship floats.
//
// Equations, whenever the lock is free and the mode is enforce
//   inside_ = permits that live, and places handed to tasks that have not run yet
//   waiting_ not empty  =>  inside_ == concurrent_max
//   waits_  = length of waiting_ <= waiting_max
//
// Observing. Calls are put one behind the other as they would have begun, as if each took as long as calls took lately. free_at_ is
// a heap of the moments at which each place would be free: a call would begin at the first of them, or now, and is refused if that
// is later than wait_max allows, or if more than waiting_max would begin before. So are those who find too many that are inside
// indeed.
//
// First come, first served: who leaves hands its place to the longest waiting task, and nobody can slip in between.
//
// Rejected: a semaphore with a timeout around it (a frame and an exception for each call that waits too long, just when there are
// many); refusing the longest waiting when the queue is full (fair to nobody: all of them wait, and then hear no).

#include <cstdint>
#include <expected>
#include <utility>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/detail/admission_wait.hpp"
#include "levity/resilience/policy_mode.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// How a bulkhead is made.
struct bulkhead_options {
  std::uint32_t concurrent_max = 32;  ///< calls at once; at least 1
  std::uint32_t waiting_max = 64;     ///< tasks that wait for a place; who comes when so many do is refused at once
  duration wait_max = 1s;             ///< how long one waits; duration::max(): as long as it takes
  /// observe: every call is let through at once. Refused would have been who finds too many inside, or would have had to wait for
  /// longer than wait_max if calls take as long as they did lately. With more than 65,536 places only the former is looked at.
  policy_mode mode = policy_mode::enforce;
};

/// Bounds how many calls are under way at once, and how many wait for that. Any thread; no allocation; about 20 ns for a call that
/// does not wait.
///
///     auto place = co_await payments.admit();
///     if (!place) co_return place.error();
///     auto paid = co_await pay(order);                // the place is free again when `place` goes
class bulkhead {
  // Of a call, where it is only observed.
  struct visit {
    time_point came{};
    bool refused = false;  // or would have been
  };

public:
  class admit_awaiter;

  /// A place inside, given back when it goes.
  class [[nodiscard("the place is given back when the permit goes")]] permit {
  public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), seen_(other.seen_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        leave(time_point{});
        of_ = std::exchange(other.of_, nullptr);
        seen_ = other.seen_;
      }
      return *this;
    }
    ~permit() { leave(time_point{}); }

    /// Gives the place back now, whatever the call came to. Idempotent. Any thread.
    void record(verdict, time_point now) noexcept { leave(now); }

  private:
    friend class bulkhead;
    friend class admit_awaiter;
    permit(bulkhead& of, const visit& seen) noexcept : of_(&of), seen_(seen) {}
    void leave(time_point now) noexcept {
      if (bulkhead* const of = std::exchange(of_, nullptr)) of->leave(seen_, now);
    }
    bulkhead* of_;
    visit seen_;
  };

  /// What has been asked of it so far, and how it stands.
  struct figures {
    std::uint64_t admitted;            ///< calls that were let through
    std::uint64_t refused_full;        ///< refused at once: waiting_max waited, or nobody may
    std::uint64_t refused_waited;      ///< refused after wait_max
    std::uint64_t left;                ///< cancelled while they waited
    std::uint64_t would_have_refused;  ///< let through because the mode is observe
    std::uint32_t inside;              ///< calls under way
    std::uint32_t waiting;             ///< tasks that wait
  };

  /// Empty. Allocates where it observes, once: std::bad_alloc.
  explicit bulkhead(bulkhead_options options = {});
  bulkhead(const bulkhead&) = delete;
  bulkhead& operator=(const bulkhead&) = delete;
  /// Nobody is inside, and nobody waits.
  ~bulkhead();

  /// Waits for a place: `co_await admit()` gives std::expected<permit, rejection>. Refused: bulkhead_full, at once when waiting_max
  /// wait already, or after wait_max. Throws `cancelled` when the task is, or a deadline around it passes; then it holds no place.
  /// Inside tasks. Waiting costs a timer, no allocation.
  [[nodiscard("co_await the admission")]] admit_awaiter admit() noexcept;

  /// A place, if one is free and nobody waits for it. Refused: bulkhead_full. Does not wait.
  [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept;

  /// A look from outside; racy by nature.
  [[nodiscard]] figures look() noexcept;

private:
  enum class answer : std::uint8_t { admitted, full, wait };
  [[nodiscard]] answer ask(bool may_wait, visit& of, time_point now) noexcept;
  void leave(const visit& of, time_point now) noexcept;
  [[nodiscard]] bool would_refuse(bool may_wait, time_point now) noexcept;

  const bulkhead_options options_;
  detail::spin_lock lock_;
  // Guarded by lock_.
  std::uint32_t inside_ = 0;
  std::uint32_t waits_ = 0;
  detail::link_list waiting_;  // task_record::queue, oldest first
  std::uint64_t admitted_ = 0;
  std::uint64_t refused_full_ = 0;
  std::uint64_t refused_waited_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t would_have_refused_ = 0;
  // Observing.
  std::uint32_t refused_inside_ = 0;   // would be elsewhere
  time_point last_now_{};              // the last moment it was told: a permit that is dropped has none
  duration took_{};                    // what calls take, as a mean of some 64
  unsigned took_known_ = 0;
  std::vector<time_point> free_at_;
};

class bulkhead::admit_awaiter final : public detail::admission_wait {
public:
  explicit admit_awaiter(bulkhead& to) noexcept : admission_wait(reason_, to.lock_), to_(to) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  admit_awaiter(admit_awaiter&& other) noexcept : admit_awaiter(other.to_) {}

  std::expected<permit, rejection> await_resume() {
    if (over()) return permit{to_, seen_};
    return std::unexpected(refused_);
  }

private:
  friend class bulkhead;
  bool decide(detail::link_list& served) noexcept override;
  bool enqueue(detail::link_list& served) noexcept override;
  void dequeue() noexcept override;
  void give_up() noexcept override;
  void leave() noexcept override;
  [[nodiscard]] time_point until() const noexcept override;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  bulkhead& to_;
  visit seen_{};
};

inline bulkhead::admit_awaiter bulkhead::admit() noexcept { return admit_awaiter{*this}; }

}  // namespace levity
