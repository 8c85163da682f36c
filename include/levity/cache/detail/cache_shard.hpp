#pragma once

// cache_shard: a part of a cache with a lock of its own, which readers do not take.
//
// Why: a hit must cost what its memory costs. Who reads walks a chain of entries, takes a reference to the one with its hash, and
// compares keys. Who writes holds the lock; under it nothing of the user runs: keys are compared, values and keys made and
// destroyed outside of it.
//
//   state of an entry         moved by                                                            guarded by
//   free -> made              take(): key and value are put in, by who makes it                   its pool's lock; then its maker
//   made -> linked            link(): it gets its hash, stands in its chain, and is born          lock_
//   linked -> gone            unlink(), or another one takes its place in the chain               lock_
//   gone -> free              the last reference is dropped                                       cache_block
//   made -> gone              it is born without a hash: for its maker alone                      its maker
//
// What walks see. An entry stands in the chain of its hash while it is linked, and there is one for a key at most. New ones are put
// in front; another one for the same key takes the place of the old one. Entries that are gone keep their way onwards, so who
// stands before one walks on, over entries that were behind it, to the end of the chain. If it is made into another one meanwhile,
// the walk ends at the end of another chain, and begins anew; so it does before an entry that nobody holds any more, for another
// one may have taken its place. Whoever is led astray four times asks under the lock. So:
//
//   what set() linked before a get() began, and nobody has unlinked since, that get() finds          (E391, and lock_)
//   what get() returns stood in the cache at some moment between its beginning and its end
//
// The second holds because an entry is born last, when it stands in its chain: nobody takes a reference before. Nor can an entry
// that was unlinked before the walk began be reached: from linked ones only those lead to it that were unlinked before it.
//
// An entry may also come back in the place of another one of the same chain, farther behind than it was: who stood before it would
// pass by what is between. So each taking of a place is counted (E394), and a walk that found nothing while one was taken begins
// anew.
//
// A chain is moved to a larger table link by link. Walks that are in the middle of it end at the end of another chain: they ask
// under the lock, which they get when all has been moved.
//
// Edges
//   E391  a link is stored, or a table of them -> a walk reads it: hash and chain of the entry there are those of this life of it,
//         and the count of places taken has what came before.
//   E394  a place is counted as taken -> a walk begins with that count: what was unlinked before the one that took it is not met.
//
// A load that is under way has a ticket here. A set, an update or an erasure of its key marks it: what it brings is older than what
// was said since, and is not kept.
//
// Rejected: a lock for readers and writers (18 ms of waiting in the field; even uncontended its word is written by every reader);
// open addressing (erasing leaves marks, and one must not move what others read); comparing keys under the lock.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "levity/base/cache_line.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/cache/cache_refusal.hpp"
#include "levity/cache/detail/cache_entry.hpp"
#include "levity/cache/detail/chain_table.hpp"
#include "levity/cache/detail/departures.hpp"
#include "levity/cache/detail/entry_account.hpp"
#include "levity/cache/detail/entry_pool.hpp"

namespace levity::inline v0::detail {

/// How long entries of a cache may do what; the same for all of its shards.
struct entry_lifetimes {
  std::int64_t tti_ns = never_ns;
  std::int64_t stale_window_ns = 0;  // how long past its time an entry is kept for who would rather have that than nothing
};

/// The moment so long after another one, or never.
constexpr std::int64_t moment_after(std::int64_t from_ns, std::int64_t span_ns) noexcept {
  return span_ns >= never_ns - (from_ns > 0 ? from_ns : 0) ? never_ns : from_ns + span_ns;
}

/// What an entry is good for at some moment.
enum class freshness : std::uint8_t {
  fresh,  ///< it counts
  stale,  ///< its time is over, but it may stand in for what cannot be had
  over,   ///< so is that
  idle,   ///< nobody has read it for too long
};

inline freshness freshness_of(const cache_block_base& entry, const entry_lifetimes& by, std::int64_t now_ns) noexcept {
  if (moment_after(entry.read_ns.load(std::memory_order_relaxed), by.tti_ns) <= now_ns) return freshness::idle;
  if (now_ns < entry.expires_ns) return freshness::fresh;
  return !entry.absent && now_ns < moment_after(entry.expires_ns, by.stale_window_ns) ? freshness::stale : freshness::over;
}

/// A load under way.
struct load_ticket : list_link {
  std::uint64_t hash = 0;
  std::int64_t since_ns = 0;
  bool outdated = false;  // guarded by the shard's lock
};

template <class Key, class Value, class Policy, class Equal>
class cache_shard {
public:
  using entry = cache_entry<Key, Value, typename Policy::hook>;
  using reference = entry_ref<entry>;

