// Every primitive of this room against a model of it in plain words, under a million cancellations.
//
// A drill has twelve seats. In each sits, for a while, one operation: a task in a scope of its own, so that it can be cancelled
// alone. A step starts operations, cancels some and does what wakes others, at random and without a pause between; then the
// world stands still and every operation is compared with the model: who was to end has ended, and so; who was to wait still
// waits; and the primitive counts what the model counts. The run is a simulated one: ready tasks run in an order drawn from the
// seed, and "the world stands still" is a millisecond of virtual time, which passes only when nobody can run.
//
// An operation tells the model that it begins in the same breath in which it does, so the model sees all in the order in which
// it happened. It is cancelled before it began, while it waits, after it was served but before it ran, or by a deadline, which
// passes when all else is over; at most one of these in a step.
//
// At the end the same operations run on two workers and are cancelled from the other one, where only sums can be checked.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/barrier.hpp"
#include "levity/sync/broadcast.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/condition.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/latch.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/sync/once.hpp"
#include "levity/sync/select.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/sync/shared_mutex.hpp"
#include "levity/sync/single_flight.hpp"
#include "levity/sync/wait_group.hpp"
#include "levity/sync/watch.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

// Sixteen drills: more than a million together.
constexpr int cancellations_each = 90'000 / slow_build_factor;
constexpr int instances = 10;  // of the primitive, each with a seed of its own

enum class result : std::uint8_t { pending, done, last, failed, closed, cancelled, timed_out, did_not_begin };

constexpr const char* name_of(result which) {
  constexpr const char* names[] = {"pending", "done", "last", "failed", "closed", "cancelled", "timed out", "did not begin"};
  return names[static_cast<int>(which)];
}

result from(const lv::cancelled& thrown) {
  return thrown.reason() == lv::cancel_reason::deadline ? result::timed_out : result::cancelled;
}

using line = std::deque<int>;  // seats, the first to come in front

int pop(line& of) {
  const int first = of.front();
  of.pop_front();
  return first;
}

class drill {
public:
  explicit drill(std::uint64_t seed) : random{seed} {}
  drill(const drill&) = delete;
  drill& operator=(const drill&) = delete;
  virtual ~drill() = default;

  lv::task<> run(int cancellations_wanted) {
    for (int step = 0; cancellations_ < cancellations_wanted && !testing::Test::HasFailure(); step++) {
      step_ = step;
      deadlines_ = 0;
      for (auto actions = 1 + random.below(actions_max()); actions > 0; actions--) {
        const auto dice = random.below(100);
        if (dice < 48) {
          start();
        } else if (dice < 78) {
          cancel(static_cast<int>(random.below(seats_max)));
        } else {
          act();
        }
      }
      co_await stand_still();
      check();
    }
    for (int s = 0; s < seats_max; s++) cancel(s);
    co_await stand_still();
    for (const seat& each : seats) EXPECT_FALSE(each.taken) << "a cancelled operation ends";
    check();
    release();
  }

  [[nodiscard]] int cancellations() const { return cancellations_; }
  [[nodiscard]] int told_too_late() const { return too_late; }

protected:
  static constexpr int seats_max = 12;

  struct seat {
    std::optional<lv::scope> scope;
    bool taken = false;
    bool begun = false;
    bool told = false;      // to end
    bool deadline = false;  // will pass when all else is over
    result expected = result::pending;
    result seen = result::pending;
  };

  // The operation of a seat, from begin() on; sets `seen`.
  virtual lv::task<> operate(int s) = 0;
  // The model: an operation asks, or stops waiting.
  virtual void come(int s) = 0;
  virtual void leave(int s) = 0;
  // Something that may wake others, done to the model and then to the primitive.
  virtual void act() = 0;
  // What the model leaves open.
  virtual void observe() {}
  // When the world stands still: the primitive and the model count the same. May replace it by a fresh one.
  virtual void check() = 0;
  // After the last step: nothing was left behind.
  virtual void release() = 0;
  [[nodiscard]] virtual bool refuses_the_told() const { return true; }
  [[nodiscard]] virtual std::uint64_t actions_max() const { return 4; }

  void begin(int s) {
    seats[s].begun = true;
    if (seats[s].told && refuses_the_told()) {
      grant(s, result::cancelled);
    } else {
      come(s);
    }
  }
  void grant(int s, result how = result::done) {
    EXPECT_EQ(name_of(seats[s].expected), name_of(result::pending)) << "the model serves an operation once";
    seats[s].expected = how;
  }
  void grant_all(line& of, result how = result::done) {
    while (!of.empty()) grant(pop(of), how);
  }
  [[nodiscard]] bool is_pending(int s) const {
    return seats[s].taken && seats[s].begun && seats[s].expected == result::pending;
  }

  void cancel(int s) {
    seat& mine = seats[s];
    if (!mine.taken || mine.told) return;
    mine.told = true;
    if (is_pending(s)) {
      leave(s);
      grant(s, result::cancelled);
    } else if (mine.begun) {
      too_late++;
    }
    mine.scope->cancel();
  }

  std::array<seat, seats_max> seats;
  lv::rng random;
  int too_late = 0;  // told to end when they had been served

private:
  static lv::task<> nap() { co_await lv::sleep(1us); }

  static lv::task<> sit(drill* self, int s, bool deadline) {
    // A task that has waited before learns in another way that it was cancelled.
    if (self->random.below(4) == 0) co_await lv::shield(nap());
    if (deadline) {
      co_await lv::with_deadline(500us, self->operate(s));
    } else {
      co_await self->operate(s);
    }
  }

