#pragma once

// cache_core: the whole of a cache but its coroutines. It is told the time, and looks at no clock.
//
// What a value may cost is paid outside of locks: hashing, comparing, weighing, making, destroying.
//
//   an entry's time    written -> expires = written + ttl -> + max(stale_if_error, stale_while_revalidate) -> over
//   due for a refresh  refresh_ahead: written + ttl * u, u in [0.72, 0.88] by hash and time, and read since then;
//                      stale_while_revalidate: expires. Queued once: refresh_ns goes to never, and back when the refresh fails.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/cache/cache_options.hpp"
#include "levity/cache/cache_refusal.hpp"
#include "levity/cache/cache_statistics.hpp"
#include "levity/cache/cached.hpp"
#include "levity/cache/detail/cache_shard.hpp"
#include "levity/cache/detail/read_counts.hpp"

namespace levity::inline v0::detail {

/// How many shards a cache gets whose user leaves that to it: see cache_options::shards.
[[nodiscard]] unsigned shards_for(std::uint64_t capacity) noexcept;

/// A hash that differs in all bits where that of the user differs in one; many are the key itself. Never eviction_hook::no_hash.
constexpr std::uint64_t mixed_hash(std::uint64_t hash) noexcept {
  const auto product = static_cast<unsigned __int128>(hash ^ 0x2d35'8dcc'aa6c'78a5) * 0x9e37'79b9'7f4a'7c15;
  const std::uint64_t mixed = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  return mixed | static_cast<std::uint64_t>(mixed == eviction_hook::no_hash);
}

template <class Key, class Value, class Policy, class Hash, class Equal>
class cache_core {
public:
  using shard = cache_shard<Key, Value, Policy, Equal>;
  using entry = typename shard::entry;
  using reference = typename shard::reference;
  using handle = cached<Value>;
  using options = cache_options<Key, Value>;

  explicit cache_core(const options& wanted)
      : wanted_(wanted),
        lifetimes_{wanted.tti.count(), std::max(wanted.stale_if_error, wanted.stale_while_revalidate).count()},
        shard_bits_(static_cast<unsigned>(std::countr_zero(wanted.shards != 0 ? wanted.shards : shards_for(wanted.capacity)))) {
    LEVITY_ASSERT(wanted.capacity > 0, "a cache has room for something: give it a capacity");
    LEVITY_ASSERT(std::has_single_bit(shard_count()), "shards are a power of two");
    const std::uint64_t each = std::max<std::uint64_t>(wanted.capacity / shard_count(), 1);
    const std::uint64_t left = wanted.capacity > each * shard_count() ? wanted.capacity - each * shard_count() : 0;
    shards_ = static_cast<shard*>(::operator new(sizeof(shard) * shard_count(), std::align_val_t{alignof(shard)}));
    for (unsigned i = 0; i < shard_count(); i++) std::construct_at(&shards_[i], each + (i < left ? 1 : 0), lifetimes_);
  }
  cache_core(const cache_core&) = delete;
  cache_core& operator=(const cache_core&) = delete;
  ~cache_core() {
    std::destroy_n(shards_, shard_count());
    ::operator delete(shards_, std::align_val_t{alignof(shard)});
  }

  static std::uint64_t hash_of(const Key& key) { return mixed_hash(static_cast<std::uint64_t>(Hash{}(key))); }
  [[nodiscard]] shard& shard_of(std::uint64_t hash) noexcept { return shards_[hash >> 32 & (shard_count() - 1)]; }
  [[nodiscard]] unsigned shard_count() const noexcept { return 1U << shard_bits_; }
  [[nodiscard]] const options& wanted() const noexcept { return wanted_; }

  // --- who reads ---

  /// What there is for a key at a moment.
  struct finding {
    reference held;
    freshness is = freshness::over;
    bool due = false;  // for a refresh

    [[nodiscard]] bool counts() const noexcept { return held && is == freshness::fresh; }
  };

  /// `now_ns` is called only where an entry may end by time. Counts nothing; what is over is taken out.
  template <class Now>
  [[nodiscard]] finding find(std::uint64_t hash, const Key& key, Now&& now_ns) {
    shard& of = shard_of(hash);
    finding found{of.find(hash, key)};
    if (!found.held) return found;
    found.is = freshness::fresh;
    if (found.held->timed) judge(of, found, now_ns());
    if (found.is == freshness::fresh) of.hit(*found.held);
    return found;
  }

  /// The value if it counts; counted as a hit or a miss. `due` is called with an entry that is due for a refresh.
  template <class Now, class Due>
  [[nodiscard]] handle get(const Key& key, Now&& now_ns, Due&& due) {
    finding found = find(hash_of(key), key, now_ns);
    if (!found.counts()) [[unlikely]] {
      counts_.add_miss();
      return {};
    }
    counts_.add_hit();
    if (found.due) [[unlikely]] queue(found, due);
    return to_handle(std::move(found.held));
  }

  /// Stale or not. Counts nothing.
  [[nodiscard]] handle get_stale(const Key& key, std::int64_t now_ns) {
    finding found = find(hash_of(key), key, [now_ns] { return now_ns; });
    if (found.held && found.is != freshness::fresh && found.is != freshness::stale) return {};
    return to_handle(std::move(found.held));
  }

  /// Hands an entry that is due to who refreshes, with a reference, unless another one did. If that has no room, it is due again.
  template <class Due>
  static void queue(finding& found, Due&& due) {
    found.held->share();
    offer(reference(found.held.get()), due);
  }

  static handle to_handle(reference held) noexcept {
    return cached_access::adopt<Value>(held.release());
  }

  // --- who writes ---

  /// An entry with key and value, that nobody can see; gone with this unless it is put in.
  class made_entry {
  public:
    made_entry(shard& of, entry& made) noexcept : shard_(of), made_(&made) {}
    made_entry(made_entry&& other) noexcept : shard_(other.shard_), made_(std::exchange(other.made_, nullptr)) {}
    made_entry& operator=(made_entry&&) = delete;
    ~made_entry() {
      if (made_ == nullptr) return;
      made_->empty();
      shard_.give(*made_);
    }

    entry& operator*() const noexcept { return *made_; }
    /// It has been born; the maker's reference.
    [[nodiscard]] reference born() noexcept { return reference(std::exchange(made_, nullptr)); }

  private:
    shard& shard_;
    entry* made_;
  };

  template <class KeyLike, class... Values>
  [[nodiscard]] made_entry make(std::uint64_t hash, KeyLike&& key, const entry_options& own, std::int64_t now_ns,
                                Values&&... value) {
    shard& of = shard_of(hash);
    entry& made = of.take();
    const auto construct = [&] { std::construct_at(std::addressof(made.key), std::forward<KeyLike>(key)); };
    try {
      construct();
      try {
        made.absent = sizeof...(Values) == 0;
        if constexpr (sizeof...(Values) > 0) std::construct_at(std::addressof(made.value), std::forward<Values>(value)...);
      } catch (...) {
        std::destroy_at(std::addressof(made.key));
        throw;
      }
    } catch (...) {
      of.give(made);
      throw;
    }
    made_entry whole(of, made);  // the options' functions may throw
    duration ttl = wanted_.negative_ttl;
    made.weight = 1;
    if (!made.absent) {
      if (own.weight) {
        made.weight = *own.weight;
      } else if (wanted_.weigh != nullptr) {
        made.weight = wanted_.weigh(made.key, made.value);
      }
      ttl = own.ttl ? *own.ttl : wanted_.ttl_of != nullptr ? wanted_.ttl_of(made.key, made.value) : wanted_.ttl;
    }
    set_times(made, hash, ttl.count(), now_ns);
    return whole;
  }

  std::optional<cache_refusal> set(Key key, Value value, const entry_options& own, std::int64_t now_ns) {
    const std::uint64_t hash = hash_of(key);
    made_entry made = make(hash, std::move(key), own, now_ns, std::move(value));
    std::optional<cache_refusal> refused = shard_of(hash).set(hash, *made, now_ns);
    static_cast<void>(made.born());
    return refused;
  }

  /// What `change(value)` makes of the value that counts, put in its place; again, if that was another one meanwhile. Empty: there
  /// is none.
  template <class Now, class Change>
  handle update(const Key& key, Now&& now_ns, Change&& change) {
    const std::uint64_t hash = hash_of(key);
    shard& of = shard_of(hash);
    for (;;) {
      const finding found = find(hash, key, now_ns);
      if (!found.counts() || found.held->absent) return {};
      const entry& old = *found.held;
      const std::int64_t now = now_ns();
      entry_options own;
      if (wanted_.ttl_of == nullptr && old.expires_ns != never_ns) own.ttl = duration{old.expires_ns - old.written_ns};
      if (wanted_.weigh == nullptr) own.weight = old.weight;
      made_entry made = make(hash, std::as_const(old.key), own, now, change(std::as_const(old.value)));
      std::optional<cache_refusal> refused;
      if (of.replace(hash, *found.held, *made, now, refused)) return to_handle(made.born());
    }
  }

  bool erase(const Key& key, std::int64_t now_ns) {
    const std::uint64_t hash = hash_of(key);
    return shard_of(hash).erase(hash, key, now_ns);
  }

  std::size_t clear(std::int64_t now_ns) noexcept {
    std::size_t count = 0;
    for (unsigned i = 0; i < shard_count(); i++) count += shards_[i].clear(now_ns);
    return count;
  }

  // --- loads ---

  /// A load of this key is under way, as long as this lives. What is written meanwhile counts more than what it brings.
  class load {
  public:
    load(cache_core& core, std::uint64_t hash, std::int64_t now_ns) noexcept : core_(core) {
      ticket_.hash = hash;
      ticket_.since_ns = now_ns;
      core_.shard_of(hash).enter(ticket_);
    }
    load(const load&) = delete;
    load& operator=(const load&) = delete;
    ~load() { core_.shard_of(ticket_.hash).leave(ticket_); }

    /// It has brought this value. What counts for its key from here on, or at least for who waits for this load.
    [[nodiscard]] handle brings(const Key& key, Value value, std::int64_t now_ns) {
      made_entry made = core_.make(ticket_.hash, key, {}, now_ns, std::move(value));
      return install(made, now_ns);
    }

    /// It has found that there is no such value.
    [[nodiscard]] handle brings_nothing(const Key& key, std::int64_t now_ns) {
      if (core_.wanted_.negative_ttl > duration{}) {
        made_entry made = core_.make(ticket_.hash, key, {}, now_ns);
        return install(made, now_ns);
      }
      return to_handle(core_.shard_of(ticket_.hash).uninstall(ticket_.hash, key, ticket_, now_ns, superseded_));
    }

    /// Whether what it has brought is older than what was said of its key meanwhile, by an erasure, say: for who asks from here on
    /// it does not count.
    [[nodiscard]] bool superseded() const noexcept { return superseded_; }

  private:
    handle install(made_entry& made, std::int64_t now_ns) {
      std::optional<cache_refusal> refused;
      reference counts = core_.shard_of(ticket_.hash).install(ticket_.hash, ticket_, *made, now_ns, refused, superseded_);
      static_cast<void>(made.born());
      return to_handle(std::move(counts));
    }

    cache_core& core_;
    load_ticket ticket_;
    bool superseded_ = false;
  };

  /// A load has ended.
  void note_load(std::int64_t took_ns, bool failed, bool in_background) noexcept {
    loads_lock_.lock();
    (failed ? load_failures_ : loads_)++;
    if (in_background && !failed) refreshes_++;
    load_ns_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(took_ns, 0)));
    loads_lock_.unlock();
  }
  void note_batch() noexcept {
    loads_lock_.lock();
    refresh_batches_++;
    loads_lock_.unlock();
  }
  void note_hit() noexcept { counts_.add_hit(); }
  void note_stale() noexcept { counts_.add_stale_hit(); }
  void note_miss() noexcept { counts_.add_miss(); }