  cache_shard(std::uint64_t capacity, const entry_lifetimes& lifetimes)
      : lifetimes_(lifetimes), capacity_(capacity), pool_(new entry_pool<entry>), policy_(capacity) {
    table_.store(new chain_table(first_buckets), std::memory_order_relaxed);
  }
  cache_shard(const cache_shard&) = delete;
  cache_shard& operator=(const cache_shard&) = delete;
  /// Nobody is in it. Handles may be left.
  ~cache_shard() {
    clear(0);
    for (chain_table* each = table_.load(std::memory_order_relaxed); each != nullptr;) delete std::exchange(each, each->older);
    pool_->retire();
  }

  // --- who reads: any thread, no lock ---

  /// The entry for the key, with a reference.
  [[nodiscard]] reference find(std::uint64_t hash, const Key& key) {
    for (int attempt = 0; attempt < 4; attempt++) {
      reference found;
      if (walk(hash, key, found)) [[likely]] return found;
    }
    reference found;
    at(hash, key, [&](entry* known) {
      if (known == nullptr) return;
      known->share();
      found = reference(known);
    });
    return found;
  }

  /// It counts as used.
  void hit(entry& of) noexcept { policy_.hit(of); }

  // --- who writes ---

  /// Memory for an entry: its maker's, who puts key and value in and links it, or gives it back. Throws std::bad_alloc.
  [[nodiscard]] entry& take() {
    for (;;) {
      if (entry* const found = pool_->take()) return *found;
      grow();
    }
  }
  void give(entry& empty) noexcept { pool_->give(empty); }

  /// Puts a made entry in, in the place of whatever has its key. The maker keeps a reference; what was refused stands nowhere.
  [[nodiscard]] std::optional<cache_refusal> set(std::uint64_t hash, entry& made, std::int64_t now_ns) {
    std::optional<cache_refusal> refused;
    link_list doomed;
    at(hash, made.key, [&](entry* known) {
      outdate(hash, nullptr);
      sets_++;
      refused = put(hash, made, known, now_ns, doomed);
    });
    drop_all(doomed);
    return refused;
  }

  /// The same in the place of `expected`, if that is still there.
  [[nodiscard]] bool replace(std::uint64_t hash, entry& expected, entry& made, std::int64_t now_ns,
                             std::optional<cache_refusal>& refused) noexcept {
    link_list doomed;
    lock_.lock();
    const bool there = expected.linked;
    if (there) {
      outdate(hash, nullptr);
      sets_++;
      refused = put(hash, made, &expected, now_ns, doomed);
    }
    lock_.unlock();
    drop_all(doomed);
    return there;
  }

  bool erase(std::uint64_t hash, const Key& key, std::int64_t now_ns) {
    bool there = false;
    link_list doomed;
    at(hash, key, [&](entry* known) {
      outdate(hash, nullptr);
      there = known != nullptr;
      if (there) unlink(*known, cache_departure::erased, now_ns, doomed);
    });
    drop_all(doomed);
    return there;
  }

  /// Takes this very entry out, if it is in.
  bool remove(entry& old, cache_departure why, std::int64_t now_ns) noexcept {
    link_list doomed;
    lock_.lock();
    const bool there = old.linked;
    if (there) unlink(old, why, now_ns, doomed);
    lock_.unlock();
    drop_all(doomed);
    return there;
  }

  std::size_t clear(std::int64_t now_ns) noexcept {
    std::size_t count = 0;
    lock_.lock();
    for (list_link* link = tickets_.front(); link != nullptr && link != tickets_.end(); link = link->next) {
      static_cast<load_ticket*>(link)->outdated = true;
    }
    lock_.unlock();
    for (std::size_t number = 0;; number++) {
      const std::span<entry> slab = pool_->slab_at(number);
      if (slab.empty()) return count;
      link_list doomed;
      lock_.lock();
      for (entry& each : slab) {
        if (!each.linked) continue;
        unlink(each, cache_departure::erased, now_ns, doomed);
        count++;
      }
      lock_.unlock();
      drop_all(doomed);
    }
  }