  void start() {
    const auto s = static_cast<int>(random.below(seats_max));
    seat& mine = seats[s];
    if (mine.taken) return;
    mine.taken = true;
    mine.begun = mine.told = false;
    mine.deadline = deadlines_ == 0 && random.below(6) == 0;
    deadlines_ += mine.deadline ? 1 : 0;
    mine.expected = mine.seen = result::pending;
    mine.scope.emplace();
    mine.scope->spawn(&drill::sit, this, s, mine.deadline);
    if (random.below(8) == 0) cancel(s);
  }

  lv::task<> stand_still() {
    co_await lv::sleep(1ms);
    observe();
    for (int s = 0; s < seats_max; s++) {
      if (!seats[s].deadline || !is_pending(s)) continue;
      leave(s);
      grant(s, result::timed_out);
    }
    observe();
    for (int s = 0; s < seats_max; s++) {
      seat& mine = seats[s];
      if (!mine.taken) continue;
      mine.deadline = false;
      EXPECT_TRUE(mine.begun);
      EXPECT_EQ(name_of(mine.seen), name_of(mine.expected)) << "seat " << s << ", step " << step_;
      if (mine.seen == result::pending) continue;
      if (mine.seen == result::cancelled || mine.seen == result::timed_out) cancellations_++;
      co_await mine.scope->join();
      mine.scope.reset();
      mine.taken = false;
    }
  }

  int cancellations_ = 0;
  int deadlines_ = 0;
  int step_ = 0;
};

template <class Drill, class... Options>
void run_drill(Options... options) {
  int cancellations = 0;
  int too_late = 0;
  for (std::uint64_t seed = 1; seed <= instances && !testing::Test::HasFailure(); seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::runtime_options simulated;
    simulated.backend = lv::runtime_options::sockets::sim;
    simulated.workers = 1;
    simulated.seed = seed;
    simulated.handle_signals = false;
    lv::run_with(simulated, [](std::uint64_t drawn_from, int* cancelled, int* late, Options... of) -> lv::task<> {
      Drill subject(drawn_from, of...);
      co_await subject.run(cancellations_each / instances);
      *cancelled += subject.cancellations();
      *late += subject.told_too_late();
    }, seed, &cancellations, &too_late, options...);
  }
  EXPECT_GE(cancellations, cancellations_each / instances * instances);
  EXPECT_GT(too_late, 0) << "some were cancelled when they were served already";
}

// ---- one owner -------------------------------------------------------------------------------------------------------

class mutex_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    begin(s);
    try {
      held_ = co_await mutex_.lock();
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (owned_) return line_.push_back(s);
    owned_ = true;
    grant(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    if (held_) {
      owned_ = !line_.empty();
      if (owned_) grant(pop(line_));
      held_.unlock();
    } else {
      EXPECT_EQ(static_cast<bool>(mutex_.try_lock()), !owned_);
    }
  }
  void check() override {
    EXPECT_EQ(static_cast<bool>(held_), owned_);
    EXPECT_EQ(mutex_.waiters_approx(), line_.size());
  }
  void release() override {
    held_.unlock();
    EXPECT_TRUE(mutex_.try_lock());
  }

  bool owned_ = false;
  line line_;
  lv::mutex mutex_;
  lv::mutex::guard held_;
};

// ---- permits ---------------------------------------------------------------------------------------------------------

// What a semaphore and a shared mutex have in common.
class permits_drill : public drill {
public:
  permits_drill(std::uint64_t seed, std::uint64_t permits) : drill(seed), free_(permits) {}

protected:
  void ask(int s, std::uint64_t wants) {
    wants_[s] = wants;
    begin(s);
  }
  void come(int s) override {
    line_.push_back(s);
    if (line_.size() == 1) serve();
  }
  void leave(int s) override {
    std::erase(line_, s);
    serve();
  }
  void serve() {
    while (!line_.empty() && wants_[line_.front()] <= free_) {
      free_ -= wants_[line_.front()];
      grant(pop(line_));
    }
  }
  [[nodiscard]] bool would_get(std::uint64_t permits) const { return line_.empty() && permits <= free_; }

  std::uint64_t free_;
  line line_;
  std::array<std::uint64_t, seats_max> wants_{};
};

class semaphore_drill : public permits_drill {
public:
  explicit semaphore_drill(std::uint64_t seed) : permits_drill(seed, total) {}

private:
  static constexpr std::uint64_t total = 5;

