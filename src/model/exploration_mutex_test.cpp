// Programs by chance, of threads that lock, wait and tell: what the search leaves out must make no difference.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "levity/base/explored_condition.hpp"
#include "levity/base/explored_mutex.hpp"
#include "levity/base/rng.hpp"
#include "levity/model/explore.hpp"

namespace {

namespace model = levity::model;
using levity::detail::explored_condition;
using levity::detail::explored_mutex;
using levity::detail::explored_unique_guard;

enum class does : std::uint8_t { lock, unlock, load, store, note, wait, notify_one, notify_all };
struct instruction {
  does what;
  unsigned which;
};
using thread_program = std::vector<instruction>;
using program = std::vector<thread_program>;
using outcomes = std::set<std::vector<int>>;

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