  // --- loads ---

  void enter(load_ticket& load) noexcept {
    lock_.lock();
    tickets_.push_back(load);
    lock_.unlock();
  }
  void leave(load_ticket& load) noexcept {
    lock_.lock();
    if (load.linked()) load.unlink();
    lock_.unlock();
  }

  /// Puts in what a load has brought, unless its key was written meanwhile: then what is there now, if anything, is the newer one.
  /// Returns what counts, with a reference, which may be `made`; the maker's reference to that is its own in any case.
  /// `superseded`: that is `made` although the key was written meanwhile and has nothing, so it is for those alone who asked
  /// before.
  [[nodiscard]] reference install(std::uint64_t hash, load_ticket& load, entry& made, std::int64_t now_ns,
                                  std::optional<cache_refusal>& refused, bool& superseded) {
    reference counts;
    link_list doomed;
    at(hash, made.key, [&](entry* known) {
      entry* result = &made;
      if (load.outdated) {
        outdated_++;
        if (known != nullptr) result = known;
        superseded = known == nullptr;
        bear_alone(made);
      } else {
        refused = put(hash, made, known, now_ns, doomed);
      }
      result->share();
      counts = reference(result);
    });
    drop_all(doomed);
    return counts;
  }

  /// A load has found that there is no such value, and nobody wants to remember that. Returns what was put in meanwhile, and counts
  /// more.
  [[nodiscard]] reference uninstall(std::uint64_t hash, const Key& key, load_ticket& load, std::int64_t now_ns,
                                    bool& superseded) {
    reference counts;
    link_list doomed;
    at(hash, key, [&](entry* known) {
      if (load.outdated) {
        outdated_++;
        superseded = known == nullptr;
        if (known == nullptr) return;
        known->share();
        counts = reference(known);
      } else if (known != nullptr) {
        unlink(*known, cache_departure::absent, now_ns, doomed);
      }
    });
    drop_all(doomed);
    return counts;
  }

  // --- who looks after it ---

  /// One slab: takes out what is over, and calls `due` with a reference to each entry that was read and should be loaded anew.
  /// False: there is no slab of that number. `due` is called outside of the lock.
  template <class Due>
  bool sweep(std::size_t slab_number, std::int64_t now_ns, std::size_t& removed, Due&& due) {
    const std::span<entry> slab = pool_->slab_at(slab_number);
    if (slab.empty()) return false;
    std::vector<reference> waiting;
    waiting.reserve(slab.size());
    link_list doomed;
    lock_.lock();
    for (entry& each : slab) {
      if (!each.linked || !each.timed) continue;
      switch (freshness_of(each, lifetimes_, now_ns)) {
        case freshness::over: unlink(each, cache_departure::expired, now_ns, doomed), removed++; break;
        case freshness::idle: unlink(each, cache_departure::idle, now_ns, doomed), removed++; break;
        case freshness::fresh:
          if (!each.was_read.load(std::memory_order_relaxed) || each.refresh_ns.load(std::memory_order_relaxed) > now_ns) break;
          each.share();
          waiting.emplace_back(&each);
          break;
        case freshness::stale: break;
      }
    }
    lock_.unlock();
    drop_all(doomed);
    for (reference& each : waiting) due(std::move(each));
    return true;
  }

  [[nodiscard]] entry_account account_of(std::uint64_t hash, const Key& key, std::int64_t now_ns) {
    entry_account made;
    at(hash, key, [&](entry* known) {
      if (known != nullptr) {
        const entry& of = *known;
        made.there = true;
        made.absent = of.absent;
        made.stale = of.timed && freshness_of(of, lifetimes_, now_ns) != freshness::fresh;
        made.pinned = of.weight == 0;
        made.read = of.hits.load(std::memory_order_relaxed) > 0 || of.was_read.load(std::memory_order_relaxed);
        made.weight = of.weight;
        made.written_ns = of.written_ns;
        made.expires_ns = of.expires_ns;
        made.stale_until_ns = moment_after(of.expires_ns, lifetimes_.stale_window_ns);
        made.idle_at_ns = of.timed ? moment_after(of.read_ns.load(std::memory_order_relaxed), lifetimes_.tti_ns) : never_ns;
        made.refresh_ns = of.refresh_ns.load(std::memory_order_relaxed);
        made.queue = Policy::queue_name(of.queue);
      } else {
        made.departed = departures_.find(hash);
      }
      for (list_link* link = tickets_.front(); link != nullptr && link != tickets_.end(); link = link->next) {
        const auto& load = *static_cast<load_ticket*>(link);
        if (load.hash == hash) made.loading_since_ns = load.since_ns;
      }
    });
    return made;
  }

