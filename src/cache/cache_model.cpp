#include "levity/cache/detail/cache_shard.hpp"

#include "levity/cache/sieve.hpp"
#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;

struct equal_numbers {
  bool operator()(const int& a, const int& b) const { return a == b; }
};
using shard = levity::detail::cache_shard<int, int, levity::sieve, equal_numbers>;

constexpr levity::detail::entry_lifetimes for_ever{};

// Eight buckets, and this is the hash: keys that differ by multiples of eight stand in one chain.
constexpr std::uint64_t hash_of(int key) { return 0x100 + static_cast<std::uint64_t>(key); }

void set(shard& of, int key, int value) {
  shard::entry& made = of.take();
  std::construct_at(std::addressof(made.key), key);
  std::construct_at(std::addressof(made.value), value);
  made.absent = false;
  made.weight = 1;
  static_cast<void>(of.set(hash_of(key), made, 0));
  made.drop();
}

// The value; 0 if there is none.
int get(shard& of, int key) {
  const shard::reference found = of.find(hash_of(key), key);
  if (!found) return 0;
  model::require(found->key == key, "the entry is that of the key");
  return found->value;
}

bool add_one(shard& of, int key) {
  for (;;) {
    const shard::reference found = of.find(hash_of(key), key);
    if (!found) return false;
    shard::entry& made = of.take();
    std::construct_at(std::addressof(made.key), key);
    std::construct_at(std::addressof(made.value), found->value + 1);
    made.absent = false;
    made.weight = 1;
    std::optional<levity::cache_refusal> refused;
    if (of.replace(hash_of(key), *found, made, 0, refused)) {
      made.drop();
      return true;
    }
    made.empty();
    of.give(made);
  }
}

// The memory of an entry becomes another one's, which stands in the same chain, while a reader is there: it finds the value of its
// key, the old one or none, and never another one's.
LEVITY_SCENARIO(who_gets_what_is_erased_and_made_into_another_one_gets_its_own_or_nothing, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  model::together([&] {
    of.erase(hash_of(1), 1, 0);
    set(of, 9, 90);
  },
  [&] {
    const int seen = get(of, 1);
    model::require(seen == 10 || seen == 0, "its own value, or none");
  });
  model::require(get(of, 1) == 0 && get(of, 9) == 90, "what was done last is there");
}

// The handle's reference is the last one: who reads is done when key and value go.
LEVITY_SCENARIO(who_holds_a_value_reads_it_before_it_goes, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  model::together([&] {
    if (shard::reference held = of.find(hash_of(1), 1)) model::require(held->value == 10 || held->value == 11, "it is whole");
  },
  [&] {
    of.erase(hash_of(1), 1, 0);
    set(of, 1, 11);
  });
  model::require(get(of, 1) == 11, "the newer one is there");
}

// What was set before the get began is found, however the chain in front of it changes: an entry that was behind it once, and so
// had the end of the chain as its next, comes in front of it.
LEVITY_SCENARIO(what_was_set_before_is_found_behind_an_entry_that_was_used_again, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);  // stands at the end of the chain,
  set(of, 9, 90);
  of.erase(hash_of(1), 1, 0);  // goes,
  model::together([&] { set(of, 17, 170); },  // and comes back in front
                  [&] { model::require(get(of, 9) == 90, "it is there all the time"); });
}

LEVITY_SCENARIO(what_was_set_before_is_found_where_one_before_it_goes, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  set(of, 9, 90);
  of.erase(hash_of(1), 1, 0);
  model::together([&] {
    set(of, 17, 170);
    set(of, 25, 250);
    of.erase(hash_of(25), 25, 0);
  },
  [&] { model::require(get(of, 9) == 90, "it is there all the time"); });
}

// A reader stands before an entry that goes, and comes back in front of another one that had gone, too.
LEVITY_SCENARIO(what_was_set_before_is_found_by_who_stood_before_an_entry_that_came_back, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  set(of, 9, 90);
  set(of, 17, 170);
  of.erase(hash_of(1), 1, 0);
  model::together([&] {
    set(of, 25, 250);               // in the memory of 1
    of.erase(hash_of(17), 17, 0);
    set(of, 33, 330);               // in that of 17, in front of 25
  },
  [&] { model::require(get(of, 9) == 90, "it is there all the time"); });
}

// A reader stands before an entry that goes, and comes back in the place of another one behind what is sought.
LEVITY_SCENARIO(what_was_set_before_is_found_by_who_stood_before_an_entry_that_took_anothers_place, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  set(of, 9, 90);
  set(of, 17, 170);  // in front of 9, and that of 1
  model::together([&] {
    of.erase(hash_of(17), 17, 0);
    set(of, 1, 11);  // in the memory of 17
  },
  [&] { model::require(get(of, 9) == 90, "it is there all the time"); });
}

// The table is replaced by a larger one under the reader.
LEVITY_SCENARIO(what_was_set_before_is_found_while_the_table_grows, {.executions_max = 400'000}) {
  shard of(100, for_ever);
  for (int key = 1; key <= 8; key++) set(of, key, 10 * key);
  model::together([&] { set(of, 9, 90); },  // the ninth: more memory, and a larger table
                  [&] { model::require(get(of, 1) == 10, "it is there all the time"); });
  for (int key = 1; key <= 9; key++) model::require(get(of, key) == 10 * key, "all are there");
}

// A value is set; a flag says so without ordering anything but that the set came first.
LEVITY_SCENARIO(what_was_set_is_found_by_who_heard_of_it, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  levity::atomic<bool> told{false};
  set(of, 1, 10);
  model::together([&] {
    set(of, 1, 11);
    told.store(true, std::memory_order_release);
  },
  [&] {
    const bool heard = told.load(std::memory_order_acquire);
    const int seen = get(of, 1);
    model::require(seen == 11 || (!heard && seen == 10), "the newest that it can know of");
  });
}

LEVITY_SCENARIO(of_two_updates_none_is_lost, {.executions_max = 400'000}) {
  shard of(8, for_ever);
  set(of, 1, 10);
  const auto adds = [&] { model::require(add_one(of, 1), "it is there"); };
  model::together(adds, adds);
  model::require(get(of, 1) == 12, "both have been made");
}

// Room is made while the one that goes is read, and updated.
LEVITY_SCENARIO(an_update_of_what_is_evicted_is_made_or_finds_nothing, {.executions_max = 400'000}) {
  shard of(1, for_ever);
  set(of, 1, 10);
  bool made = false;
  model::together([&] { made = add_one(of, 1); }, [&] { set(of, 2, 20); });
  const int first = get(of, 1);
  const int second = get(of, 2);
  model::require(second == 20 && first == 0, "the last one that was set is there, alone");
  static_cast<void>(made);
}

}  // namespace
