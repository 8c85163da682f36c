// Mutexes and condition variables: small programs of which it is known what they end with; and programs by chance, of threads that
// lock, wait and tell, where what the search leaves out must make no difference.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/explored_thread.hpp"
#include "levity/base/explored_condition.hpp"
#include "levity/base/explored_mutex.hpp"
#include "levity/base/rng.hpp"
#include "model/test_support.hpp"
#include "model/weakening.hpp"

namespace {

namespace model = levity::model;
using levity::detail::explored_condition;
using levity::detail::explored_guard;
using levity::detail::explored_mutex;
using levity::detail::explored_thread;
using levity::detail::explored_unique_guard;
using model::test::all_of;
using model::test::failure_of;
using model::test::outcomes;
using model::test::relaxed;
using model::test::word;

TEST(mutexes, let_threads_in_one_after_the_other_in_any_order) {
  const outcomes seen = all_of([] {
    explored_mutex lock;
    std::vector<int> came;
    model::cell<int> count{0};
    const auto come = [&](int who) {
      const explored_guard guard{lock};
      count.set(count.get() + 1);
      came.push_back(who);
    };
    model::together([&] { come(1); }, [&] { come(2); }, [&] { come(3); });
    model::require(count.get() == 3, "each has come once");
    return came;
  });
  EXPECT_EQ(seen, (outcomes{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}}));
}

TEST(mutexes, hand_on_what_was_done_before_an_unlock) {
  const outcomes seen = all_of([] {
    explored_mutex lock;
    word data{0};
    model::cell<int> turn{0};
    int first = 0, seen_data = 0;
    model::together(
        [&] {
          data.store(1, relaxed);
          const explored_guard guard{lock};
          turn.set(turn.get() + 1);
        },
        [&] {
          {
            const explored_guard guard{lock};
            first = turn.get();
          }
          seen_data = data.load(relaxed);
        });
    return std::vector{first, seen_data};
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {1, 1}}));
}

TEST(mutexes, order_nothing_for_who_takes_another_one) {
  EXPECT_NE(failure_of([] {
              explored_mutex one, other;
              model::cell<int> data{0};
              const auto write = [&](explored_mutex& by) {
                const explored_guard guard{by};
                data.set(1);
              };
              model::together([&] { write(one); }, [&] { write(other); });
            }).find("beside a write"),
            std::string::npos);
}

// It still keeps the others out, and of what they hand on to each other nothing is lost.
TEST(mutexes, that_are_weakened_at_a_place_order_nothing_there) {
  const auto hold = [](explored_mutex& lock, model::cell<int>* count) {
    const explored_guard guard{lock};
    if (count != nullptr) count->set(count->get() + 1);
  };
  constexpr unsigned weak = __LINE__ + 2;
  const auto hold_weakly = [](explored_mutex& lock, model::cell<int>* count) {
    const explored_guard guard{lock};
    if (count != nullptr) count->set(count->get() + 1);
  };
  const auto takes_part = [&] {
    return failure_of([&] {
      explored_mutex lock;
      model::cell<int> count{0};
      model::together([&] { hold(lock, &count); }, [&] { hold_weakly(lock, &count); });
    });
  };
  const auto stands_between = [&] {
    return failure_of([&] {
      explored_mutex lock;
      model::cell<int> count{0};
      model::together([&] { hold(lock, &count); }, [&] { hold(lock, &count); }, [&] { hold_weakly(lock, nullptr); });
    });
  };
  EXPECT_EQ(takes_part(), "none");
  EXPECT_EQ(stands_between(), "none");
  auto& weakened = model::detail::weakening::of_environment();
  ASSERT_EQ(weakened.read("model/exploration_mutex_test.cpp:" + std::to_string(weak)), "");
  EXPECT_NE(takes_part().find("plain data beside a"), std::string::npos) << takes_part();
  EXPECT_EQ(stands_between(), "none");
  EXPECT_GT(weakened.places().back().made, 0);
}

TEST(mutexes, of_which_two_are_taken_in_opposite_order_are_a_deadlock) {
  const std::string what = failure_of([] {
    explored_mutex one, other;
    const auto take_both = [](explored_mutex& first, explored_mutex& second) {
      const explored_guard outer{first};
      const explored_guard inner{second};
    };
    model::together([&] { take_both(one, other); }, [&] { take_both(other, one); });
  });
  EXPECT_NE(what.find("waits for a lock at"), std::string::npos) << what;
}