  void add_to(cache_statistics& all) noexcept {
    const std::size_t entries = pool_->total();
    lock_.lock();
    for (std::size_t i = 0; i < cache_departure_count; i++) all.departures[i] += departures_.counts()[i];
    all.sets += sets_;
    all.refused += refused_;
    all.loads_outdated += outdated_;
    all.entries += count_;
    all.weight += policy_.used();
    std::size_t heads = 0;
    for (chain_table* each = table_.load(std::memory_order_relaxed); each != nullptr; each = each->older) heads += each->size();
    const std::size_t room = policy_.room() == ~std::size_t{0} ? 0 : policy_.room();
    lock_.unlock();
    all.memory_bytes += sizeof(*this) + entries * sizeof(entry) + heads * sizeof(std::uintptr_t) + room * Policy::bytes_each;
  }

  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }

  /// That all is as it should be: for tests, while nobody else is in it. False: something is not.
  [[nodiscard]] bool check() noexcept {
    std::size_t linked = 0;
    std::size_t standing = 0;
    std::uint64_t weight = 0;
    for (std::size_t number = 0;; number++) {
      const std::span<entry> slab = pool_->slab_at(number);
      if (slab.empty()) break;
      for (entry& each : slab) {
        if (!each.linked) continue;
        linked++;
        weight += each.weight;
        chain_table& table = *table_.load(std::memory_order_relaxed);
        std::uintptr_t at = table.head_of(each.hash.load(std::memory_order_relaxed)).load(std::memory_order_relaxed);
        while (!chain_table::is_end(at)) {
          if (entry_at(at) == &each) standing++;
          at = entry_at(at)->chain.load(std::memory_order_relaxed);
        }
      }
    }
    return linked == count_ && standing == linked && weight == policy_.used() && weight <= capacity_;
  }

private:
  static constexpr std::size_t first_buckets = 8;
  static constexpr std::size_t slab_bytes_max = 16 * 1024;

  static entry* entry_at(std::uintptr_t link) noexcept { return &entry::of(*reinterpret_cast<list_link*>(link)); }
  static std::uintptr_t link_to(entry& of) noexcept { return reinterpret_cast<std::uintptr_t>(static_cast<list_link*>(&of)); }

  // Whether the walk came to an end that counts; then `found` is the entry for the key, or empty if there is none.
  bool walk(std::uint64_t hash, const Key& key, reference& found) {
    const std::uint64_t taken_before = places_taken_.load(std::memory_order_acquire);  // E394 acquire.
    chain_table& table = *table_.load(std::memory_order_acquire);                      // E391 acquire.
    const atomic<std::uintptr_t>& chain = table.head_of(hash);
    std::uintptr_t at = chain.load(std::memory_order_acquire);  // E391 acquire.
    while (!chain_table::is_end(at)) {
      entry* const here = entry_at(at);
      const std::uint64_t its_hash = here->hash.load(std::memory_order_relaxed);
      if (its_hash == entry::no_hash) return false;  // gone: what took its place we would pass by
      if (its_hash == hash) {
        if (!here->try_take()) return false;  // gone, or not born yet
        reference taken(here);
        // Once more: what we hold may be the next life of what we saw, and that may stand nowhere.
        const bool stands = here->hash.load(std::memory_order_relaxed) == hash;
        if (stands && Equal{}(std::as_const(here->key), key)) [[likely]] {
          found = std::move(taken);
          return true;
        }
      }
      at = here->chain.load(std::memory_order_acquire);  // E391 acquire.
    }
    // Whoever led us past something has counted before he stored the link by which he did (E391).
    return at == chain_table::end_of(chain) && places_taken_.load(std::memory_order_relaxed) == taken_before;
  }

