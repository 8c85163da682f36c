// The rules of shedding, one by one; then at twice the capacity, in virtual time: what is served, how late, and who loses.
#include "levity/resilience/detail/shed_queue.hpp"
#include "tests/support/moments.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>


namespace lv = levity;
using namespace std::chrono_literals;
using lv::detail::running_median;
using lv::detail::shed_entry;
using lv::detail::shed_queue;
using lv::test::at;

namespace {

using fate = shed_entry::fate;

// A queue by hand: what each call became.
class bench {
public:
  explicit bench(lv::load_shedder_options options) : queue(options) {}
  ~bench() {
    for (auto& each : calls_) {
      if (each->what == fate::waits) queue.remove(*each);
    }
  }

  shed_entry& ask(lv::duration when, lv::call_class call = {}) {
    calls_.push_back(std::make_unique<shed_entry>());
    shed_entry& made = *calls_.back();
    shed_queue::describe(made, call, at(when));
    queue.ask(made, at(when), settled);
    if (made.what == fate::asks) queue.wait(made, at(when), settled);
    forget_settled();
    return made;
  }
  void end(lv::duration when, lv::duration took = 1ms, lv::verdict said = lv::verdict::success) {
    queue.end(at(when - took), said, at(when), settled);
    forget_settled();
  }