TEST(mutexes, are_not_taken_twice_nor_given_back_by_others) {
  const std::string twice = failure_of([] {
    explored_mutex lock;
    const explored_guard outer{lock};
    const explored_guard inner{lock};
  });
  EXPECT_NE(twice.find("waits for a lock at"), std::string::npos) << twice;
  const std::string by_others = failure_of([] {
    explored_mutex lock;
    explored_unique_guard guard{lock};
    model::together([&] { guard.unlock(); });
  });
  EXPECT_NE(by_others.find("what it has not locked"), std::string::npos) << by_others;
}

TEST(mutexes, let_in_who_spins_until_what_they_guard_has_changed) {
  EXPECT_EQ(failure_of([] {
              explored_mutex lock;
              model::cell<bool> ready{false};
              model::together(
                  [&] {
                    for (;;) {
                      {
                        const explored_guard guard{lock};
                        if (ready.get()) return;
                      }
                      model::spin_hint();
                    }
                  },
                  [&] {
                    const explored_guard guard{lock};
                    ready.set(true);
                  });
            }),
            "none");
}

TEST(mutexes, are_those_of_the_system_outside_of_an_exploration) {
  explored_mutex lock;
  explored_condition changed;
  int turns = 0;
  const auto take_turns = [&](int mine) {
    explored_unique_guard guard{lock};
    for (int i = 0; i < 100; i++) {
      changed.wait(guard, [&] { return turns % 2 == mine; });
      turns++;
      changed.notify_all();
    }
    return changed.wait_for(guard, std::chrono::milliseconds(1), [] { return false; });
  };
  explored_thread other{[&] { static_cast<void>(take_turns(1)); }};
  EXPECT_FALSE(take_turns(0));
  other.join();
  EXPECT_EQ(turns, 200);
}

// Who waits holds the lock when it goes on, and has seen what was done under it.
TEST(conditions, end_a_wait_when_what_it_is_for_has_come) {
  const outcomes seen = all_of([] {
    explored_mutex lock;
    explored_condition changed;
    model::cell<int> ready{0};
    int rounds = 0;
    model::together(
        [&] {
          explored_unique_guard guard{lock};
          changed.wait(guard, [&] {
            rounds++;
            return ready.get() != 0;
          });
        },
        [&] {
          const explored_guard guard{lock};
          ready.set(1);
          changed.notify_one();
        });
    return std::vector{rounds};
  });
  EXPECT_EQ(seen, (outcomes{{1}, {2}, {3}}));  // it was there; after a wait; and after one that ended for no reason
}

TEST(conditions, end_a_wait_for_no_reason) {
  EXPECT_NE(failure_of([] {
              explored_mutex lock;
              explored_condition changed;
              model::cell<int> ready{0};
              model::together(
                  [&] {
                    explored_unique_guard guard{lock};
                    if (ready.get() == 0) changed.wait(guard);
                    model::require(ready.get() == 1, "it has come");
                  },
                  [&] {
                    const explored_guard guard{lock};
                    ready.set(1);
                    changed.notify_one();
                  });
            }).find("it has come"),
            std::string::npos);
}

// Between its look and its wait the waiter is told.
TEST(conditions, that_are_told_without_the_lock_may_be_told_too_early) {
  const auto waits = [](bool locks) {
    return failure_of([locks] {
      explored_mutex lock;
      explored_condition changed;
      word ready{0};
      model::together(
          [&] {
            explored_unique_guard guard{lock};
            changed.wait(guard, [&] { return ready.load(relaxed) != 0; });
          },
          [&] {
            explored_unique_guard guard{lock};
            if (!locks) guard.unlock();
            ready.store(1, relaxed);
            if (locks) guard.unlock();
            changed.notify_one();
          });
    });
  };
  EXPECT_EQ(waits(true), "none");
  EXPECT_NE(waits(false).find("waits at"), std::string::npos) << waits(false);
}