  // Calls `act` under the lock with the linked entry for the key, or null. Keys are compared outside of it: first without having
  // it at all; then, one after the other, with those of the same hash that have not been compared yet.
  template <class Act>
  void at(std::uint64_t hash, const Key& key, Act&& act) {
    reference known;
    static_cast<void>(walk(hash, key, known));
    std::vector<reference> others;
    lock_.lock();
    for (;;) {
      if (known && known->linked) break;
      entry* const stranger = stranger_with(hash, others);
      if (stranger == nullptr && !known) break;
      if (stranger != nullptr) stranger->share();
      lock_.unlock();
      reference next(stranger);
      if (known) others.push_back(std::move(known));  // it was the key's, and is gone
      if (next) {
        if (Equal{}(std::as_const(next->key), key)) {
          known = std::move(next);
        } else {
          others.push_back(std::move(next));
        }
      }
      lock_.lock();
    }
    act(known.get());
    lock_.unlock();
  }

  // Under lock_: an entry of that hash that is none of `compared`.
  entry* stranger_with(std::uint64_t hash, const std::vector<reference>& compared) noexcept {
    chain_table& table = *table_.load(std::memory_order_relaxed);
    std::uintptr_t at = table.head_of(hash).load(std::memory_order_relaxed);
    for (; !chain_table::is_end(at); at = entry_at(at)->chain.load(std::memory_order_relaxed)) {
      entry* const here = entry_at(at);
      if (here->hash.load(std::memory_order_relaxed) != hash) continue;
      bool seen = false;
      for (const reference& each : compared) seen = seen || each.get() == here;
      if (!seen) return here;
    }
    return nullptr;
  }

  // Under lock_. `known` is the linked entry for the key, or null.
  std::optional<cache_refusal> put(std::uint64_t hash, entry& made, entry* known, std::int64_t now_ns, link_list& doomed) noexcept {
    if (made.weight > capacity_) {
      refused_++;
      if (known != nullptr) unlink(*known, cache_departure::refused, now_ns, doomed);
      bear_alone(made);
      return cache_refusal{made.weight, capacity_};
    }
    made.hash.store(hash, std::memory_order_relaxed);  // nobody can take a reference yet; what else it tells goes by (E391)
    made.hits.store(0, std::memory_order_relaxed);
    const bool in_place = known != nullptr && known->weight > 0 && made.weight > 0 && made.weight <= known->weight;
    if (in_place) {
      policy_.replace(*known, made);
    } else {
      if (known != nullptr && known->weight > 0) policy_.remove(*known);
      while (policy_.used() + made.weight > capacity_) evict(now_ns, doomed);
      if (made.weight > 0) policy_.insert(made);
    }
    link(hash, made, known);
    if (known != nullptr) doomed.push_back(*known);
    return std::nullopt;
  }

  // Under lock_.
  void link(std::uint64_t hash, entry& made, entry* known) noexcept {
    atomic<std::uintptr_t>& chain = known != nullptr ? link_before(*known)
                                                     : table_.load(std::memory_order_relaxed)->head_of(hash);
    const std::uintptr_t behind = known != nullptr ? known->chain.load(std::memory_order_relaxed)
                                                   : chain.load(std::memory_order_relaxed);
    if (known != nullptr) {
      const std::uint64_t taken = places_taken_.load(std::memory_order_relaxed) + 1;
      places_taken_.store(taken, std::memory_order_release);  // E394 release.
    }
    made.chain.store(behind, std::memory_order_release);    // E391 release.
    chain.store(link_to(made), std::memory_order_release);  // E391 release.
    if (known != nullptr) known->linked = false;
    if (known == nullptr) count_++;
    made.linked = true;
    made.give_birth();
    made.share();
  }

  // For its maker alone: whoever walks knows it by no hash.
  static void bear_alone(entry& made) noexcept { made.give_birth(); }

  // Under lock_: the word that leads to the entry.
  atomic<std::uintptr_t>& link_before(entry& of) noexcept {
    atomic<std::uintptr_t>* word = &table_.load(std::memory_order_relaxed)->head_of(of.hash.load(std::memory_order_relaxed));
    for (;;) {
      const std::uintptr_t at = word->load(std::memory_order_relaxed);
      if (at == link_to(of)) return *word;
      word = &entry_at(at)->chain;
    }
  }