  shed_queue queue;
  lv::detail::link_list settled;
  int settled_last = 0;  // at the last event

private:
  void forget_settled() {
    settled_last = 0;
    while (settled.pop_front() != nullptr) settled_last++;
    queue.check_invariants();
  }
  std::vector<std::unique_ptr<shed_entry>> calls_;
};

lv::call_class of(int priority, int cohort = 0) {
  return {.priority = static_cast<std::uint8_t>(priority), .cohort = static_cast<std::uint8_t>(cohort)};
}

// One place, and a queue that has been standing for an interval. At 200 ms: one call inside, one of priority 3 that has just come.
void overload(bench& on) {
  (void)on.ask(0ms);
  for (auto when = 1ms; when <= 200ms; when += 1ms) {
    (void)on.ask(when);
    if (when % 2ms == 0ms) on.end(when);
  }
}

TEST(running_median, follows_the_middle_and_not_the_mean) {
  lv::rng random{3};
  running_median middle;
  EXPECT_EQ(middle.value(), 0);
  for (int i = 0; i < 20'000; i++) middle.add(static_cast<double>(lv::test::exponential(random, 10ms).count()));
  EXPECT_NEAR(middle.value() / 6.93e6, 1, 0.3);
  for (int i = 0; i < 500; i++) middle.add(1e6);
  EXPECT_NEAR(middle.value() / 1e6, 1, 0.05);
}

// All who wait have become too late for it, at the same moment: under the lock so many are told at one event, and no more.
TEST(shed_queue, tells_no_more_than_so_many_at_one_event_that_they_are_too_late) {
  bench by{{.concurrent_max = 1, .waiting_max = 2000}};
  (void)by.ask(0ms);
  for (int i = 0; i < 1000; i++) (void)by.ask(1ms, {.deadline = at(60ms)});
  ASSERT_EQ(by.queue.look().waiting, 1000U);
  by.end(55ms, 50ms);  // so calls take longer than is left
  EXPECT_LE(by.settled_last, shed_queue::sheds_max + 1);
  EXPECT_EQ(by.queue.look().refused_too_late, static_cast<std::uint64_t>(shed_queue::sheds_max));
  EXPECT_EQ(by.queue.look().inside, 1U) << "and the place is not kept from who comes next";
  for (int i = 0; i < 1000 && by.queue.look().waiting > 0; i++) by.end(56ms);
  EXPECT_EQ(by.queue.look().waiting, 0U);
}

TEST(shed_queue, in_calm_the_higher_priority_goes_first_and_each_in_its_order) {
  bench on{{.concurrent_max = 1}};
  EXPECT_EQ(on.ask(0ms).what, fate::admitted);
  shed_entry& low = on.ask(1ms, of(4));
  shed_entry& first = on.ask(2ms, of(1, 100));
  shed_entry& second = on.ask(3ms, of(1, 0));
  for (shed_entry* each : {&first, &second, &low}) {
    EXPECT_EQ(each->what, fate::waits);
    on.end(4ms);
    EXPECT_EQ(each->what, fate::admitted);
  }
}

TEST(shed_queue, a_burst_is_no_overload) {
  bench on{{.concurrent_max = 1}};
  std::vector<shed_entry*> all;
  for (int i = 0; i < 50; i++) all.push_back(&on.ask(0ms));
  for (int i = 1; i <= 50; i++) on.end(i * 1ms);  // the last one waits for 50 ms, ten times the target
  for (shed_entry* each : all) EXPECT_EQ(each->what, fate::admitted);
  EXPECT_FALSE(on.queue.look().overloaded);
}

TEST(shed_queue, a_queue_that_stands_for_an_interval_is_overload_and_an_interval_without_ends_it) {
  bench on{{.concurrent_max = 1}};
  overload(on);
  EXPECT_TRUE(on.queue.look().overloaded);
  EXPECT_GT(on.queue.look().refused_waited, 0U);
  auto when = 201ms;
  for (; on.queue.look().waiting > 0; when += 1ms) on.end(when);
  for (; when <= 320ms; when += 10ms) {
    if (on.queue.look().inside > 0) on.end(when);
    (void)on.ask(when);
  }
  EXPECT_FALSE(on.queue.look().overloaded);
}

TEST(shed_queue, under_overload_the_newest_goes_first_and_who_waits_for_some_targets_is_shed) {
  bench on{{.concurrent_max = 1}};
  overload(on);
  shed_entry& older = on.ask(200ms);
  shed_entry& newer = on.ask(201ms);
  on.end(202ms);
  EXPECT_EQ(newer.what, fate::admitted);
  EXPECT_EQ(older.what, fate::waits);
  shed_entry& last = on.ask(203ms, of(5));
  (void)on.ask(213ms);
  EXPECT_EQ(last.what, fate::waits);
  (void)on.ask(214ms);
  EXPECT_EQ(last.what, fate::refused) << "of the last priority after two";
  (void)on.ask(220ms);
  EXPECT_EQ(older.what, fate::waits);
  (void)on.ask(221ms);
  EXPECT_EQ(older.what, fate::refused) << "of the fourth after four";
  EXPECT_EQ(on.queue.refusal(older).cause, lv::rejection_cause::overloaded);
  EXPECT_EQ(on.queue.refusal(older).retry_after, 100ms);
}

TEST(shed_queue, under_overload_the_lower_cohort_goes_first) {
  bench on{{.concurrent_max = 1}};
  overload(on);
  shed_entry& lower = on.ask(201ms, of(3, 5));
  shed_entry& higher = on.ask(202ms, of(3, 90));
  shed_entry& middle = on.ask(202ms, of(3, 70));
  while (lower.what == fate::waits) on.end(213ms);
  EXPECT_EQ(higher.what, fate::waits);
  on.end(213ms);
  EXPECT_EQ(middle.what, fate::admitted);
  EXPECT_EQ(higher.what, fate::waits);
}

TEST(shed_queue, a_priority_that_keeps_up_is_served_in_its_order_even_then) {
  bench on{{.concurrent_max = 1}};
  overload(on);
  shed_entry& first = on.ask(201ms, of(0, 100));
  (void)on.ask(202ms, of(0, 3));
  on.end(203ms);
  EXPECT_EQ(first.what, fate::admitted);
}

TEST(shed_queue, who_would_wait_too_long_behind_higher_ones_is_refused_at_once) {
  bench on{{.concurrent_max = 1}};
  overload(on);  // calls take 1 ms
  for (int i = 0; i < 27; i++) (void)on.ask(201ms, of(1));
  EXPECT_EQ(on.ask(201ms, of(2)).what, fate::refused);
  EXPECT_EQ(on.ask(201ms, of(1)).what, fate::waits);
}

TEST(shed_queue, a_full_queue_makes_room_for_who_is_more_important) {
  bench on{{.concurrent_max = 1, .waiting_max = 3}};
  (void)on.ask(0ms);
  shed_entry& oldest = on.ask(1ms, of(4, 9));
  shed_entry& newest = on.ask(2ms, of(4, 9));
  shed_entry& lower_cohort = on.ask(2ms, of(4, 8));
  EXPECT_EQ(on.ask(3ms, of(4, 9)).what, fate::refused) << "nobody is less important";
  EXPECT_EQ(on.ask(3ms, of(5)).what, fate::refused);
  EXPECT_EQ(on.ask(3ms, of(0)).what, fate::waits);
  EXPECT_EQ(oldest.what, fate::refused);
  EXPECT_EQ(newest.what, fate::waits);
  EXPECT_EQ(lower_cohort.what, fate::waits);
  EXPECT_EQ(on.queue.look().refused_full, 3U);
}

TEST(shed_queue, who_has_less_time_than_calls_take_is_not_begun) {
  bench on{{.concurrent_max = 1}};
  (void)on.ask(0ms);
  on.end(20ms, 20ms);
  EXPECT_EQ(on.queue.look().service, 20ms);
  EXPECT_EQ(on.ask(20ms, {.deadline = at(41ms)}).what, fate::admitted);
  EXPECT_EQ(on.ask(20ms, {.deadline = at(39ms)}).what, fate::refused);
  shed_entry& waits = on.ask(20ms, {.deadline = at(45ms)});
  shed_entry& patient = on.ask(20ms);
  EXPECT_EQ(waits.what, fate::waits);
  EXPECT_EQ(on.queue.until(waits), at(25ms)) << "its patience ends sooner";
  on.end(26ms, 20ms);
  EXPECT_EQ(waits.what, fate::refused);
  EXPECT_EQ(on.queue.refusal(waits).cause, lv::rejection_cause::too_late);
  EXPECT_EQ(patient.what, fate::admitted) << "the place went to the next one";
  shed_entry& forgotten = on.ask(26ms, {.deadline = at(60ms)});
  on.queue.remove(forgotten);
  on.queue.give_up(forgotten);
  EXPECT_EQ(on.queue.refusal(forgotten).cause, lv::rejection_cause::too_late) << "though nobody told the time meanwhile";
  EXPECT_EQ(on.queue.look().refused_too_late, 3U);
}

TEST(shed_queue, keeps_nobody_from_a_place_that_would_stay_empty_while_any_time_is_left) {
  bench on{{.concurrent_max = 2}};
  (void)on.ask(0ms);
  on.end(20ms, 20ms);
  EXPECT_EQ(on.ask(20ms, {.deadline = at(20ms)}).what, fate::refused) << "no time at all";
  EXPECT_EQ(on.ask(20ms, {.deadline = at(21ms)}).what, fate::admitted);
  EXPECT_EQ(on.ask(20ms, {.deadline = at(21ms)}).what, fate::admitted);
  EXPECT_EQ(on.ask(20ms, {.deadline = at(21ms)}).what, fate::refused) << "no place is free";
}

TEST(shed_queue, a_server_that_was_slow_once_is_used_again) {
  bench on{{.concurrent_max = 64}};
  (void)on.ask(0ms);
  on.end(2s, 2s);
  for (auto when = lv::duration{2s}; when < 12s; when += 10ms) {
    ASSERT_EQ(on.ask(when, {.deadline = at(when + 1s)}).what, fate::admitted);
    on.end(when + 10ms, 10ms);
  }
  EXPECT_LT(on.queue.look().service, 20ms);
}

// What was slow first is one call of many: the eight after it say more.
TEST(shed_queue, the_first_call_is_not_taken_for_all) {
  bench on{{.concurrent_max = 64}};
  (void)on.ask(0ms);
  on.end(2s, 2s);
  for (int i = 0; i < 8; i++) {
    (void)on.ask(2s);
    on.end(2s + 10ms, 10ms);
  }
  EXPECT_LT(on.queue.look().service, 300ms);
}

// Reports of 2 s with all the time in the world, and nine times as many calls of 10 ms that have a second, at one call each 10 ms.
// At first only reports succeed, so calls are taken to last 2 s.
TEST(shed_queue, reports_that_take_long_do_not_keep_out_what_is_quick_for_ever) {
  bench on{{.concurrent_max = 32}};
  using ending = std::pair<lv::duration, lv::duration>;  // when, and how long it took
  std::priority_queue<ending, std::vector<ending>, std::greater<>> ends;
  int refused_late = 0;
  for (int i = 0; i < 100; i++) {
    (void)on.ask(i * 2s);
    on.end((i + 1) * 2s, 2s);
  }
  ASSERT_EQ(on.queue.look().service, 2s);
  for (int i = 0; i < 6000; i++) {
    const lv::duration now = 200s + i * 10ms;
    for (; !ends.empty() && ends.top().first <= now; ends.pop()) on.end(ends.top().first, ends.top().second);
    const bool reports = i % 10 == 0;
    const lv::duration takes = reports ? lv::duration{2s} : lv::duration{10ms};
    const shed_entry& made = on.ask(now, reports ? lv::call_class{} : lv::call_class{.deadline = at(now + 1s)});
    if (made.what == fate::admitted) ends.emplace(now + takes, takes);
    if (i >= 3000 && made.what == fate::refused) refused_late++;
  }
  EXPECT_EQ(refused_late, 0);
  EXPECT_LT(on.queue.look().service, 1s);
}

TEST(shed_queue, believes_less_and_less_what_no_success_bears_out) {
  bench on{{.concurrent_max = 1}};
  (void)on.ask(0ms);
  on.end(2s, 2s);
  (void)on.ask(2s);  // and stays: the place is never free, and calls that come would have to wait
  int refused = 0;
  lv::duration when = 3s;
  for (; when < 1h && on.ask(when, {.deadline = at(when + 1s)}).what == fate::refused; when += 100ms) refused++;
  EXPECT_LT(when, 80s);
  EXPECT_GE(when, 34s) << "four intervals, each of four times what calls take";
  EXPECT_GT(refused, 300);
}

TEST(shed_queue, learns_from_successes_alone_how_long_calls_take) {
  bench on{{.concurrent_max = 1}};
  (void)on.ask(0ms);
  on.end(1ms, 1ms, lv::verdict::failure);
  (void)on.ask(1ms);
  on.end(2ms, 1ms, lv::verdict::neutral);
  EXPECT_EQ(on.queue.look().service, 0ms);
}

TEST(shed_queue, waits_that_are_short_beside_the_work_are_none) {
  bench on{{.concurrent_max = 1}};
  (void)on.ask(0ms);
  on.end(200ms, 200ms);
  (void)on.ask(200ms);
  shed_entry& waits = on.ask(200ms);
  EXPECT_EQ(on.queue.until(waits), at(1000ms));
}

TEST(shed_queue, more_places_are_given_to_who_waits_and_fewer_taken_as_calls_end) {
  bench on{{.concurrent_max = 1}};
  (void)on.ask(0ms);
  shed_entry& first = on.ask(0ms);
  shed_entry& second = on.ask(0ms);
  on.queue.set_concurrent_max(2, at(1ms), on.settled);
  EXPECT_EQ(first.what, fate::admitted);
  EXPECT_EQ(second.what, fate::waits);
  on.queue.set_concurrent_max(1, at(1ms), on.settled);
  on.end(2ms);
  EXPECT_EQ(second.what, fate::waits);
  on.end(3ms);
  EXPECT_EQ(second.what, fate::admitted);
}

TEST(shed_queue, observes_without_refusing) {
  bench on{{.concurrent_max = 1, .mode = lv::policy_mode::observe}};
  (void)on.ask(0ms);
  on.end(1ms);
  for (int i = 0; i < 30; i++) EXPECT_EQ(on.ask(2ms).what, fate::admitted);
  EXPECT_EQ(on.ask(2ms, {.deadline = at(2ms)}).what, fate::admitted);
  const auto looked = on.queue.look();
  EXPECT_EQ(looked.inside, 31U);
  EXPECT_EQ(looked.would_have_refused, 10U) << "who finds more than twenty waiting, 1 ms each, and who is too late";
  EXPECT_EQ(looked.refused_waited, 0U);
}

TEST(shed_queue, cohorts_spread_users_and_change_with_the_epoch) {
  std::array<int, lv::call_class::cohorts> users{};
  int moved = 0;
  for (std::uint64_t user = 0; user < 12'800; user++) {
    users[lv::cohort_of(user)]++;
    moved += lv::cohort_of(user) != lv::cohort_of(user, 1) ? 1 : 0;
  }
  EXPECT_GT(*std::min_element(users.begin(), users.end()), 50);
  EXPECT_LT(*std::max_element(users.begin(), users.end()), 150);
  EXPECT_GT(moved, 12'000);
  EXPECT_EQ(lv::cohort_of("ann"), lv::cohort_of("ann"));
  EXPECT_LT(lv::cohort_of("ann"), 128);
}

// Everything in any order: each call has one fate, the figures add up, and the equations hold after each step.
TEST(shed_queue, gives_each_call_one_fate_whatever_happens) {
  std::uint64_t gave_up = 0;
  for (std::uint64_t seed = 1; seed <= 15; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    lv::rng random{seed};
    shed_queue queue{{.concurrent_max = static_cast<std::uint32_t>(1 + random.below(6)),
                      .waiting_max = static_cast<std::uint32_t>(random.below(40)),
                      .target = std::chrono::microseconds(1 + random.below(5000)),
                      .interval = std::chrono::microseconds(1 + random.below(50'000))}};
    std::vector<std::unique_ptr<shed_entry>> asking;
    std::vector<lv::duration> inside;
    std::array<std::uint64_t, 4> fates{};
    std::uint64_t left = 0;
    lv::duration now{};
    lv::detail::link_list settled;
    const auto take_fates = [&] {
      while (settled.pop_front() != nullptr) {
      }
      for (std::size_t i = 0; i < asking.size();) {
        if (asking[i]->what == fate::waits) {
          i++;
          continue;
        }
        fates[static_cast<std::size_t>(asking[i]->what)]++;
        if (asking[i]->what == fate::admitted) inside.push_back(now);
        asking[i] = std::move(asking.back());
        asking.pop_back();
      }
      queue.check_invariants();
    };
    for (int step = 0; step < 2000; step++) {
      now += lv::test::exponential(random, 300us);
      const auto draw = random.below(100);
      if (draw < 55) {
        lv::call_class call = of(static_cast<int>(random.below(8)), static_cast<int>(random.below(140)));
        if (random.below(3) == 0) call.deadline = at(now + std::chrono::microseconds(random.below(8000)));
        asking.push_back(std::make_unique<shed_entry>());
        shed_entry& made = *asking.back();
        shed_queue::describe(made, call, at(now));
        queue.ask(made, at(now), settled);
        if (made.what == fate::asks) queue.wait(made, at(now), settled);
      } else if (draw < 90 && !inside.empty()) {
        const std::size_t which = random.below(inside.size());
        const lv::duration began = inside[which];
        inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(which));
        queue.end(at(began), static_cast<lv::verdict>(random.below(3)), at(now), settled);
      } else if (draw < 95 && !asking.empty()) {
        shed_entry& chosen = *asking[random.below(asking.size())];
        queue.remove(chosen);
        if (random.below(2) == 0) {
          queue.give_up(chosen);
          gave_up++;
        } else {
          queue.count_left();
          chosen.what = fate::asks;
          left++;
        }
      } else if (draw >= 98) {
        queue.set_concurrent_max(static_cast<std::uint32_t>(random.below(8)), at(now), settled);
        queue.check_invariants();
      }
      take_fates();
    }
    const auto looked = queue.look();
    EXPECT_EQ(looked.admitted, fates[static_cast<std::size_t>(fate::admitted)]);
    EXPECT_EQ(looked.refused_waited + looked.refused_full + looked.refused_too_late,
              fates[static_cast<std::size_t>(fate::refused)]);
    EXPECT_EQ(looked.left, left);
    EXPECT_EQ(looked.inside, inside.size());
    EXPECT_EQ(looked.waiting, asking.size());
    std::uint64_t refused = 0;
    for (const auto each : looked.refused_by_priority) refused += each;
    EXPECT_EQ(refused, fates[static_cast<std::size_t>(fate::refused)]);
    for (auto& each : asking) queue.remove(*each);
  }
  EXPECT_GT(gave_up, 0U);
}

// A server with as many places as the queue lets in, and calls that come at random.
class server {
public:
  server(std::uint64_t seed, lv::load_shedder_options options, lv::duration service)
      : queue(options), random_(seed), places_(options.concurrent_max), service_(service) {}

  struct seen {
    std::array<std::uint64_t, lv::call_class::priorities> asked{};
    std::array<std::uint64_t, lv::call_class::priorities> refused{};
    std::vector<lv::duration> took;  // of those that were served, from asking on
    std::uint64_t done = 0;
    lv::duration last_refusal{};
    [[nodiscard]] lv::duration took_at(double quantile) {
      std::sort(took.begin(), took.end());
      return took[static_cast<std::size_t>(quantile * static_cast<double>(took.size() - 1))];
    }
  };

  /// For `span`, at `load` times the capacity.
  seen run(lv::duration span, double load, bool with_deadlines = false) {
    seen what;
    what_ = &what;
    const lv::duration until = now_ + span;
    const auto gap = lv::duration{static_cast<std::int64_t>(static_cast<double>(service_.count()) / places_ / load)};
    events_.push({now_ + lv::test::exponential(random_, gap), kind::arrival, nullptr});
    while (!events_.empty() && events_.top().when < until) {
      const event next = events_.top();
      events_.pop();
      now_ = next.when;
      switch (next.what) {
        case kind::arrival:
          arrive(with_deadlines);
          events_.push({now_ + lv::test::exponential(random_, gap), kind::arrival, nullptr});
          break;
        case kind::end:
          what.done++;
          what.took.push_back(now_ - next.of->asked);
          queue.end(at(next.of->began), lv::verdict::success, at(now_), settled_);
          take_fates();
          next.of->what = fate::asks;
          free_.push_back(next.of);
          break;
        case kind::patience:
          if (next.of->what == fate::waits && queue.until(*next.of) <= at(now_) && next.of->arrived == at(next.of->asked)) {
            queue.remove(*next.of);
            queue.give_up(*next.of);
            refuse(*next.of);
          }
          break;
      }
    }
    // What is under way goes on in the next run; its arrivals begin anew.
    std::priority_queue<event> kept;
    for (; !events_.empty(); events_.pop()) {
      if (events_.top().what != kind::arrival) kept.push(events_.top());
    }
    events_ = std::move(kept);
    now_ = until;
    return what;
  }

  [[nodiscard]] double capacity(lv::duration span) const {
    return places_ * static_cast<double>(span.count()) / static_cast<double>(service_.count());
  }
  [[nodiscard]] lv::duration now() const { return now_; }

  shed_queue queue;

private:
  struct call : shed_entry {
    lv::duration asked{};
    lv::duration began{};
  };
  enum class kind : std::uint8_t { arrival, end, patience };
  struct event {
    lv::duration when;
    kind what;
    call* of;
    bool operator<(const event& other) const { return when > other.when; }
  };

  void arrive(bool with_deadlines) {
    if (free_.empty()) {
      all_.push_back(std::make_unique<call>());
      free_.push_back(all_.back().get());
    }
    call& made = *free_.back();
    free_.pop_back();
    made.asked = now_;
    lv::call_class what = of(static_cast<int>(random_.below(lv::call_class::priorities)), static_cast<int>(random_.below(128)));
    if (with_deadlines) what.deadline = at(now_ + 5 * service_);
    shed_queue::describe(made, what, at(now_));
    what_->asked[made.priority]++;
    queue.ask(made, at(now_), settled_);
    if (made.what == fate::asks) {
      queue.wait(made, at(now_), settled_);
      events_.push({(queue.until(made) - at(0ns)) + 1ns, kind::patience, &made});
    }
    if (made.what != fate::waits) take_fate(made);
    take_fates();
  }
  void take_fates() {
    while (lv::detail::list_link* const first = settled_.pop_front()) take_fate(static_cast<call&>(shed_entry::from_age(*first)));
  }
  void take_fate(call& of_call) {
    if (of_call.what == fate::refused) return refuse(of_call);
    of_call.began = now_;
    events_.push({now_ + lv::test::exponential(random_, service_), kind::end, &of_call});
  }
  void refuse(call& of_call) {
    what_->refused[of_call.priority]++;
    what_->last_refusal = now_;
    of_call.what = fate::asks;
    free_.push_back(&of_call);
  }

  lv::rng random_;
  const std::uint32_t places_;
  const lv::duration service_;
  lv::duration now_{};
  seen* what_ = nullptr;
  lv::detail::link_list settled_;
  std::priority_queue<event> events_;
  std::vector<std::unique_ptr<call>> all_;
  std::vector<call*> free_;
};

TEST(shed_queue, at_twice_the_capacity_it_serves_at_capacity_in_time_and_the_important_lose_nothing) {
  struct shape {
    std::uint32_t places;
    lv::duration service;
    bool with_deadlines;
  };
  for (const shape& each : {shape{16, 10ms, false}, shape{16, 10ms, true}, shape{64, 20ms, false}, shape{8, 50ms, false},
                            shape{256, 5ms, false}}) {
    for (std::uint64_t seed = 1; seed <= 2; seed++) {
      SCOPED_TRACE(std::to_string(each.places) + " places, seed " + std::to_string(seed));
      server all{seed, {.concurrent_max = each.places}, each.service};
      const lv::duration span = std::clamp<lv::duration>(20'000 * each.service / each.places, 2s, 30s);
      all.run(3s, 0.5, each.with_deadlines);
      auto calm = all.run(span, 0.5, each.with_deadlines);
      const lv::duration unloaded = calm.took_at(0.99);
      EXPECT_EQ(calm.refused[0], 0U);
      auto seen = all.run(span, 2, each.with_deadlines);
      EXPECT_GE(static_cast<double>(seen.done), 0.9 * all.capacity(span)) << "goodput";
      EXPECT_LE(seen.took_at(0.99), 2 * unloaded) << "how late";
      // Beside a deadline of five times the mean, exponential work is too late by itself now and then; the last one is not begun.
      const double odd = each.with_deadlines ? 0.001 : 0;
      EXPECT_LT(static_cast<double>(seen.refused[0]), (0.001 + odd) * static_cast<double>(seen.asked[0]));
      // The second comes behind two thirds of the capacity, and waits for long where there are few places.
      EXPECT_LT(static_cast<double>(seen.refused[1]), (each.places < 16 ? 0.06 : 0.01) * static_cast<double>(seen.asked[1]));
      EXPECT_GT(static_cast<double>(seen.refused[5]), 0.9 * static_cast<double>(seen.asked[5]));
      const lv::duration ended = all.now();
      auto after = all.run(3s, 0.5, each.with_deadlines);
      EXPECT_LE(after.last_refusal - ended, 2s) << "recovery";
      EXPECT_LE(after.took_at(0.99), 3 * unloaded / 2);
      EXPECT_FALSE(all.queue.look().overloaded);
      all.queue.check_invariants();
    }
  }
}

}  // namespace
