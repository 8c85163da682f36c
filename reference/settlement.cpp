#include "reference/settlement.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace orders {
namespace {

constexpr unsigned doublings_max = 16;
constexpr std::size_t look_max = 1'000;                         // orders under one lock, some 10 us
constexpr levity::duration marks_linger = std::chrono::milliseconds(100);

levity::duration doubled(levity::duration first, unsigned times, levity::duration most) {
  return std::min(most, levity::duration(first.count() << std::min(times, doublings_max)));
}

levity::task<> wait_for(levity::event* what) { co_await what->wait(); }

}  // namespace

// A booking that a customer waits for. Whatever ends it, what was not done is owed.
class settlement::open_booking {
public:
  open_booking(settlement& in, std::uint64_t order) noexcept : in_(&in), order_(order) {
    in.outstanding_.fetch_add(1, std::memory_order_relaxed);
  }
  open_booking(open_booking&& other) noexcept
      : in_(std::exchange(other.in_, nullptr)), order_(other.order_), attempts_(other.attempts_), due_(other.due_) {}
  open_booking& operator=(open_booking&&) = delete;
  ~open_booking() {
    if (in_ == nullptr) return;
    in_->outstanding_.fetch_sub(1, std::memory_order_relaxed);
    in_->owe(order_, attempts_, due_);
  }

  void done() { std::exchange(in_, nullptr)->done(order_); }
  void was_asked(levity::time_point next) noexcept {
    attempts_ = 1;
    due_ = next;
  }

private:
  settlement* in_;
  std::uint64_t order_;
  unsigned attempts_ = 0;
  levity::time_point due_{};
};

settlement::settlement(store& orders, outside& where, owed what, const settlement_options& options)
    : store_(orders),
      where_(where),
      what_(what),
      options_(options),
      last_before_(orders.look().orders),
      pace_({.per_second = options.per_second_max, .burst = options.concurrent_max}),
      places_({.concurrent_max = options.concurrent_max, .waiting_max = 1, .wait_max = levity::duration::max()}),
      random_(options.seed) {}

levity::task<bool> settlement::book(order_view order) { return book(open_booking(*this, order.id), order); }

levity::task<bool> settlement::book(open_booking open, order_view order) {
  const booked became = co_await where_.book_now(order);
  switch (became) {
    case booked::done: open.done(); co_return true;
    case booked::not_asked: break;
    case booked::failed: open.was_asked(levity::clock::now() + drawn(options_.pause, 1)); break;
    case booked::refused:
      refused_.fetch_add(1, std::memory_order_relaxed);
      open.was_asked(levity::clock::now() + options_.refused_pause);
      break;
  }
  co_return false;
}

levity::task<> settlement::run() {
  levity::scope parts;
  parts.spawn("what is owed", [](settlement* self) { return self->find_what_is_owed(); }, this);
  parts.spawn("settle", [](settlement* self) { return self->settle_in_turn(); }, this);
  parts.spawn("marks", [](settlement* self) { return self->write_marks(); }, this);
  co_await parts.join();
}

levity::task<> settlement::find_what_is_owed() {
  std::uint64_t after = 0;
  do {
    for (const order_view& order : store_.owing(after, look_max)) {
      if (order.id > last_before_) co_return;
      if ((order.owes & what_) != 0) owe(order.id, 0, {});
    }
    co_await levity::yield();
  } while (after != 0 && after < last_before_);
}

levity::task<> settlement::write_marks() {
  for (;;) {
    co_await marked_.wait();
    co_await levity::sleep(marks_linger);
    marked_.reset();
    store_.flush();
  }
}

void settlement::owe(std::uint64_t order, unsigned attempts, levity::time_point due) {
  outstanding_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard guard{lock_};
    queue_.push({due, order, attempts});
  }
  work_.set();
}

void settlement::done(std::uint64_t order) {
  store_.settle(order, what_);
  marked_.set();
  settled_.fetch_add(1, std::memory_order_relaxed);
  outstanding_.fetch_sub(1, std::memory_order_relaxed);
}

// The earliest, when it is due.
levity::task<settlement::debt> settlement::next() {
  for (;;) {
    levity::duration left = levity::duration::max();
    work_.reset();
    {
      const std::lock_guard guard{lock_};
      if (!queue_.empty()) {
        const debt first = queue_.top();
        left = first.due - levity::clock::now();
        if (left <= levity::duration::zero()) {
          queue_.pop();
          co_return first;
        }
      }
    }
    if (left == levity::duration::max()) {
      co_await work_.wait();
    } else {
      (void)co_await levity::with_timeout(left, wait_for(&work_));
    }
  }
}

levity::task<> settlement::settle_in_turn() {
  levity::scope under_way{levity::on_failure::report, "settle"};
  for (;;) {
    const debt first = co_await next();
    (void)co_await pace_.take();
    if (where_.is_well()) {
      auto place = co_await places_.admit();
      if (!place) continue;  // cannot be: nobody but this loop waits
      under_way.spawn("booking", [](settlement* self, debt of, levity::bulkhead::permit) -> levity::task<> {
        (void)co_await self->settle(of);
      }, this, first, std::move(*place));
      continue;
    }
    const outside::later came = co_await settle(first);
    if (came.became == booked::done) continue;
    const levity::duration pause = drawn(options_.pause, failures_in_a_row_.load(std::memory_order_relaxed));
    co_await levity::sleep(std::max(came.wait, pause));
  }
}

levity::task<outside::later> settlement::settle(debt of) {
  // Until it is done it is owed: a cancelled one is found again at the next start.
  const unsigned in_a_row = failures_in_a_row_.load(std::memory_order_relaxed);
  const auto order = store_.peek(of.order);
  LEVITY_ASSERT(order.has_value(), "an order that owes something is in the book");
  const levity::duration time_max = doubled(options_.call_time, in_a_row, options_.call_time_max);
  outside::later came = co_await where_.book_later(*order, time_max, of.attempts > 0);
  const levity::time_point now = levity::clock::now();
  if (came.became == booked::done) {
    failures_in_a_row_.store(0, std::memory_order_relaxed);
    done(of.order);
    co_return came;
  }
  outstanding_.fetch_sub(1, std::memory_order_relaxed);
  if (came.became == booked::not_asked) {
    owe(of.order, of.attempts, now + drawn(options_.pause, 0));
  } else if (came.became == booked::failed) {
    failures_in_a_row_.store(std::min(in_a_row + 1, doublings_max), std::memory_order_relaxed);
    owe(of.order, of.attempts + 1, now + drawn(options_.pause, of.attempts + 1));
  } else {
    refused_.fetch_add(1, std::memory_order_relaxed);
    owe(of.order, of.attempts + 1, now + options_.refused_pause);
  }
  co_return came;
}

// A random part of it, so that those that failed together do not come again together.
levity::duration settlement::drawn(levity::duration first, unsigned doublings) {
  const levity::duration most = doubled(first, doublings, options_.pause_max);
  const std::lock_guard guard{lock_};
  return most / 2 + levity::duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(most.count() / 2 + 1))));
}

settlement::figures settlement::look() const noexcept {
  return {settled_.load(std::memory_order_relaxed), outstanding_.load(std::memory_order_relaxed),
          refused_.load(std::memory_order_relaxed)};
}

}  // namespace orders