  // --- who looks after it ---

  /// Somebody loads anew what is due, as long as this lives.
  class refresher {
  public:
    explicit refresher(cache_core& core) noexcept : core_(core) { core_.refreshers_.fetch_add(1, std::memory_order_relaxed); }
    refresher(const refresher&) = delete;
    refresher& operator=(const refresher&) = delete;
    ~refresher() { core_.refreshers_.fetch_sub(1, std::memory_order_relaxed); }

  private:
    cache_core& core_;
  };
  [[nodiscard]] bool has_refresher() const noexcept { return refreshers_.load(std::memory_order_relaxed) != 0; }

  /// Goes through one slab of one shard: see cache_shard::sweep(). Begins with {0, 0}; false: that was the last one.
  struct sweep_place {
    unsigned shard = 0;
    std::size_t slab = 0;
  };
  template <class Due>
  bool sweep(sweep_place& place, std::int64_t now_ns, std::size_t& removed, Due&& due) {
    const auto claim = [&](reference each) { offer(std::move(each), due); };
    if (shards_[place.shard].sweep(place.slab, now_ns, removed, claim)) {
      place.slab++;
    } else {
      place = {place.shard + 1, 0};
    }
    return place.shard < shard_count();
  }

  [[nodiscard]] std::string why(const Key& key, std::int64_t now_ns) {
    const std::uint64_t hash = hash_of(key);
    return in_words(shard_of(hash).account_of(hash, key, now_ns), now_ns);
  }