  lv::task<> operate(int s) override {
    const std::uint64_t permits = 1 + random.below(4);
    ask(s, permits);
    try {
      co_await semaphore_.acquire(permits);
      out_ += permits;
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void act() override {
    const std::uint64_t permits = 1 + random.below(4);
    if (out_ >= permits) {
      out_ -= permits;
      free_ += permits;
      serve();
      semaphore_.release(permits);
    } else {
      const bool got = semaphore_.try_acquire(permits);
      EXPECT_EQ(got, would_get(permits));
      if (!got) return;
      out_ += permits;
      free_ -= permits;
    }
  }
  void check() override {
    EXPECT_EQ(semaphore_.available_approx(), free_);
    EXPECT_EQ(free_ + out_, total);
  }
  void release() override {
    semaphore_.release(out_);
    EXPECT_EQ(semaphore_.available_approx(), total);
  }

  std::uint64_t out_ = 0;
  lv::semaphore semaphore_{total};
};

class shared_mutex_drill : public permits_drill {
public:
  explicit shared_mutex_drill(std::uint64_t seed) : permits_drill(seed, whole) {}

private:
  static constexpr std::uint64_t whole = 1'000;

  lv::task<> operate(int s) override {
    const bool writes = random.below(3) == 0;
    ask(s, writes ? whole : 1);
    try {
      if (writes) {
        writer_ = co_await mutex_.lock();
      } else {
        readers_.push_back(co_await mutex_.lock_shared());
      }
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void act() override {
    if (writer_) {
      free_ += whole;
      serve();
      writer_.unlock();
    } else if (!readers_.empty()) {
      free_++;
      serve();
      std::swap(readers_[random.below(readers_.size())], readers_.back());
      readers_.pop_back();
    } else {
      EXPECT_EQ(static_cast<bool>(mutex_.try_lock()), would_get(whole));
      EXPECT_EQ(static_cast<bool>(mutex_.try_lock_shared()), would_get(1));
    }
  }
  void check() override { EXPECT_EQ((writer_ ? whole : 0) + readers_.size(), whole - free_); }
  void release() override {
    writer_.unlock();
    readers_.clear();
    EXPECT_TRUE(mutex_.try_lock());
  }

  lv::shared_mutex mutex_;
  lv::shared_mutex::guard writer_;
  std::vector<lv::shared_mutex::shared_guard> readers_;
};

// ---- all at once -----------------------------------------------------------------------------------------------------

class event_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    begin(s);
    try {
      co_await event_.wait();
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (set_) return grant(s);
    line_.push_back(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    if (set_ || random.below(3) == 0) {
      set_ = false;
      event_.reset();
    } else {
      set_ = true;
      grant_all(line_);
      event_.set();
    }
  }
  void check() override { EXPECT_EQ(event_.is_set(), set_); }
  void release() override {}

  bool set_ = false;
  line line_;
  lv::event event_;
};

class latch_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    const bool arrives = left_ > 0 && random.below(4) == 0;
    if (arrives) count_down();
    begin(s);
    try {
      if (arrives) {
        co_await latch_->arrive_and_wait();
      } else {
        co_await latch_->wait();
      }
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (left_ == 0) return grant(s);
    line_.push_back(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void count_down() {
    if (--left_ == 0) grant_all(line_);
  }
  void act() override {
    if (left_ == 0) return;
    count_down();
    latch_->count_down();
  }
  void check() override {
    if (left_ > 0 || random.below(3) != 0) return;
    left_ = 1 + random.below(6);
    latch_.emplace(left_);
  }
  void release() override {}

  std::uint64_t left_ = 3;
  line line_;
  std::optional<lv::latch> latch_{3};
};

class wait_group_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    begin(s);
    try {
      co_await group_.wait();
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (count_ == 0) return grant(s);
    line_.push_back(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    if (count_ == 0 || random.below(3) == 0) {
      const std::uint64_t more = 1 + random.below(3);
      count_ += more;
      group_.add(more);
    } else {
      const std::uint64_t fewer = 1 + random.below(count_);
      count_ -= fewer;
      if (count_ == 0) grant_all(line_);
      group_.done(fewer);
    }
  }
  void check() override {}
  void release() override {}

  std::uint64_t count_ = 0;
  line line_;
  lv::wait_group group_;
};

class barrier_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    begin(s);
    try {
      const bool last = co_await barrier_->arrive_and_wait();
      seats[s].seen = last ? result::last : result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (line_.size() + 1 < parties_) return line_.push_back(s);
    grant(s, result::last);
    grant_all(line_);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    if (parties_ == 1 || random.below(3) != 0) return;
    if (--parties_ == line_.size()) grant_all(line_);
    barrier_->arrive_and_drop();
  }
  void check() override {
    if (parties_ > 2 || !line_.empty()) return;
    parties_ = 2 + random.below(6);
    barrier_.emplace(parties_);
  }
  void release() override {}

  std::uint64_t parties_ = 4;
  line line_;
  std::optional<lv::barrier> barrier_{4};
};

class watch_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    const std::uint64_t knows = version_ - random.below(std::min<std::uint64_t>(version_, 1) + 1);
    knows_[s] = knows;
    begin(s);
    try {
      const auto now = co_await watch_->changed(knows);
      EXPECT_TRUE(now.version > knows || now.closed);
      EXPECT_EQ(now.version, version_) << "the newest";
      EXPECT_EQ(*now.value, version_);
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override {
    if (version_ > knows_[s] || closed_) return grant(s);
    line_.push_back(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    grant_all(line_);
    if (random.below(16) == 0) {
      closed_ = true;
      watch_->close();
    } else if (!closed_) {
      version_++;
      EXPECT_TRUE(watch_->set(version_));
    } else {
      EXPECT_FALSE(watch_->set(0));
    }
  }
  void check() override {
    EXPECT_EQ(watch_->get().version, version_);
    EXPECT_EQ(watch_->get().closed, closed_);
    if (!closed_) return;
    closed_ = false;
    version_ = 0;
    watch_.emplace(std::uint64_t{0});
  }
  void release() override {}

  std::uint64_t version_ = 0;
  bool closed_ = false;
  line line_;
  std::array<std::uint64_t, seats_max> knows_{};
  std::optional<lv::watch<std::uint64_t>> watch_{std::uint64_t{0}};
};

// Each seat keeps a receiver of its own, from one operation to the next.
class broadcast_drill : public drill {
public:
  explicit broadcast_drill(std::uint64_t seed) : drill(seed) { renew(); }

private:
  static constexpr std::uint64_t capacity = 3;
  using numbers = lv::broadcast<std::uint64_t>;

  void renew() {
    feeds_.clear();
    broadcast_.emplace(capacity);
    sent_ = 0;
    closed_ = false;
    next_.fill(0);
    for (int s = 0; s < seats_max; s++) feeds_.push_back(broadcast_->subscribe());
  }
  lv::task<> operate(int s) override {
    begin(s);
    auto got = co_await feeds_[s].receive();
    std::uint64_t& next = next_[s];
    const std::uint64_t oldest = sent_ > capacity ? sent_ - capacity : 0;
    if (got) {
      EXPECT_GE(next, oldest);
      EXPECT_EQ(**got, next);
      next++;
      seats[s].seen = result::done;
      co_return;
    }
    switch (got.error().why) {
      case lv::broadcast_failure::lagged:
        EXPECT_EQ(got.error().missed, oldest - next);
        EXPECT_GT(oldest, next);
        next = oldest;
        seats[s].seen = result::done;
        break;
      case lv::broadcast_failure::closed: seats[s].seen = result::closed; break;
      case lv::broadcast_failure::cancelled: seats[s].seen = result::cancelled; break;
      case lv::broadcast_failure::timed_out: seats[s].seen = result::timed_out; break;
      case lv::broadcast_failure::would_block: ADD_FAILURE() << "a receive waits";
    }
  }
  void come(int s) override {
    if (next_[s] < sent_) return grant(s);
    if (closed_) return grant(s, result::closed);
    line_.push_back(s);
  }
  void leave(int s) override { std::erase(line_, s); }
  void act() override {
    if (random.below(32) == 0) {
      grant_all(line_, result::closed);
      closed_ = true;
      broadcast_->close();
    } else if (!closed_) {
      grant_all(line_);
      EXPECT_TRUE(broadcast_->send(sent_));
      sent_++;
    } else {
      EXPECT_FALSE(broadcast_->send(0));
    }
  }
  void check() override {
    if (closed_ && random.below(4) == 0) renew();
  }
  void release() override {}

  std::uint64_t sent_ = 0;
  bool closed_ = false;
  line line_;
  std::array<std::uint64_t, seats_max> next_{};
  std::optional<numbers> broadcast_;
  std::vector<numbers::receiver> feeds_;
};

// ---- in two waits ----------------------------------------------------------------------------------------------------

// An operation takes the mutex if it is free, waits for the condition, and leaves with the mutex.
class condition_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    lv::mutex::guard mine = mutex_.try_lock();
    EXPECT_EQ(static_cast<bool>(mine), !owned());
    if (!mine) {
      seats[s].begun = true;
      seats[s].expected = seats[s].seen = result::did_not_begin;
      co_return;
    }
    begin(s);
    try {
      co_await condition_.wait(mine);
      EXPECT_TRUE(mine);
      EXPECT_FALSE(held_);
      held_ = std::move(mine);
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      EXPECT_FALSE(mine);
      seats[s].seen = from(thrown);
    }
  }
  void come(int s) override { line_.push_back(s); }
  void leave(int s) override {
    if (std::erase(line_, s) != 0) return;
    for (line& rank : notified_) std::erase(rank, s);
    std::erase(notified_, line{});
    if (!line_.empty()) notified_.push_back({pop(line_)});  // its notification goes on
  }
  [[nodiscard]] bool owned() const { return held_ || !notified_.empty(); }
  void act() override {
    if (held_ && random.below(2) == 0) {
      held_.unlock();
      return;
    }
    const bool all = random.below(3) == 0;
    // They run in any order, so any of them may be the first at the mutex.
    line rank;
    while (!line_.empty() && (all || rank.empty())) rank.push_back(pop(line_));
    if (!rank.empty()) notified_.push_back(rank);
    if (all) {
      condition_.notify_all();
    } else {
      condition_.notify_one();
    }
    if (rank.empty() || random.below(4) != 0) return;
    too_late++;
    cancel(rank[random.below(rank.size())]);
  }
  void observe() override {
    for (line& rank : notified_) {
      for (const int s : line(rank)) {
        if (seats[s].seen != result::done) continue;
        EXPECT_EQ(&rank, notified_.data()) << "those who were notified first have the mutex first";
        std::erase(rank, s);
        grant(s);
      }
    }
    std::erase(notified_, line{});
  }
  void check() override {
    EXPECT_EQ(static_cast<bool>(held_), owned());
    std::size_t at_the_mutex = 0;
    for (const line& rank : notified_) at_the_mutex += rank.size();
    EXPECT_EQ(mutex_.waiters_approx(), at_the_mutex);
  }
  void release() override {
    held_.unlock();
    EXPECT_TRUE(mutex_.try_lock());
  }
  [[nodiscard]] std::uint64_t actions_max() const override { return 1; }

  line line_;
  std::vector<line> notified_;  // on their way to the mutex, or in its queue; oldest first
  lv::mutex mutex_;
  lv::mutex::guard held_;
  lv::condition condition_;
};

class once_drill : public drill {
public:
  using drill::drill;

private:
  lv::task<> operate(int s) override {
    begin(s);
    try {
      co_await once_->call([this, s] { return work(this, s); });
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    } catch (const std::runtime_error&) {
      seats[s].seen = result::failed;
    }
  }
  static lv::task<> work(once_drill* self, int s) {
    EXPECT_EQ(self->leader_, s);
    co_await self->gate_.acquire();
    if (self->fails_) throw std::runtime_error("as told");
  }
  void come(int s) override {
    if (done_) return grant(s);
    line_.push_back(s);
    if (leader_ < 0) lead();
  }
  void lead() { leader_ = line_.empty() ? -1 : pop(line_); }
  void leave(int s) override {
    if (s == leader_) return lead();
    std::erase(line_, s);
  }
  void act() override {
    if (leader_ < 0) return;
    fails_ = random.below(2) == 0;
    const int told = leader_;
    grant(leader_, fails_ ? result::failed : result::done);
    if (fails_) {
      lead();
    } else {
      done_ = true;
      leader_ = -1;
      grant_all(line_);
    }
    gate_.release();
    if (random.below(4) == 0) cancel(told);
  }
  void check() override {
    EXPECT_EQ(once_->is_done(), done_);
    EXPECT_EQ(gate_.available_approx(), 0U);
    if (!done_ || random.below(3) != 0) return;
    done_ = false;
    once_.emplace();
  }
  void release() override {}
  [[nodiscard]] bool refuses_the_told() const override { return !done_; }
  [[nodiscard]] std::uint64_t actions_max() const override { return 1; }

  bool done_ = false;
  bool fails_ = false;
  int leader_ = -1;
  line line_;
  lv::semaphore gate_{0};
  std::optional<lv::once> once_{std::in_place};
};

class single_flight_drill : public drill {
public:
  using drill::drill;

private:
  // The calls for one key: the first of them leads.
  struct calls {
    int leader = -1;
    line followers;
    bool fails = false;
    lv::semaphore gate{0};
  };

  lv::task<> operate(int s) override {
    const std::uint64_t key = random.below(keys_.size());
    key_[s] = key;
    begin(s);
    try {
      const std::uint64_t got = co_await flights_.run(key, [this, s] { return work(this, s); });
      EXPECT_EQ(got, key);
      seats[s].seen = result::done;
    } catch (const lv::cancelled& thrown) {
      seats[s].seen = from(thrown);
    } catch (const std::runtime_error&) {
      seats[s].seen = result::failed;
    }
  }
  static lv::task<std::uint64_t> work(single_flight_drill* self, int s) {
    calls& mine = self->keys_[self->key_[s]];
    EXPECT_EQ(mine.leader, s);
    co_await mine.gate.acquire();
    if (mine.fails) throw std::runtime_error("as told");
    co_return self->key_[s];
  }
  static void lead(calls& of) { of.leader = of.followers.empty() ? -1 : pop(of.followers); }
  void come(int s) override {
    calls& mine = keys_[key_[s]];
    mine.followers.push_back(s);
    if (mine.leader < 0) lead(mine);
  }
  void leave(int s) override {
    calls& mine = keys_[key_[s]];
    if (s == mine.leader) return lead(mine);
    std::erase(mine.followers, s);
  }
  void act() override {
    calls& of = keys_[random.below(keys_.size())];
    if (of.leader < 0) return;
    const int told = of.leader;
    of.fails = random.below(2) == 0;
    const result how = of.fails ? result::failed : result::done;
    grant(told, how);
    // A leader that is cancelled when its call has ended already keeps what the call brought; the others try for themselves.
    const bool gives_up = random.below(4) == 0 && !seats[told].told;
    lead(of);
    if (!gives_up && of.leader >= 0) {
      grant(of.leader, how);
      grant_all(of.followers, how);
      of.leader = -1;
    }
    of.gate.release();
    if (gives_up) cancel(told);
  }
  void check() override {
    EXPECT_EQ(flights_.size_approx(), static_cast<std::size_t>(std::count_if(keys_.begin(), keys_.end(),
                                                                             [](const calls& of) { return of.leader >= 0; })));
    for (calls& each : keys_) EXPECT_EQ(each.gate.available_approx(), 0U);
  }
  void release() override { EXPECT_EQ(flights_.size_approx(), 0U); }
  [[nodiscard]] std::uint64_t actions_max() const override { return 1; }

  std::array<calls, 2> keys_;
  std::array<std::uint64_t, seats_max> key_{};
  lv::single_flight<std::uint64_t, std::uint64_t> flights_;
};

// ---- channels and select ---------------------------------------------------------------------------------------------

template <class T>
T value_of(std::uint64_t number) {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    return number;
  } else {
    return std::make_unique<std::uint64_t>(number);
  }
}
std::uint64_t number_in(std::uint64_t value) { return value; }
std::uint64_t number_in(const std::unique_ptr<std::uint64_t>& value) { return value ? *value : 0; }

// Two channels. An operation has one or two cases, each a send to or a receive from one of them.
template <class T, bool Selects>
class channel_drill : public drill {
public:
  explicit channel_drill(std::uint64_t seed) : drill(seed) {
    for (model& each : models_) renew(each);
  }

private:
  using channel = lv::channel<T>;

  struct place {
    int s;
    int number;  // which case
    friend bool operator==(const place&, const place&) = default;
  };
  struct model {
    std::optional<channel> real;
    std::size_t capacity = 0;
    bool closed = false;
    std::deque<std::uint64_t> buffer;
    std::deque<place> senders;
    std::deque<place> receivers;
  };
  struct chance {  // a case
    int channel;
    bool sends;
  };
  struct operation {
    std::vector<chance> cases;
    std::uint64_t sends = 0;      // the value
    int winner = -1;              // as the model has it
    std::uint64_t receives = 0;
    bool at_once = false;         // some case was ready when it came; which one is drawn
  };

  void renew(model& which) {
    which.capacity = random.below(4);
    which.closed = false;
    which.real.emplace(which.capacity);
  }

  void win(place whose, result how, std::uint64_t value = 0) {
    operation& mine = operations_[whose.s];
    mine.winner = whose.number;
    mine.receives = value;
    forget(whose.s);
    grant(whose.s, how);
  }
  void forget(int s) {
    for (model& each : models_) {
      std::erase_if(each.senders, [s](place of) { return of.s == s; });
      std::erase_if(each.receivers, [s](place of) { return of.s == s; });
    }
  }

  [[nodiscard]] static bool ready(const model& at, bool sends) {
    if (at.closed) return true;
    return sends ? !at.receivers.empty() || at.buffer.size() < at.capacity : !at.buffer.empty() || !at.senders.empty();
  }
  static place first(std::deque<place>& of) { return of.front(); }
  result send(model& to, std::uint64_t value) {
    if (to.closed) return result::closed;
    if (!to.receivers.empty()) {
      win(first(to.receivers), result::done, value);
    } else {
      to.buffer.push_back(value);
    }
    return result::done;
  }
  result receive(model& from_it, std::uint64_t& value) {
    const bool buffered = !from_it.buffer.empty();
    if (buffered) {
      value = from_it.buffer.front();
      from_it.buffer.pop_front();
    }
    if (!from_it.senders.empty()) {
      const place sender = first(from_it.senders);
      const std::uint64_t next = operations_[sender.s].sends;
      if (buffered) {
        from_it.buffer.push_back(next);
      } else {
        value = next;
      }
      win(sender, result::done);
      return result::done;
    }
    return buffered ? result::done : result::closed;
  }

  void come(int s) override {
    operation& mine = operations_[s];
    for (const chance& each : mine.cases) mine.at_once = mine.at_once || ready(models_[each.channel], each.sends);
    if (mine.at_once) return;
    for (int i = 0; i < static_cast<int>(mine.cases.size()); i++) {
      model& at = models_[mine.cases[i].channel];
      (mine.cases[i].sends ? at.senders : at.receivers).push_back({s, i});
    }
  }
  void leave(int s) override { forget(s); }

  // The operation went on without waiting, with case `number`.
  void went(int s, int number) {
    operation& mine = operations_[s];
    const chance won = mine.cases[number];
    model& at = models_[won.channel];
    EXPECT_TRUE(ready(at, won.sends));
    std::uint64_t value = 0;
    const result how = won.sends ? send(at, mine.sends) : receive(at, value);
    mine.winner = number;
    mine.receives = value;
    grant(s, how);
  }

  void ended(int s, int number, std::optional<lv::channel_error> error, std::uint64_t received, std::uint64_t kept) {
    operation& mine = operations_[s];
    if (mine.at_once && number >= 0) went(s, number);
    const bool sent = number >= 0 && mine.cases[number].sends && !error;
    EXPECT_EQ(kept, sent ? 0 : mine.sends) << "a value that was not sent is still there";
    if (error == lv::channel_error::cancelled) {
      seats[s].seen = result::cancelled;
    } else if (error == lv::channel_error::timed_out) {
      seats[s].seen = result::timed_out;
    } else {
      EXPECT_EQ(number, mine.winner);
      EXPECT_EQ(received, mine.receives);
      seats[s].seen = error ? result::closed : result::done;
    }
  }

  void draw(operation& mine) {
    mine = {};
    mine.cases.push_back({static_cast<int>(random.below(2)), random.below(2) == 0});
    if constexpr (Selects) {
      // At most one of them sends: there is one value.
      if (random.below(4) != 0) {
        mine.cases.push_back({static_cast<int>(random.below(2)), !mine.cases[0].sends && random.below(2) == 0});
      }
    }
    mine.sends = ++values_;
  }

  lv::task<> operate(int s) override {
    operation& mine = operations_[s];
    draw(mine);
    channel& one = *models_[mine.cases[0].channel].real;
    const bool sends = mine.cases[0].sends;
    T value = value_of<T>(mine.sends);
    begin(s);
    if (mine.cases.size() == 1 && !Selects) {
      if (sends) {
        auto sent = co_await one.send(std::move(value));
        ended(s, failed(sent) ? -1 : 0, sent ? std::nullopt : std::optional(sent.error().error), 0,
              sent ? 0 : number_in(sent.error().value));
      } else {
        auto got = co_await one.receive();
        ended(s, failed(got) ? -1 : 0, got ? std::nullopt : std::optional(got.error()), got ? number_in(*got) : 0, mine.sends);
      }
      co_return;
    }
    if (mine.cases.size() == 1) {
      if (sends) {
        auto won = co_await lv::select(lv::send_to(one, value), lv::after(1h));
        selected(s, won, value);
      } else {
        auto won = co_await lv::select(lv::receive_from(one), lv::after(1h));
        selected(s, won, value);
      }
      co_return;
    }
    channel& two = *models_[mine.cases[1].channel].real;
    if (sends) {
      auto won = co_await lv::select(lv::send_to(one, value), lv::receive_from(two));
      selected(s, won, value);
    } else if (mine.cases[1].sends) {
      auto won = co_await lv::select(lv::receive_from(one), lv::send_to(two, value), lv::after(1h));
      selected(s, won, value);
    } else {
      auto won = co_await lv::select(lv::receive_from(one), lv::receive_from(two));
      selected(s, won, value);
    }
  }

  static bool failed(const auto& outcome) {
    if (outcome) return false;
    return outcome.error() == lv::channel_error::cancelled || outcome.error() == lv::channel_error::timed_out;
  }

  void selected(int s, auto& won, const T& value) {
    operation& mine = operations_[s];
    // A value of a type that is copied is still there after it was sent.
    const bool sent = won && mine.cases[won->index()].sends;
    const auto look = [&](auto& outcome) {
      using kind = std::remove_cvref_t<decltype(outcome)>;
      if constexpr (std::is_same_v<kind, std::monostate>) {
        ADD_FAILURE() << "an hour has not passed";
      } else {
        std::uint64_t received = 0;
        std::optional<lv::channel_error> error;
        if (!outcome) error = outcome.error();
        if constexpr (!std::is_void_v<typename kind::value_type>) {
          if (outcome) received = number_in(*outcome);
        }
        ended(s, static_cast<int>(won->index()), error, received, sent && !error ? 0 : number_in(value));
      }
    };
    if (!won) return ended(s, -1, won.error(), 0, number_in(value));
    std::visit(look, *won);
  }

  void act() override {
    model& at = models_[random.below(2)];
    const auto dice = random.below(20);
    if (dice == 0) {
      at.closed = true;
      while (!at.receivers.empty()) win(first(at.receivers), result::closed);
      while (!at.senders.empty()) win(first(at.senders), result::closed);
      at.real->close();
    } else if (dice < 10) {
      const std::uint64_t number = ++values_;
      const bool is_ready = ready(at, true);
      auto sent = at.real->try_send(value_of<T>(number));
      EXPECT_EQ(sent.has_value(), is_ready && !at.closed);
      if (sent) {
        send(at, number);
      } else {
        EXPECT_EQ(number_in(sent.error().value), number);
        EXPECT_EQ(sent.error(), at.closed ? lv::channel_error::closed : lv::channel_error::would_block);
      }
    } else {
      const bool is_ready = ready(at, false);
      auto got = at.real->try_receive();
      std::uint64_t value = 0;
      if (is_ready && receive(at, value) == result::done) {
        EXPECT_TRUE(got);
        EXPECT_EQ(got ? number_in(*got) : 0, value);
      } else {
        EXPECT_EQ(got.error(), at.closed ? lv::channel_error::closed : lv::channel_error::would_block);
      }
    }
  }
  void check() override {
    for (model& each : models_) {
      each.real->core().check_invariants();
      EXPECT_EQ(each.real->size_approx(), each.buffer.size());
      if (!each.closed || random.below(4) != 0) continue;
      if (std::any_of(seats.begin(), seats.end(), [](const seat& of) { return of.taken; }) && Selects) continue;
      empty(each);
      renew(each);
    }
  }
  void empty(model& which) {
    for (; !which.buffer.empty(); which.buffer.pop_front()) {
      auto left = which.real->try_receive();
      EXPECT_TRUE(left);
      EXPECT_EQ(left ? number_in(*left) : 0, which.buffer.front());
    }
  }
  void release() override {
    for (model& each : models_) {
      empty(each);
      EXPECT_FALSE(each.real->try_receive());
    }
  }

  std::array<model, 2> models_;
  std::array<operation, seats_max> operations_;
  std::uint64_t values_ = 0;
};

}  // namespace

TEST(cancellation, of_a_mutex_agrees_with_its_model) { run_drill<mutex_drill>(); }
TEST(cancellation, of_a_shared_mutex_agrees_with_its_model) { run_drill<shared_mutex_drill>(); }
TEST(cancellation, of_a_semaphore_agrees_with_its_model) { run_drill<semaphore_drill>(); }
TEST(cancellation, of_an_event_agrees_with_its_model) { run_drill<event_drill>(); }
TEST(cancellation, of_a_latch_agrees_with_its_model) { run_drill<latch_drill>(); }
TEST(cancellation, of_a_wait_group_agrees_with_its_model) { run_drill<wait_group_drill>(); }
TEST(cancellation, of_a_barrier_agrees_with_its_model) { run_drill<barrier_drill>(); }
TEST(cancellation, of_a_watch_agrees_with_its_model) { run_drill<watch_drill>(); }
TEST(cancellation, of_a_condition_agrees_with_its_model) { run_drill<condition_drill>(); }
TEST(cancellation, of_a_once_agrees_with_its_model) { run_drill<once_drill>(); }
TEST(cancellation, of_a_broadcast_agrees_with_its_model) { run_drill<broadcast_drill>(); }
TEST(cancellation, of_a_single_flight_agrees_with_its_model) { run_drill<single_flight_drill>(); }
TEST(cancellation, of_a_channel_of_values_agrees_with_its_model) { run_drill<channel_drill<std::uint64_t, false>>(); }
TEST(cancellation, of_a_channel_of_objects_agrees_with_its_model) {
  run_drill<channel_drill<std::unique_ptr<std::uint64_t>, false>>();
}
TEST(cancellation, of_a_select_of_values_agrees_with_its_model) { run_drill<channel_drill<std::uint64_t, true>>(); }
TEST(cancellation, of_a_select_of_objects_agrees_with_its_model) {
  run_drill<channel_drill<std::unique_ptr<std::uint64_t>, true>>();
}

// ---- on two workers --------------------------------------------------------------------------------------------------

namespace {

using number_channel = lv::channel<std::uint64_t>;

// One of each, used by all.
struct square {
  static constexpr std::uint64_t permits = 3;
  static constexpr std::uint64_t parties = 3;

