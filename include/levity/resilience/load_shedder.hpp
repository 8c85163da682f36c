#pragma once

// load_shedder: who is told no, and when, so that the others are served in time. The rules are in detail/shed_queue.hpp, which is
// pure; here is the lock around them, and the task that waits.
//
// Whoever ends a call, asks, or is shed does so under lock_, marks the tasks whose fate that decides, and wakes them after the lock
// is free. A permit that is dropped untold gives its place back at the last moment that anybody has named: a destructor has no
// clock, and a time that is a little old sheds nobody too soon.

#include <cstdint>
#include <expected>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/call_class.hpp"
#include "levity/resilience/detail/admission_wait.hpp"
#include "levity/resilience/detail/shed_queue.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// Lets as many calls begin as the work behind it can do, has the others wait for a moment, and sheds what would only make
/// everybody late: before any work is done for it. At twice the capacity it serves at capacity, in the time that a call takes plus
/// a few milliseconds; what is important loses nothing, and a refusal costs less than a microsecond.
///
///     lv::load_shedder door{{.concurrent_max = 64}};
///     auto place = co_await door.admit({.priority = 1, .cohort = lv::cohort_of(user), .deadline = due});
///     if (!place) co_return busy(place.error().retry_after);
///     auto answer = co_await work(request);
///     place->record(lv::verdict::success, lv::clock::now());
///
/// Any thread; no allocation after the constructor; 13 KB. Record what calls came to: it learns from successes how long they take,
/// and so whom a deadline leaves no time.
class load_shedder {
public:
  class admit_awaiter;

  /// A place inside, given back when it goes.
  class [[nodiscard("the place is given back when the permit goes")]] permit {
  public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), began_(other.began_) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        drop();
        of_ = std::exchange(other.of_, nullptr);
        began_ = other.began_;
      }
      return *this;
    }
    ~permit() { drop(); }

    /// Gives the place back now, and tells what the call came to: a success says how long calls take. Idempotent. Any thread.
    void record(verdict said, time_point now) noexcept {
      if (load_shedder* const of = std::exchange(of_, nullptr)) of->end(began_, said, now);
    }

    /// When the call got its place.
    [[nodiscard]] time_point began() const noexcept { return began_; }

  private:
    friend class load_shedder;
    friend class admit_awaiter;
    permit(load_shedder& of, time_point began) noexcept : of_(&of), began_(began) {}
    void drop() noexcept {
      if (load_shedder* const of = std::exchange(of_, nullptr)) of->drop();
    }
    load_shedder* of_;
    time_point began_;
  };

  /// What has been asked of it so far, and how it stands.
  using figures = detail::shed_queue::figures;

  /// Empty and calm.
  explicit load_shedder(load_shedder_options options = {}) noexcept : queue_(options) {}
  load_shedder(const load_shedder&) = delete;
  load_shedder& operator=(const load_shedder&) = delete;
  /// Nobody is inside, and nobody waits.
  ~load_shedder();

  /// Waits for a place, if waiting has a point: `co_await admit(call)` gives std::expected<permit, rejection>. Refused: overloaded,
  /// with retry_after, or too_late, when less is left until call.deadline than calls take and no place is free, or nothing at all.
  /// Throws `cancelled` when the task is, or a deadline around it passes; then it holds no place. Inside tasks; reads the clock.
  /// Waiting costs a timer, no allocation.
  [[nodiscard("co_await the admission")]] admit_awaiter admit(call_class call = {}) noexcept;

  /// A place, if one is free: nobody waits then. Else refused as above. Does not wait.
  [[nodiscard]] std::expected<permit, rejection> try_admit(call_class call, time_point now) noexcept;
  /// The same for a call that says nothing of itself.
  [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept { return try_admit(call_class{}, now); }

  /// So many calls at once from now on; more of them begin at once, fewer when some have ended. For an adaptive_limit, for one.
  void set_concurrent_max(std::uint32_t most, time_point now) noexcept;

  /// A look from outside; racy by nature.
  [[nodiscard]] figures look() noexcept;

private:
  void end(time_point began, verdict said, time_point now) noexcept;
  void drop() noexcept;
  static void mark(detail::link_list& settled, detail::link_list& served) noexcept;

  detail::spin_lock lock_;
  detail::shed_queue queue_;  // guarded by lock_
};

class load_shedder::admit_awaiter final : public detail::admission_wait, detail::shed_entry {
public:
  admit_awaiter(load_shedder& to, call_class call) noexcept : admission_wait(reason_, to.lock_), to_(to), call_(call) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  admit_awaiter(admit_awaiter&& other) noexcept : admit_awaiter(other.to_, other.call_) {}

  std::expected<permit, rejection> await_resume() {
    if (over()) return permit{to_, began()};
    return std::unexpected(refused_);
  }

private:
  friend class load_shedder;
  bool decide(detail::link_list& served) noexcept override;
  bool enqueue(detail::link_list& served) noexcept override;
  void dequeue() noexcept override;
  void give_up() noexcept override;
  void leave() noexcept override;
  [[nodiscard]] time_point until() const noexcept override;
  [[nodiscard]] time_point began() const noexcept;
  void take_fate() noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  load_shedder& to_;
  const call_class call_;
  time_point until_{};
};

inline load_shedder::admit_awaiter load_shedder::admit(call_class call) noexcept { return {*this, call}; }

}  // namespace levity