  [[nodiscard]] cache_statistics statistics() {
    cache_statistics all;
    const read_counts::sums reads = counts_.sum();
    all.hits = reads.hits;
    all.misses = reads.misses;
    all.stale_hits = reads.stale_hits;
    for (unsigned i = 0; i < shard_count(); i++) shards_[i].add_to(all);
    all.memory_bytes += sizeof(*this);
    histogram copied = all.load_ns;
    loads_lock_.lock();
    all.loads = loads_;
    all.load_failures = load_failures_;
    all.refreshes = refreshes_;
    all.refresh_batches = refresh_batches_;
    static_cast<void>(copied.merge(load_ns_));
    loads_lock_.unlock();
    all.load_ns = std::move(copied);
    return all;
  }

  /// For tests, while nobody else is in it.
  [[nodiscard]] bool check() noexcept {
    bool right = true;
    for (unsigned i = 0; i < shard_count(); i++) right = shards_[i].check() && right;
    return right;
  }

private:
  void judge(shard& of, finding& found, std::int64_t now_ns) {
    entry& held = *found.held;
    found.is = freshness_of(held, lifetimes_, now_ns);
    if (found.is == freshness::over || found.is == freshness::idle) {
      of.remove(held, found.is == freshness::idle ? cache_departure::idle : cache_departure::expired, now_ns);
      return;
    }
    if (found.is == freshness::fresh) {
      if (lifetimes_.tti_ns != never_ns && held.read_ns.load(std::memory_order_relaxed) < now_ns) {
        held.read_ns.store(now_ns, std::memory_order_relaxed);
      }
      if (!held.was_read.load(std::memory_order_relaxed)) held.was_read.store(true, std::memory_order_relaxed);
    }
    found.due = held.refresh_ns.load(std::memory_order_relaxed) <= now_ns && has_refresher();
  }