  lv::mutex mutex;
  lv::shared_mutex shared_mutex;
  lv::semaphore semaphore{permits};
  lv::event event;
  lv::latch latch{1'000};
  lv::barrier barrier{parties};
  lv::condition condition;
  lv::once once;
  lv::watch<std::uint64_t> watch{0};
  lv::wait_group group;
  number_channel one{2};
  number_channel two{0};

  long under_mutex = 0;
  long under_shared_mutex = 0;
  lv::atomic<long> locks{0};
  lv::atomic<long> shared_locks{0};
  lv::atomic<long> permits_out{0};
  lv::atomic<long> arrivals_last{0};
  lv::atomic<long> phases{0};
  lv::atomic<long> works{0};
  lv::atomic<std::uint64_t> sum_sent{0};
  lv::atomic<std::uint64_t> sum_received{0};
  lv::atomic<long> cancelled{0};
  long cancelled_wanted = 0;

  [[nodiscard]] bool over() const { return cancelled.load(std::memory_order_relaxed) >= cancelled_wanted; }
  void sent(std::uint64_t value) { sum_sent.fetch_add(value, std::memory_order_relaxed); }
  void received(std::uint64_t value) { sum_received.fetch_add(value, std::memory_order_relaxed); }
};

// Gives back what was counted, however the operation ends.
template <class GiveBack>
struct finally {
  GiveBack give_back;
  explicit finally(GiveBack how) : give_back(how) {}
  finally(const finally&) = delete;
  finally& operator=(const finally&) = delete;
  ~finally() { give_back(); }
};

lv::task<> work_once(square* at) {
  co_await lv::yield();
  at->works.fetch_add(1, std::memory_order_relaxed);
}

// One operation of thirteen. False: it was cancelled, and said so by a value.
lv::task<bool> visit(square* at, lv::rng* random) {
  const bool lingers = random->below(3) == 0;
  const std::uint64_t value = random->below(1'000);
  switch (random->below(13)) {
    case 0: {
      const lv::mutex::guard held = co_await at->mutex.lock();
      const long before = at->under_mutex;
      if (lingers) co_await lv::yield();
      at->under_mutex = before + 1;
      at->locks.fetch_add(1, std::memory_order_relaxed);
      at->condition.notify_one();
      break;
    }
    case 1: {
      const auto held = co_await at->shared_mutex.lock();
      const long before = at->under_shared_mutex;
      if (lingers) co_await lv::yield();
      at->under_shared_mutex = before + 1;
      at->shared_locks.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    case 2: {
      const auto held = co_await at->shared_mutex.lock_shared();
      const long before = at->under_shared_mutex;
      if (lingers) co_await lv::yield();
      EXPECT_EQ(at->under_shared_mutex, before);
      break;
    }
    case 3: {
      const auto wanted = static_cast<long>(1 + value % square::permits);
      co_await at->semaphore.acquire(static_cast<std::uint64_t>(wanted));
      const long out = at->permits_out.fetch_add(wanted, std::memory_order_relaxed) + wanted;
      EXPECT_LE(out, static_cast<long>(square::permits));
      const finally back{[at, wanted] {
        at->permits_out.fetch_sub(wanted, std::memory_order_relaxed);
        at->semaphore.release(static_cast<std::uint64_t>(wanted));
      }};
      if (lingers) co_await lv::yield();
      break;
    }
    case 4: {
      if (lingers) {
        at->event.set();
        at->event.reset();
      } else {
        co_await at->event.wait();
      }
      break;
    }
    case 5: {
      co_await at->latch.wait();
      break;
    }
    case 6: {
      const bool last = co_await at->barrier.arrive_and_wait();
      at->phases.fetch_add(1, std::memory_order_relaxed);
      if (last) at->arrivals_last.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    case 7: {
      lv::mutex::guard held = co_await at->mutex.lock();
      co_await at->condition.wait(held);
      at->under_mutex++;
      at->locks.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    case 8: {
      co_await at->once.call([at] { return work_once(at); });
      EXPECT_EQ(at->works.load(std::memory_order_relaxed), 1);
      break;
    }
    case 9: {
      const std::uint64_t seen = at->watch.get().version;
      if (lingers) {
        at->watch.set(seen);
      } else {
        const auto now = co_await at->watch.changed(seen);
        EXPECT_GT(now.version, seen);
      }
      break;
    }
    case 10: {
      if (lingers) {
        co_await at->group.wait();
      } else {
        at->group.add();
        const finally back{[at] { at->group.done(); }};
        co_await lv::yield();
      }
      break;
    }
    case 11: {
      number_channel& c = value % 2 == 0 ? at->one : at->two;
      if (lingers) {
        const auto got = co_await c.receive();
        if (!got) co_return false;
        at->received(*got);
      } else {
        const auto sent = co_await c.send(value);
        if (!sent) co_return false;
        at->sent(value);
      }
      break;
    }
    default: {
      std::uint64_t mine = value;
      const auto won = co_await lv::select(lv::receive_from(at->one), lv::send_to(at->two, mine), lv::receive_from(at->two));
      if (!won) co_return false;
      if (won->index() == 0) at->received(*std::get<0>(*won));
      if (won->index() == 1) at->sent(value);
      if (won->index() == 2) at->received(*std::get<2>(*won));
    }
  }
  co_return true;
}

lv::task<> stroll(square* at, std::uint64_t seed) {
  lv::rng random{seed};
  try {
    while (!at->over()) {
      const bool goes_on = co_await visit(at, &random);
      if (!goes_on) break;
    }
  } catch (const lv::cancelled&) {
  }
  at->cancelled.fetch_add(1, std::memory_order_relaxed);
}

lv::task<> disturb(square* at, std::uint64_t seed) {
  lv::rng random{seed};
  while (!at->over()) {
    lv::scope strollers;
    for (int i = 0; i < 6; i++) strollers.spawn(stroll, at, random());
    for (auto yields = random.below(6); yields > 0; yields--) co_await lv::yield();
    strollers.cancel();
    co_await strollers.join();
  }
}

}  // namespace

TEST(cancellation, on_two_workers_leaves_every_count_even) {
  for (std::uint64_t seed = 1; seed <= 5; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    run_tasks(2, [](std::uint64_t drawn_from) -> lv::task<> {
      square at;
      at.cancelled_wanted = 40'000 / slow_build_factor;
      lv::scope tasks;
      for (std::uint64_t i = 0; i < 4; i++) tasks.spawn(disturb, &at, drawn_from * 100 + i);
      co_await tasks.join();

      // Nobody waits any more, or these would be refused.
      EXPECT_TRUE(at.mutex.try_lock());
      EXPECT_EQ(at.mutex.waiters_approx(), 0U);
      EXPECT_TRUE(at.shared_mutex.try_lock());
      EXPECT_EQ(at.semaphore.available_approx(), square::permits);
      EXPECT_TRUE(at.semaphore.try_acquire(square::permits));
      EXPECT_EQ(at.permits_out.load(std::memory_order_relaxed), 0);
      EXPECT_EQ(at.under_mutex, at.locks.load(std::memory_order_relaxed));
      EXPECT_EQ(at.under_shared_mutex, at.shared_locks.load(std::memory_order_relaxed));
      EXPECT_EQ(at.phases.load(std::memory_order_relaxed),
                at.arrivals_last.load(std::memory_order_relaxed) * static_cast<long>(square::parties));
      co_await at.group.wait();
      while (const auto left = at.one.try_receive()) at.received(*left);
      EXPECT_FALSE(at.two.try_receive());
      EXPECT_EQ(at.sum_sent.load(std::memory_order_relaxed), at.sum_received.load(std::memory_order_relaxed));
      at.one.core().check_invariants();
      at.two.core().check_invariants();
    }, seed);
  }
}
