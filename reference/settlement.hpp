// settlement: makes the bookings that no customer waits for any more, at one service, until all are made.
//
// Where a booking is
//   the order owes it      by the log: from the record that creates the order to the mark that settles it
//   - a customer waits     an open_booking: nobody else's; however it ends, too late, broken off, refused, by an exception, unless
//                          it was done it comes into the queue. It is made before the order, for that may not fail behind it
//   - in the queue         due at a moment; the one loop below takes the earliest
//   - under way            a taken_debt: by the loop, or by one of concurrent_max tasks while the service is well; however that
//                          ends, unless it was done it comes into the queue again
//   settled                marked in the log. Where a crash takes the mark back the call is made once more after the start, and the
//                          other side knows its key
//
//   the queue after a start   every order that owes this, found by a walk through the book in small steps
//   what fails here, of memory for one, ends run(); called again it goes on where it was, and nothing is owed that is nowhere.
//                             Without memory for the queue itself the process ends, and the next one finds all of it in the log
//
// The pace. While the service is well: concurrent_max at once, at most per_second_max. While its breaker is not closed: one at a
// time, after a pause that doubles up to pause_max and is drawn at random, and only what breaker and budget let through. What fails
// comes again, later and later; what is refused, each refused_pause.
//
// Rejected: a place of its own for what is outstanding (a second journal that can disagree with the log of the orders); a task for
// each booking that waits (an outage of an hour is a million of them).
#pragma once

#include <cstdint>
#include <mutex>
#include <queue>
#include <utility>
#include <vector>

#include <levity/levity.hpp>
#include <levity/resilience/token_bucket.hpp>

#include "reference/outside.hpp"
#include "reference/store.hpp"

namespace orders {

struct settlement_options {
  std::uint32_t concurrent_max = 8;
  double per_second_max = 300;  // so that a debt is paid beside what comes, and not instead of it
  levity::duration pause = std::chrono::milliseconds(25);         ///< at most before the first further attempt; then twice as much
  levity::duration pause_max = std::chrono::seconds(1);           ///< and never more
  levity::duration call_time = std::chrono::milliseconds(250);    ///< that an answer may take; after a failure twice as much
  levity::duration call_time_max = std::chrono::seconds(1);       ///< and never more: a probe that hangs keeps the breaker open
  levity::duration refused_pause = std::chrono::seconds(30);
  std::uint64_t seed = 1;
};

/// open(), book() and look() from any task; run() by one task at a time, which store and service outlive.
class settlement {
public:
  /// `what`: the one bit that is booked at `where`.
  settlement(store& orders, outside& where, owed what, const settlement_options& options = {});
  settlement(const settlement&) = delete;
  settlement& operator=(const settlement&) = delete;

  class open_booking;
  /// For an order that is still to be made.
  open_booking open() noexcept;
  /// Books a new order, which is durable and owes this, while a customer waits; `open` has been told of it. True: it is done.
  /// Otherwise it is settled later; so it is when the task is cancelled, or never begins.
  levity::task<bool> book(open_booking open, order_view order);

  /// Until it is cancelled, or something fails that nobody expects: finds what was owed at the start, and settles.
  levity::task<> run();

  [[nodiscard]] owed what() const noexcept { return what_; }
  [[nodiscard]] outside& where() const noexcept { return where_; }

  struct figures {
    std::uint64_t settled = 0;      ///< bookings made, with a customer waiting or not
    std::uint64_t outstanding = 0;  ///< that are owed; at the start only those that have been found
    std::uint64_t refused = 0;      ///< answers that it will not be made
  };
  [[nodiscard]] figures look() const noexcept;

private:
  struct debt {
    levity::time_point due;
    std::uint64_t order = 0;
    unsigned attempts = 0;
    friend bool operator<(const debt& a, const debt& b) noexcept {  // for a queue whose top is the earliest, then the oldest
      return std::pair(a.due, a.order) > std::pair(b.due, b.order);
    }
  };
  class taken_debt;

  void queue(debt of);
  void done(std::uint64_t order);
  levity::task<taken_debt> next();
  levity::task<> find_what_is_owed();
  levity::task<> settle_in_turn();
  levity::task<> write_marks();
  levity::task<outside::later> settle(taken_debt taken);
  levity::duration drawn(levity::duration first, unsigned doublings);

  store& store_;
  outside& where_;
  const owed what_;
  const settlement_options options_;
  const std::uint64_t last_before_;  // the last order that was there at the start: later ones come by book()
  std::uint64_t looked_through_ = 0;  // run()'s: what these owed at the start is in the queue
  levity::token_bucket pace_;
  levity::bulkhead places_;

  std::mutex lock_;  // never held over an await
  std::priority_queue<debt> queue_;  // guarded by lock_, as the next
  levity::rng random_;

  levity::event work_;    // the queue has changed
  levity::event marked_;  // marks wait to be written
  // Relaxed: numbers, and nothing behind them.
  levity::atomic<std::uint64_t> settled_{0};
  levity::atomic<std::uint64_t> outstanding_{0};
  levity::atomic<std::uint64_t> refused_{0};
  levity::atomic<unsigned> failures_in_a_row_{0};
};

/// A booking that a customer waits for, of an order that is about to be made. Whatever ends it, what was not done is owed.
class settlement::open_booking {
public:
  open_booking(open_booking&& other) noexcept
      : in_(other.in_), order_(std::exchange(other.order_, 0)), attempts_(other.attempts_), due_(other.due_) {}
  open_booking& operator=(open_booking&&) = delete;
  ~open_booking() {
    if (order_ != 0) in_->queue({due_, order_, attempts_});
  }

  /// The order is there, or about to be durable, and owes this. Once.
  void owe(std::uint64_t order) noexcept {
    order_ = order;
    in_->outstanding_.fetch_add(1, std::memory_order_relaxed);
  }

private:
  friend settlement;
  explicit open_booking(settlement& in) noexcept : in_(&in) {}

  settlement* in_;
  std::uint64_t order_ = 0;  // none yet, or no longer
  unsigned attempts_ = 0;
  levity::time_point due_{};
};

inline settlement::open_booking settlement::open() noexcept { return open_booking(*this); }

}  // namespace orders