  template <class Due>
  static void offer(reference due, Due&& to) {
    cache_block_base& entry = *due;
    std::int64_t when = entry.refresh_ns.load(std::memory_order_relaxed);
    if (when == never_ns || !entry.refresh_ns.compare_exchange_strong(when, never_ns, std::memory_order_relaxed)) return;
    due->share();
    reference again(due.get());
    if (!to(std::move(again))) entry.refresh_ns.store(when, std::memory_order_relaxed);
  }

  void set_times(entry& made, std::uint64_t hash, std::int64_t ttl_ns, std::int64_t now_ns) noexcept {
    made.written_ns = now_ns;
    made.expires_ns = moment_after(now_ns, ttl_ns);
    made.timed = made.expires_ns != never_ns || lifetimes_.tti_ns != never_ns;
    made.read_ns.store(now_ns, std::memory_order_relaxed);
    made.was_read.store(false, std::memory_order_relaxed);
    std::int64_t refresh_ns = never_ns;
    if (made.expires_ns != never_ns && !made.absent) {
      if (wanted_.refresh_ahead) {
        // A tenth of the 80 %, to either side: keys that were written together are not due together.
        const std::uint64_t chance = mixed_hash(hash ^ static_cast<std::uint64_t>(now_ns)) >> 11;
        const double part = 0.72 + 0.16 * static_cast<double>(chance) / static_cast<double>(std::uint64_t{1} << 53);
        refresh_ns = now_ns + static_cast<std::int64_t>(static_cast<double>(ttl_ns) * part);
      } else if (wanted_.stale_while_revalidate > duration{}) {
        refresh_ns = made.expires_ns;
      }
    }
    made.refresh_ns.store(refresh_ns, std::memory_order_relaxed);
  }

  const options wanted_;
  const entry_lifetimes lifetimes_;
  const unsigned shard_bits_;
  shard* shards_ = nullptr;
  read_counts counts_;
  atomic<unsigned> refreshers_{0};

  spin_lock loads_lock_;
  // Guarded by loads_lock_.
  std::uint64_t loads_ = 0;
  std::uint64_t load_failures_ = 0;
  std::uint64_t refreshes_ = 0;
  std::uint64_t refresh_batches_ = 0;
  histogram load_ns_{{.lowest = 1'000, .highest = 3'600'000'000'000, .digits = 2}};
};

}  // namespace levity::detail
