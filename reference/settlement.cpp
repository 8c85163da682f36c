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

// A booking that was taken from the queue. Whatever ends it, what was not done comes again.
class settlement::taken_debt {
public:
  taken_debt(settlement& in, debt of) noexcept : in_(&in), of_(of) {}
  taken_debt(taken_debt&& other) noexcept : in_(std::exchange(other.in_, nullptr)), of_(other.of_) {}
  taken_debt& operator=(taken_debt&&) = delete;
  ~taken_debt() {
    if (in_ != nullptr) in_->queue({levity::clock::now() + in_->options_.pause_max, of_.order, of_.attempts + 1});
  }

  [[nodiscard]] const debt& of() const noexcept { return of_; }
  void done() {
    in_->done(of_.order);
    in_ = nullptr;
  }
  void again(unsigned attempts, levity::time_point due) {
    in_->queue({due, of_.order, attempts});
    in_ = nullptr;
  }

private:
  settlement* in_;
  debt of_;
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

levity::task<bool> settlement::book(open_booking open, order_view order) {
  LEVITY_ASSERT(open.in_ == this && open.order_ == order.id, "what is booked was opened here, and told of its order");
  const booked became = co_await where_.book_now(order);
  if (became == booked::done) {
    done(order.id);
    open.order_ = 0;
    co_return true;
  }
  if (became == booked::not_asked) co_return false;
  open.attempts_ = 1;
  if (became == booked::refused) refused_.fetch_add(1, std::memory_order_relaxed);
  open.due_ = levity::clock::now() + (became == booked::refused ? options_.refused_pause : drawn(options_.pause, 1));
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
  while (looked_through_ < last_before_) {
    std::uint64_t after = looked_through_;
    for (const order_view& order : store_.owing(after, look_max)) {
      if (order.id > last_before_) break;
      if ((order.owes & what_) != 0) {
        outstanding_.fetch_add(1, std::memory_order_relaxed);
        try {
          queue({{}, order.id, 0});
        } catch (...) {
          outstanding_.fetch_sub(1, std::memory_order_relaxed);
          throw;
        }
      }
      looked_through_ = order.id;
    }
    looked_through_ = after == 0 ? last_before_ : after;
    co_await levity::yield();
  }
}

levity::task<> settlement::write_marks() {
  for (;;) {
    co_await marked_.wait();
    co_await levity::sleep(marks_linger);
    marked_.reset();
    store_.flush();
  }
}

void settlement::queue(debt of) {
  {
    const std::lock_guard guard{lock_};
    queue_.push(of);
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
levity::task<settlement::taken_debt> settlement::next() {
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
          co_return taken_debt(*this, first);
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
    taken_debt first = co_await next();
    (void)co_await pace_.take();
    if (where_.is_well()) {
      auto place = co_await places_.admit();
      if (!place) continue;  // cannot be: nobody but this loop waits
      under_way.spawn("booking", [](settlement* self, taken_debt of, levity::bulkhead::permit) -> levity::task<> {
        (void)co_await self->settle(std::move(of));
      }, this, std::move(first), std::move(*place));
      continue;
    }
    const outside::later came = co_await settle(std::move(first));
    if (came.became == booked::done) continue;
    const levity::duration pause = drawn(options_.pause, failures_in_a_row_.load(std::memory_order_relaxed));
    co_await levity::sleep(std::max(came.wait, pause));
  }
}

levity::task<outside::later> settlement::settle(taken_debt taken) {
  const debt of = taken.of();
  const unsigned in_a_row = failures_in_a_row_.load(std::memory_order_relaxed);
  // Of one whose customer was sent away in between it may not be durable yet.
  const auto order = co_await store_.find(of.order);
  if (!order) {
    taken.again(of.attempts, levity::clock::now() + options_.refused_pause);
    co_return outside::later{};
  }
  const levity::duration time_max = doubled(options_.call_time, in_a_row, options_.call_time_max);
  outside::later came = co_await where_.book_later(*order, time_max, of.attempts > 0);
  const levity::time_point now = levity::clock::now();
  if (came.became == booked::done) {
    failures_in_a_row_.store(0, std::memory_order_relaxed);
    taken.done();
  } else if (came.became == booked::not_asked) {
    taken.again(of.attempts, now + drawn(options_.pause, 0));
  } else if (came.became == booked::failed) {
    failures_in_a_row_.store(std::min(in_a_row + 1, doublings_max), std::memory_order_relaxed);
    taken.again(of.attempts + 1, now + drawn(options_.pause, of.attempts + 1));
  } else {
    refused_.fetch_add(1, std::memory_order_relaxed);
    taken.again(of.attempts + 1, now + options_.refused_pause);
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