  // Under lock_.
  void unlink(entry& old, cache_departure why, std::int64_t now_ns, link_list& doomed) noexcept {
    if (old.weight > 0) policy_.remove(old);
    forget(old, why, now_ns);
    doomed.push_back(old);
  }
  void forget(entry& old, cache_departure why, std::int64_t now_ns) noexcept {
    const std::uint64_t hash = old.hash.load(std::memory_order_relaxed);
    atomic<std::uintptr_t>& chain = link_before(old);
    chain.store(old.chain.load(std::memory_order_relaxed), std::memory_order_release);  // E391 release.
    old.linked = false;
    count_--;
    departures_.note({.hash = hash, .at_ns = now_ns, .why = why, .queue = Policy::queue_name(old.queue)});
  }
  void evict(std::int64_t now_ns, link_list& doomed) noexcept {
    link_list out;
    policy_.evict(out);
    for (list_link* link = out.front(); link != nullptr && link != out.end(); link = link->next) {
      forget(entry::of(*link), cache_departure::evicted, now_ns);
    }
    doomed.splice_back(out);
  }

  // The cache's references; outside of the lock, for the last one destroys key and value.
  static void drop_all(link_list& doomed) noexcept {
    while (list_link* const link = doomed.pop_front()) entry::of(*link).drop();
  }

  // Under lock_.
  void outdate(std::uint64_t hash, const load_ticket* except) noexcept {
    for (list_link* link = tickets_.front(); link != nullptr && link != tickets_.end(); link = link->next) {
      auto& load = *static_cast<load_ticket*>(link);
      if (load.hash == hash && &load != except) load.outdated = true;
    }
  }

  // More entries, and room for them in the policy and in the table. All memory is found outside of the lock.
  void grow() {
    const std::size_t before = pool_->total();
    const std::size_t most = std::max<std::size_t>(slab_bytes_max / sizeof(entry), 8);
    const std::size_t more = std::clamp<std::size_t>(before, 8, most);
    const std::size_t all = before + more;
    lock_.lock();
    const std::size_t room = policy_.room();
    const std::size_t buckets = table_.load(std::memory_order_relaxed)->size();
    lock_.unlock();
    typename Policy::storage storage;
    if (room < all) storage = Policy::make_storage(std::max(all, 2 * room));
    std::unique_ptr<chain_table> table;
    if (buckets < all) table = std::make_unique<chain_table>(2 * buckets);
    typename entry_pool<entry>::slab slab = pool_->make_slab(more);
    lock_.lock();
    if (pool_->total() == before) {  // else another one was faster
      if (room < all) policy_.adopt(storage);
      if (table != nullptr) move_to(*table.release());
      pool_->adopt(std::move(slab));
    }
    lock_.unlock();
  }

  // Under lock_.
  void move_to(chain_table& larger) noexcept {
    chain_table& from = *table_.load(std::memory_order_relaxed);
    for (std::size_t bucket = 0; bucket < from.size(); bucket++) {
      std::uintptr_t at = from.head_of(bucket).load(std::memory_order_relaxed);
      while (!chain_table::is_end(at)) {
        entry& moved = *entry_at(at);
        at = moved.chain.load(std::memory_order_relaxed);
        atomic<std::uintptr_t>& head = larger.head_of(moved.hash.load(std::memory_order_relaxed));
        moved.chain.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);  // such a walk ends nowhere
        head.store(link_to(moved), std::memory_order_relaxed);  // nobody knows the table yet
      }
    }
    larger.older = &from;
    table_.store(&larger, std::memory_order_release);  // E391 release.
  }

  // Read by all, written hardly ever but for the last.
  const entry_lifetimes& lifetimes_;
  const std::uint64_t capacity_;
  entry_pool<entry>* const pool_;
  atomic<chain_table*> table_{nullptr};
  atomic<std::uint64_t> places_taken_{0};  // by entries that took another one's place; written under lock_

  alignas(cache_line_bytes) spin_lock lock_;
  // Guarded by lock_.
  Policy policy_;
  link_list tickets_;
  std::size_t count_ = 0;
  std::uint64_t sets_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t outdated_ = 0;
  departures departures_;
};

}  // namespace levity::detail