TEST(conditions, that_wake_one_wake_any_of_those_who_wait) {
  const outcomes seen = all_of([] {
    explored_mutex lock;
    explored_condition changed;
    model::cell<int> left{0};
    std::vector<int> got;
    const auto take = [&](int who) {
      explored_unique_guard guard{lock};
      changed.wait(guard, [&] { return left.get() != 0; });
      left.set(left.get() - 1);
      got.push_back(who);
    };
    model::together([&] { take(1); }, [&] { take(2); },
                    [&] {
                      for (int i = 0; i < 2; i++) {
                        const explored_guard guard{lock};
                        left.set(left.get() + 1);
                        changed.notify_one();
                      }
                    });
    return got;
  });
  EXPECT_EQ(seen, (outcomes{{1, 2}, {2, 1}}));
}

TEST(conditions, whose_wake_up_goes_to_one_that_cannot_use_it_are_a_standstill) {
  EXPECT_NE(failure_of([] {
              explored_mutex lock;
              explored_condition changed;
              model::cell<int> stage{0};
              const auto wait_for = [&](int wanted) {
                explored_unique_guard guard{lock};
                changed.wait(guard, [&] { return stage.get() == wanted; });
                stage.set(wanted + 1);
                changed.notify_one();
              };
              model::together([&] { wait_for(1); }, [&] { wait_for(2); },
                              [&] {
                                const explored_guard guard{lock};
                                stage.set(1);
                                changed.notify_one();
                              });
            }).find("nobody can go on"),
            std::string::npos);
}

TEST(conditions, reach_their_limit_only_where_there_are_timeouts) {
  const auto waits = [](bool timeouts, bool told) {
    model::options wanted;
    wanted.timeouts = timeouts;
    outcomes seen;
    const model::result found = model::explore(wanted, [&] {
      explored_mutex lock;
      explored_condition changed;
      model::cell<int> ready{0};
      bool came = false;
      model::together(
          [&] {
            explored_unique_guard guard{lock};
            came = changed.wait_for(guard, std::chrono::seconds(1), [&] { return ready.get() != 0; });
          },
          [&] {
            if (!told) return;
            const explored_guard guard{lock};
            ready.set(1);
            changed.notify_all();
          });
      seen.insert({came ? 1 : 0});
    });
    if (found.failure) seen.insert({-1});
    return seen;
  };
  EXPECT_EQ(waits(false, true), (outcomes{{1}}));
  EXPECT_EQ(waits(true, true), (outcomes{{0}, {1}}));
  EXPECT_EQ(waits(true, false), (outcomes{{0}}));
  EXPECT_EQ(waits(false, false), (outcomes{{-1}}));
}

// --- programs by chance ---------------------------------------------------------------------------------------------------------

enum class does : std::uint8_t { lock, unlock, load, store, note, wait, notify_one, notify_all };
struct instruction {
  does what;
  unsigned which;
};
using thread_program = std::vector<instruction>;
using program = std::vector<thread_program>;

constexpr unsigned mutexes = 2;
constexpr unsigned words = 2;
constexpr std::uint64_t executions_max = 5'000;

// Well-formed: who has locked unlocks, in the other order, and takes the mutexes in theirs.
thread_program thread_by_chance(levity::rng& dice, unsigned length, bool waits) {
  thread_program made;
  std::vector<unsigned> held;
  while (made.size() < length || !held.empty()) {
    const bool full = made.size() >= length;
    const auto drawn = full ? 1 : dice.below(waits ? 8 : 6);
    const auto which = static_cast<unsigned>(dice.below(2));
    switch (drawn) {
      case 0:
      case 7:
        if (held.size() == mutexes || (!held.empty() && which <= held.back())) break;
        held.push_back(which);
        made.push_back({does::lock, which});
        break;
      case 1:
        if (held.empty()) break;
        made.push_back({does::unlock, held.back()});
        held.pop_back();
        break;
      case 2: made.push_back({does::load, which}); break;
      case 3: made.push_back({does::store, which}); break;
      case 4:
        if (!held.empty()) made.push_back({does::note, held.back()});
        break;
      case 6:  // with one mutex, or others could never tell it
        if (held.size() == 1) made.push_back({does::wait, held.back()});
        break;
      case 5:
        if (waits) made.push_back({which == 0 ? does::notify_one : does::notify_all, static_cast<unsigned>(dice.below(2))});
        break;
    }
  }
  return made;
}

std::string text(const program& all) {
  static constexpr const char* names[] = {"lock", "unlock", "load", "store", "note", "wait", "notify_one", "notify_all"};
  std::string told;
  for (const thread_program& thread : all) {
    for (const instruction& one : thread) {
      told += std::string(names[static_cast<int>(one.what)]) + " " + std::to_string(one.which) + "; ";
    }
    told += "\n";
  }
  return told;
}

