// The explorer against the standard's own way of saying what memory does. Programs by chance, of a few loads, stores, exchanges and
// fences; of each all outcomes are found twice: by exploring it, and by going through every choice of what each load reads and in
// which order each word is written, and keeping those that obey the rules of C++20 ([intro.races], [atomics.order]). The two sets
// must be the same, whatever the search leaves out.
//
// The rules are taken as they are but for what the machine says it does not do (src/model/memory.hpp): nothing that needs steps in
// an order against sequenced-before, reads-from, the places of read-modify-writes, or the single order of seq_cst.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/model/explore.hpp"

namespace {

namespace model = levity::model;

enum class does : std::uint8_t { load, store, exchange, fence, compare };

struct instruction {
  does what;
  std::size_t word;
  int value;  // that it writes; each another one
  std::memory_order order;
  int expected = -1;  // compare: what it exchanges; a failure is relaxed
};

using program = std::vector<std::vector<instruction>>;  // by thread
using outcomes = std::set<std::vector<int>>;            // of all reads, in order of the text; then the last value of each word

constexpr std::size_t words_count = 2;

bool reads(const instruction& one) { return one.what != does::store && one.what != does::fence; }
bool writes(const instruction& one) { return one.what != does::load && one.what != does::fence; }
bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}

std::string text(const program& all) {
  constexpr std::array names{"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
  std::string said;
  for (const auto& thread : all) {
    said += "  thread:";
    for (const instruction& one : thread) {
      const std::string word(1, static_cast<char>('x' + one.word));
      const std::string order = names[static_cast<std::size_t>(one.order)];
      said += one.what == does::load    ? " load " + word + " " + order
              : one.what == does::store ? " " + word + "=" + std::to_string(one.value) + " " + order
              : one.what == does::fence ? " fence " + order
              : one.what == does::compare
                  ? " compare " + word + " " + std::to_string(one.expected) + "->" + std::to_string(one.value) + " " + order
                                        : " exchange " + word + "->" + std::to_string(one.value) + " " + order;
      said += ';';
    }
    said += '\n';
  }
  return said;
}

std::string text(const outcomes& some) {
  std::string said;
  for (const auto& one : some) {
    said += " (";
    for (const int value : one) said += std::to_string(value) + ' ';
    said += ')';
  }
  return said;
}

program by_chance(levity::rng& dice) {
  constexpr std::array load_orders{std::memory_order_relaxed, std::memory_order_acquire, std::memory_order_seq_cst};
  constexpr std::array store_orders{std::memory_order_relaxed, std::memory_order_release, std::memory_order_seq_cst};
  constexpr std::array orders{std::memory_order_relaxed, std::memory_order_acquire, std::memory_order_release,
                              std::memory_order_acq_rel, std::memory_order_seq_cst};
  program made(2 + dice.below(2));
  int value = 0;
  for (auto& thread : made) {
    const std::size_t length = made.size() == 2 ? 2 + dice.below(3) : 1 + dice.below(3);
    for (std::size_t i = 0; i < length; i++) {
      instruction one{static_cast<does>(dice.below(5)), dice.below(words_count), 0, std::memory_order_seq_cst};
      if (writes(one)) one.value = ++value;
      if (one.what == does::load) one.order = load_orders[dice.below(3)];
      if (one.what == does::store) one.order = store_orders[dice.below(3)];
      if (one.what == does::exchange || one.what == does::compare) one.order = orders[dice.below(5)];
      if (one.what == does::compare) one.expected = static_cast<int>(dice.below(static_cast<std::uint64_t>(value)));
      if (one.what == does::fence) one.order = orders[1 + dice.below(4)];
      thread.push_back(one);
    }
  }
  return made;
}

// --- by exploring ----------------------------------------------------------------------------------------------------

outcomes explored(const program& all, model::options::reduction reduce) {
  model::options wanted;
  wanted.reduce = reduce;
  outcomes seen;
  std::size_t reads_count = 0;
  for (const auto& thread : all) reads_count += static_cast<std::size_t>(std::ranges::count_if(thread, reads));
  const model::result found = model::explore(wanted, [&] {
    std::array<model::atomic<int>, words_count> words;
    std::vector<int> result(reads_count);
    {
      std::vector<std::unique_ptr<model::thread>> threads;
      std::size_t first = 0;
      for (const auto& thread : all) {
        threads.push_back(std::make_unique<model::thread>([&, first] {
          std::size_t at = first;
          for (const instruction& one : thread) {
            if (one.what == does::load) result[at++] = words[one.word].load(one.order);
            if (one.what == does::store) words[one.word].store(one.value, one.order);
            if (one.what == does::exchange) result[at++] = words[one.word].exchange(one.value, one.order);
            if (one.what == does::fence) model::fence(one.order);
            if (one.what == does::compare) {
              int seen_there = one.expected;
              words[one.word].compare_exchange_strong(seen_there, one.value, one.order, std::memory_order_relaxed);
              result[at++] = seen_there;
            }
          }
        }));
        first += static_cast<std::size_t>(std::ranges::count_if(thread, reads));
      }
    }
    for (auto& word : words) result.push_back(word.load(std::memory_order_relaxed));
    seen.insert(result);
  });
  EXPECT_FALSE(found.failure) << found.failure->what;
  EXPECT_TRUE(found.complete);
  return seen;
}

// --- by the rules ----------------------------------------------------------------------------------------------------

// A relation between up to 32 events: by event, the set of those that it points to.
struct relation {
  std::array<std::uint32_t, 32> to{};

  [[nodiscard]] bool has(std::size_t a, std::size_t b) const { return (to[a] >> b & 1) != 0; }
  void add(std::size_t a, std::size_t b) { to[a] |= std::uint32_t{1} << b; }
  void close(std::size_t count) {
    for (std::size_t k = 0; k < count; k++) {
      for (std::size_t i = 0; i < count; i++) {
        if (has(i, k)) to[i] |= to[k];
      }
    }
  }
  [[nodiscard]] bool irreflexive(std::size_t count) const {
    for (std::size_t i = 0; i < count; i++) {
      if (has(i, i)) return false;
    }
    return true;
  }
};

class rules {
public:
  explicit rules(const program& all) {
    for (std::size_t word = 0; word < words_count; word++) events_.push_back({{does::store, word, 0, {}}, -1});
    for (std::size_t t = 0; t < all.size(); t++) {
      for (const instruction& one : all[t]) events_.push_back({one, static_cast<int>(t)});
    }
    for (std::size_t a = 0; a < count(); a++) {
      for (std::size_t b = a + 1; b < count(); b++) {
        if (b >= words_count && (a < words_count || events_[a].thread == events_[b].thread)) before_.add(a, b);
      }
      if (reads(events_[a].is)) readers_.push_back(a);
    }
    for (std::size_t word = 0; word < words_count; word++) {
      for (std::size_t a = words_count; a < count(); a++) {
        if (writes(events_[a].is) && events_[a].is.word == word) written_[word].push_back(a);
      }
    }
  }

  outcomes allowed() {
    orders_of(0);
    return std::move(found_);
  }

private:
  struct event {
    instruction is;
    int thread;  // -1: what was there at first
  };

  [[nodiscard]] std::size_t count() const { return events_.size(); }

  // Each order of writes of each word, from `word` on.
  void orders_of(std::size_t word) {
    if (word == words_count) return sources_of(0);
    std::ranges::sort(written_[word]);
    do {
      orders_of(word + 1);
    } while (std::ranges::next_permutation(written_[word]).found);
  }

  // Each source of each read, from the one of that number on.
  void sources_of(std::size_t number) {
    if (number == readers_.size()) return judge();
    const std::size_t reader = readers_[number];
    const std::size_t word = events_[reader].is.word;
    for (std::size_t i = 0; i <= written_[word].size(); i++) {
      const std::size_t source = i == 0 ? word : written_[word][i - 1];
      // A read-modify-write reads what comes right before it.
      const instruction& one = events_[reader].is;
      const bool comes_next = writes(one) ? i < written_[word].size() && written_[word][i] == reader : source != reader;
      const bool equal = events_[source].is.value == one.expected;
      if (comes_next && (one.expected < 0 || equal == writes(one))) {
        source_[reader] = source;
        sources_of(number + 1);
      }
    }
  }

  void judge() {
    const std::size_t n = count();
    relation from, order, coherence, steps = before_;
    for (const std::size_t reader : readers_) from.add(source_[reader], reader);
    for (std::size_t word = 0; word < words_count; word++) {
      std::vector<std::size_t> all{word};
      all.insert(all.end(), written_[word].begin(), written_[word].end());
      for (std::size_t i = 0; i < all.size(); i++) {
        for (std::size_t j = i + 1; j < all.size(); j++) {
          order.add(all[i], all[j]);
          if (reads(events_[all[i]].is)) steps.add(all[i], all[j]);  // it was the newest one when it was made
        }
      }
    }
    // coherence-ordered before: reads-from, modification order, and from a read to what comes after its source.
    coherence = order;
    for (const std::size_t reader : readers_) {
      coherence.add(source_[reader], reader);
      steps.add(source_[reader], reader);
      for (std::size_t later = 0; later < n; later++) {
        if (order.has(source_[reader], later) && later != reader) coherence.add(reader, later);
      }
    }
    coherence.close(n);

    relation happens = before_;
    for (const std::size_t reader : readers_) synchronise(reader, happens);
    happens.close(n);
    if (!happens.irreflexive(n)) return;
    for (std::size_t a = 0; a < n; a++) {
      if (coherence.has(a, a)) return;
      for (std::size_t b = 0; b < n; b++) {
        if (happens.has(a, b) && coherence.has(b, a)) return;
      }
    }

    // The single order: what must come before what in it; and whether the steps can be made in such an order.
    for (std::size_t a = 0; a < n; a++) {
      for (std::size_t b = 0; b < n; b++) {
        if (!coherence.has(a, b)) continue;
        for (const std::size_t first : ends_of(a, happens, true)) {
          for (const std::size_t second : ends_of(b, happens, false)) steps.add(first, second);
        }
      }
    }
    steps.close(n);
    if (!steps.irreflexive(n)) return;

    std::vector<int> result;
    for (const std::size_t reader : readers_) result.push_back(events_[source_[reader]].is.value);
    for (std::size_t word = 0; word < words_count; word++) {
      result.push_back(written_[word].empty() ? 0 : events_[written_[word].back()].is.value);
    }
    found_.insert(result);
  }

  // What stands for an operation in the single order: itself, and the fences before it, or after it.
  [[nodiscard]] std::vector<std::size_t> ends_of(std::size_t a, const relation& happens, bool before) const {
    std::vector<std::size_t> ends;
    if (a >= words_count && events_[a].is.order == std::memory_order_seq_cst) ends.push_back(a);
    for (std::size_t f = words_count; f < count(); f++) {
      const instruction& one = events_[f].is;
      if (one.what != does::fence || one.order != std::memory_order_seq_cst) continue;
      if (before ? happens.has(f, a) : happens.has(a, f)) ends.push_back(f);
    }
    return ends;
  }

  // Along the release sequence in which `reader` has found its source, up to its head.
  void synchronise(std::size_t reader, relation& happens) const {
    for (std::size_t head = source_[reader];; head = source_[head]) {
      std::vector<std::size_t> releasing;
      if (head >= words_count && releases(events_[head].is.order)) releasing.push_back(head);
      for (std::size_t f = words_count; f < head; f++) {
        if (is_fence_beside(f, head) && releases(events_[f].is.order)) releasing.push_back(f);
      }
      for (const std::size_t source : releasing) {
        if (acquires(events_[reader].is.order)) happens.add(source, reader);
        for (std::size_t f = reader + 1; f < count(); f++) {
          if (is_fence_beside(f, reader) && acquires(events_[f].is.order)) happens.add(source, f);
        }
      }
      if (head < words_count || !reads(events_[head].is)) return;
    }
  }

  [[nodiscard]] bool is_fence_beside(std::size_t f, std::size_t a) const {
    return events_[f].is.what == does::fence && events_[f].thread == events_[a].thread;
  }

  std::vector<event> events_;
  relation before_;  // sequenced before
  std::vector<std::size_t> readers_;
  std::array<std::vector<std::size_t>, words_count> written_;  // in modification order, without what was there at first
  std::array<std::size_t, 32> source_{};
  outcomes found_;
};

// A comparison is an exchange that reads what it expects, or a load that does not: each way for each of them.
outcomes allowed_in(program all) {
  for (auto& thread : all) {
    for (instruction& one : thread) {
      if (one.what != does::compare) continue;
      const instruction before = one;
      one.what = does::exchange;
      outcomes found = allowed_in(all);
      one = {does::load, before.word, 0, std::memory_order_relaxed, before.expected};
      found.merge(allowed_in(all));
      return found;
    }
  }
  return rules(all).allowed();
}

// ------------------------------------------------------------------------------------------------------------------------

TEST(axioms, the_explorer_finds_what_the_standard_allows_and_nothing_else) {
  constexpr std::uint64_t programs = 3000;
  for (std::uint64_t seed = 1; seed <= programs; seed++) {
    levity::rng dice(seed);
    const program one = by_chance(dice);
    const outcomes allowed = allowed_in(one);
    for (const auto reduce :
         {model::options::reduction::races, model::options::reduction::sleep, model::options::reduction::none}) {
      const outcomes seen = explored(one, reduce);
      ASSERT_EQ(seen, allowed) << "seed " << seed << ", reduction " << static_cast<int>(reduce) << "\n" << text(one)
                               << "explored:" << text(seen) << "\nallowed:" << text(allowed);
    }
  }
}

}  // namespace