// A run: the words, the mutexes, a condition for each, and what is guarded by each: who has noted something there, in order. What
// its outcome is: all loads, and the notes; -1 at the end where it fails, as it does where somebody waits and nobody tells it.
struct running {
  std::array<explored_mutex, mutexes> locks;
  std::array<explored_condition, mutexes> conditions;
  std::array<model::atomic<int>, words> shared{};
  std::array<std::vector<int>, mutexes> notes;
  std::array<std::vector<int>, 3> loads;

  void run(const thread_program& of, unsigned who) {
    std::array<std::unique_ptr<explored_unique_guard>, mutexes> guards;
    int value = 0;
    for (const instruction& one : of) {
      switch (one.what) {
        case does::lock: guards[one.which] = std::make_unique<explored_unique_guard>(locks[one.which]); break;
        case does::unlock: guards[one.which].reset(); break;
        case does::load: loads[who].push_back(shared[one.which].load(std::memory_order_relaxed)); break;
        case does::store: shared[one.which].store(static_cast<int>(10 * who) + ++value, std::memory_order_relaxed); break;
        case does::note: notes[one.which].push_back(static_cast<int>(who)); break;
        case does::wait: conditions[one.which].wait(*guards[one.which]); break;
        case does::notify_one: conditions[one.which].notify_one(); break;
        case does::notify_all: conditions[one.which].notify_all(); break;
      }
    }
  }

  std::vector<int> outcome() {
    std::vector<int> told;
    for (const auto& list : loads) told.insert(told.end(), list.begin(), list.end());
    for (const auto& list : notes) {
      told.push_back(-2);
      told.insert(told.end(), list.begin(), list.end());
    }
    return told;
  }
};

// Of a program that may come to a standstill: only whether it does. Empty: it has too many executions.
outcomes explored(const program& all, model::options::reduction reduce, std::uint64_t& executions) {
  model::options wanted;
  wanted.reduce = reduce;
  wanted.stale_reads_max = 100;  // a bound is no reduction, and cuts off other executions where there is one
  wanted.executions_max = executions_max;
  outcomes seen;
  const model::result found = model::explore(wanted, [&] {
    running one;
    model::together([&] { one.run(all[0], 0); }, [&] { one.run(all[1], 1); }, [&] {
      if (all.size() > 2) one.run(all[2], 2);
    });
    seen.insert(one.outcome());
  });
  executions = found.executions + found.redundant;
  if (!found.failure) return found.complete ? seen : outcomes{};
  EXPECT_NE(found.failure->what.find("nobody can go on"), std::string::npos) << found.failure->what;
  return {{-1}};
}

void compare(std::uint64_t programs, unsigned threads, unsigned length, bool waits) {
  std::uint64_t least = 0, most = 0, standstills = 0, compared = 0;
  for (std::uint64_t seed = 1; seed <= programs; seed++) {
    levity::rng dice(seed);
    program one;
    for (unsigned i = 0; i < threads; i++) one.push_back(thread_by_chance(dice, length, waits));
    std::uint64_t count = 0;
    const outcomes all = explored(one, model::options::reduction::none, count);
    if (all.empty()) continue;
    compared++;
    most += count;
    for (const auto reduce : {model::options::reduction::sleep, model::options::reduction::races}) {
      ASSERT_EQ(explored(one, reduce, count), all)
          << "seed " << seed << ", reduction " << static_cast<int>(reduce) << '\n' << text(one);
    }
    least += count;
    if (all == outcomes{{-1}}) standstills++;
  }
  EXPECT_GT(compared, programs / 4);
  EXPECT_LT(least, most / 4);
  EXPECT_EQ(standstills != 0, waits);
  EXPECT_LT(standstills, compared * 3 / 4);
}

TEST(mutexes_by_chance, of_two_threads_are_explored_whole) { compare(400, 2, 6, false); }

TEST(mutexes_by_chance, of_three_threads_are_explored_whole) { compare(200, 3, 3, false); }

TEST(conditions_by_chance, of_two_threads_are_explored_whole) { compare(400, 2, 6, true); }

TEST(conditions_by_chance, of_three_threads_are_explored_whole) { compare(200, 3, 3, true); }

}  // namespace
