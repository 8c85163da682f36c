#pragma once

// cache: values by key, in bounded memory, for a bounded time.
//
// This is the face: it looks at the clock and has the coroutines. What is underneath, from the outside in:
//
//   cache          loads: one flight a key, stale answers, refreshes       sync/single_flight, a channel of what is due
//   cache_core     time, weights, the parts of an entry's life             told the time
//   cache_shard    index and queue of a part of all keys; the edges        its preface says why a hit needs no lock
//   s3_fifo, ...   which entry goes                                        under the shard's lock
//   cache_block    a value and who holds it
//
// Who loads what:
//
//   there is                             get_or_load() of it
//   a value that counts                  is given out
//   a stale one, while revalidating      is given out, and queued for the refresher, once
//   a stale one otherwise, or none       is loaded, by the first who wants it; the others wait, each until its own deadline
//   - and the load fails                 the stale one, within stale_if_error; else the failure
//
//   due ------- read, or swept up -----> queue -- 50 of them, or 10 ms after the first --> keep_fresh()'s loader
//
// A refresh in the background runs the loader that was given to keep_fresh(), in the task that runs that. Not the one that was
// given to get_or_load(): that may refer to locals of its caller, who has gone on.
//
// Rejected: dropping values that are put in while it is busy (a set that is not seen by the next get is a bug to everybody but
// the author of the cache); refreshing in detached tasks (who ends them, and what may they refer to?); loading under the shard's
// lock.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/cache/cache_options.hpp"
#include "levity/cache/cache_refusal.hpp"
#include "levity/cache/cache_statistics.hpp"
#include "levity/cache/cached.hpp"
#include "levity/cache/detail/cache_core.hpp"
#include "levity/cache/detail/load_shape.hpp"
#include "levity/cache/lru.hpp"
#include "levity/cache/s3_fifo.hpp"
#include "levity/cache/sieve.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/single_flight.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0 {

/// Values by key, with a bounded weight, for a bounded time: shared by all tasks and threads.
///
///     lv::cache<std::string, order> orders({.capacity = 100'000, .ttl = 30s, .stale_if_error = 10min});
///     lv::cached<order> one = co_await orders.get_or_load(id, [&] { return fetch(id); });
///     orders.update(id, [](order now) { now.status = "shipped"; return now; });
///
/// Values are immutable snapshots: get() gives a handle, which stays what it is, and update() puts a changed copy in the place
/// of what it was made from. So nobody ever sees a half of a change, and no change gets lost.
///
/// A value that was set is seen by every get() that begins after set() has returned, on any thread; none is dropped for lack of
/// time. It is gone when it was erased, when its time was over, or when room was needed: why() says which.
///
/// A hit takes no lock: it writes the count of the handle, a byte of the entry unless that was hit often already, and a counter
/// that the thread has for itself; some 20 ns where the memory is near, and as much again for a look at the clock where entries
/// end by time. Sets and erasures lock one shard for the writing of some links; evictions are O(1) amortised.
///
/// Policy is which entry goes when room is needed: s3_fifo, sieve, lru. Hash and Equal are called without a lock and may throw, as
/// may copies of keys; what throws leaves the cache as it was. All members from any thread; those that return a task, in tasks.
template <class Key, class Value, class Policy = s3_fifo, class Hash = std::hash<Key>, class Equal = detail::equal_keys>
class cache {
  static_assert(std::is_object_v<Key> && std::is_copy_constructible_v<Key>, "a key is copied where its value is loaded or updated");
  static_assert(std::is_object_v<Value> && std::is_move_constructible_v<Value>, "a value is moved into the cache");
  static_assert(std::is_nothrow_destructible_v<Key> && std::is_nothrow_destructible_v<Value>);

  using core = detail::cache_core<Key, Value, Policy, Hash, Equal>;
  using entry = typename core::entry;
  using reference = typename core::reference;
  template <class Load>
  using answer_of = typename detail::load_shape<detail::loaded_by<Load, Key>, Value>::answer;

public:
  /// What it is asked by.
  using key_type = Key;
  /// What it gives out.
  using value_type = Value;
  /// Which entry goes.
  using policy_type = Policy;
  /// What it is made with.
  using options = cache_options<Key, Value>;

  /// Empty. Memory comes as entries do. Throws std::bad_alloc.
  cache() : cache(options{}) {}
  /// The same, as `wanted`.
  explicit cache(const options& wanted) : core_(wanted), due_(due_max) {}
  cache(const cache&) = delete;
  cache& operator=(const cache&) = delete;
  /// Nobody is in a call of it. Handles may be left: they stay good.
  ~cache() {
    for (auto left = due_.try_receive(); left; left = due_.try_receive()) (*left)->drop();
  }

  /// The value, if there is one that counts; else an empty handle, which knows whether that is known (known_absent()). Looks at the
  /// clock only where the entry may end by time.
  [[nodiscard]] cached<Value> get(const Key& key) {
    return core_.get(key, now_ns, [this](reference held) { return offer(std::move(held)); });
  }
  /// The same as of a moment that the caller knows already: no look at the clock.
  [[nodiscard]] cached<Value> get(const Key& key, time_point now) {
    return core_.get(key, [now] { return now.time_since_epoch().count(); },
                     [this](reference held) { return offer(std::move(held)); });
  }

  /// The value, even if its time is over, for as long as it is kept for that; is_stale() of the handle says so. The last rung of a
  /// ladder.
  [[nodiscard]] cached<Value> get_stale(const Key& key) { return core_.get_stale(key, now_ns()); }

  /// Puts a value in, in the place of what is there for its key. Refused if it weighs more than its shard may hold; then the
  /// key has no value. Evicts others where it needs room, and destroys what nobody holds any more, in the caller's thread. May
  /// throw std::bad_alloc; then nothing has changed.
  std::expected<void, cache_refusal> set(Key key, Value value, const entry_options& own = {}) {
    if (auto refused = core_.set(std::move(key), std::move(value), own, now_ns())) return std::unexpected(*refused);
    return {};
  }

  /// Replaces the value by `change(value)`: a Value made from what is there, which it is given as a const Value&. If another one
  /// was put in meanwhile, `change` is called again, with that one: of updates none is lost, whoever makes them. Returns the new
  /// value; an empty handle, and nothing has changed, where there is none that counts. Its time begins anew.
  ///
  /// `change` runs outside of all locks, any number of times, and should only compute. What it throws comes through.
  template <class Change>
  cached<Value> update(const Key& key, Change&& change) {
    static_assert(std::is_invocable_r_v<Value, Change&, const Value&>, "change(const Value&) returns the new Value");
    return core_.update(key, now_ns, change);
  }

  /// Takes the entry out. A load of the key that is under way is not kept. False: there was none.
  bool erase(const Key& key) { return core_.erase(key, now_ns()); }

  /// Takes all entries out; how many there were. Shard by shard: what is set meanwhile may stay. O(entries).
  std::size_t clear() noexcept { return core_.clear(now_ns()); }

  /// The value, loaded where there is none that counts: by `load(key)` or `load()`, which returns a
  ///
  ///     task<Value>                              there always is one
  ///     task<std::optional<Value>>               nullopt: there is none; an empty handle then, remembered for negative_ttl
  ///     task<std::expected<Value, E>>            or std::optional<Value> in it: the load may fail by a value
  ///
  /// Returns cached<Value>, or std::expected<cached<Value>, E> for the last. Of all who ask for a key at the same time one loads,
  /// in its own task; the others wait for what it brings, each under its own deadline. If the one that loads is cancelled, another
  /// one begins anew with its own `load`: nobody fails because somebody else gave up.
  ///
  /// A load that fails, by a value or an exception, has failed for all who wait for it; the failure is not remembered. Within
  /// stale_if_error the stale value is given out instead, also to who is out of time by a deadline while he waits. Cancellation
  /// for any other reason throws `cancelled`. A value that was set, updated or erased during the load counts more than what it
  /// brings.
  template <class Load>
  task<answer_of<std::decay_t<Load>>> get_or_load(Key key, Load&& load) {
    detail::check_callable<Load>();
    return get_or_load_kept<std::decay_t<Load>>(std::move(key), std::forward<Load>(load));
  }

  /// Loads anew, until it is cancelled, what is due: entries that were read since they were written, at 80 % of their time
  /// (refresh_ahead), and those that are stale and asked for (stale_while_revalidate). Takes out what is over, too. To be spawned
  /// where it is to end:
  ///
  ///     background.spawn("refresh", [](store* from) -> lv::task<> { co_await from->orders.keep_fresh(from->loader()); }, &from);
  ///
  /// `load` is called with up to 50 keys, at most 10 ms after the first of them came due: `load(std::vector<Key>)` returns a
  /// task<std::vector<std::optional<Value>>>, one for each key in the same order, or std::expected of that. Or with one key, as for
  /// get_or_load(); up to 50 such calls go on at a time. A key for which there is nothing any more goes out of the cache. A load
  /// that fails leaves its keys as they are, for another try a second later. Several may run side by side: each takes batches of
  /// its own.
  template <class Load>
  task<> keep_fresh(Load&& load) {
    detail::check_callable<Load>();
    return keep_fresh_kept<std::decay_t<Load>>(std::forward<Load>(load));
  }

  /// Takes out what is over; how many that were. Not needed for what is right, nor where keep_fresh() runs: it gives memory back
  /// early. O(entries).
  std::size_t sweep() {
    std::size_t removed = 0;
    const std::int64_t now = now_ns();
    typename core::sweep_place place;
    while (core_.sweep(place, now, removed, [this](reference held) { return offer(std::move(held)); })) {
    }
    return removed;
  }

  /// What it did and what is in it. Allocates; O(shards).
  [[nodiscard]] cache_statistics statistics() { return core_.statistics(); }

  /// Why the key has a value or has none, in a sentence for people: how long still, from where it was evicted, whether it is being
  /// loaded. Of entries that went each shard knows the last 64.
  [[nodiscard]] std::string why(const Key& key) { return core_.why(key, now_ns()); }

  /// Into how many parts it is divided.
  [[nodiscard]] unsigned shard_count() const noexcept { return core_.shard_count(); }

  /// The part that is told the time. Not for users.
  [[nodiscard]] core& inner() noexcept { return core_; }

private:
  static constexpr std::size_t due_max = 1024;
  static constexpr std::size_t batch_max = 50;
  static constexpr duration gather_max = 10ms;
  static constexpr duration retry_pause = 1s;

  // What a flight brings to all who wait for it.
  struct news {
    cached<Value> value;
    bool superseded = false;
    std::shared_ptr<const void> error;
    const void* error_kind = nullptr;
  };

  static std::int64_t now_ns() noexcept { return clock::now().time_since_epoch().count(); }

  // The queue of what is due takes over the reference, if it has room.
  bool offer(reference held) {
    if (!core_.has_refresher() || !due_.try_send(held.get())) return false;
    static_cast<void>(held.release());
    return true;
  }
  static void put_off(entry& due, duration by) noexcept {
    due.refresh_ns.store(detail::moment_after(now_ns(), by.count()), std::memory_order_relaxed);
  }

  bool may_be_given_out(const typename core::finding& seen) const noexcept {
    if (seen.counts()) return true;
    if (!seen.held || seen.is != detail::freshness::stale || !core_.has_refresher()) return false;
    return now_ns() < detail::moment_after(seen.held->expires_ns, core_.wanted().stale_while_revalidate.count());
  }
  bool stands_in(const cached<Value>& stale) const noexcept {
    return stale && now_ns() < detail::moment_after(stale.expires_at().time_since_epoch().count(),
                                                    core_.wanted().stale_if_error.count());
  }

  template <class Load>
  task<answer_of<Load>> get_or_load_kept(Key key, Load load) {
    using shape = detail::load_shape<detail::loaded_by<Load, Key>, Value>;
    const std::uint64_t hash = core::hash_of(key);
    typename core::finding seen = core_.find(hash, key, now_ns);
    if (may_be_given_out(seen)) {
      core_.note_hit();
      if (seen.is != detail::freshness::fresh) core_.note_stale();
      if (seen.due) core_.queue(seen, [this](reference held) { return offer(std::move(held)); });
      co_return core::to_handle(std::move(seen.held));
    }
    core_.note_miss();
    cached<Value> stale;
    if (seen.held && seen.is == detail::freshness::stale) stale = core::to_handle(std::move(seen.held));
    for (;;) {
      news brought;
      std::exception_ptr failure;
      bool led = false;
      try {
        brought = co_await flights_.run(key, [this, &key, &load, &led, hash] {
          led = true;
          return load_once(key, hash, load);
        });
      } catch (const cancelled& why) {
        if (why.reason() != cancel_reason::deadline) throw;
        failure = std::current_exception();
      } catch (...) {
        failure = std::current_exception();
      }
      const bool failed = failure != nullptr || brought.error != nullptr;
      // What was under way when the key was written may have been boarded after that: then it is older than what we asked for.
      if (!failed && brought.superseded && !led) continue;
      if (!failed) co_return std::move(brought.value);
      if (stands_in(stale)) {
        core_.note_stale();
        co_return std::move(stale);
      }
      if (failure != nullptr) std::rethrow_exception(failure);
      if constexpr (shape::may_fail) {
        using error = typename shape::error;
        if (brought.error_kind == &detail::error_kind<error>) {
          co_return std::unexpected(*static_cast<const error*>(brought.error.get()));
        }
      }
      // Somebody else's loader has failed in a way that ours does not know: ours is next.
    }
  }

  // The one of a flight. Key and loader live in the frame that waits for this.
  template <class Load>
  task<news> load_once(const Key& key, std::uint64_t hash, Load& load) {
    // A flight may have landed between the look of whoever leads this one and its start.
    typename core::finding seen = core_.find(hash, key, now_ns);
    news brought;
    if (seen.counts()) {
      brought.value = core::to_handle(std::move(seen.held));
    } else {
      brought = co_await load_now(key, hash, load, false);
    }
    co_return brought;
  }

  template <class Load>
  task<news> load_now(const Key& key, std::uint64_t hash, Load& load, bool in_background) {
    using loaded = detail::loaded_by<Load, Key>;
    const std::int64_t since = now_ns();
    typename core::load ticket(core_, hash, since);
    std::optional<loaded> got;
    try {
      loaded fetched = co_await detail::call_load(load, key);
      got.emplace(std::move(fetched));
    } catch (const cancelled& why) {
      if (why.reason() == cancel_reason::deadline) core_.note_load(now_ns() - since, true, in_background);
      throw;
    } catch (...) {
      core_.note_load(now_ns() - since, true, in_background);
      throw;
    }
    const std::int64_t now = now_ns();
    news brought;
    if constexpr (detail::load_shape<loaded, Value>::may_fail) {
      using error = typename detail::load_shape<loaded, Value>::error;
      core_.note_load(now - since, !got->has_value(), in_background);
      if (got->has_value()) {
        brought.value = keep(ticket, key, std::move(**got), now);
      } else {
        brought.error = std::make_shared<error>(std::move(got->error()));
        brought.error_kind = &detail::error_kind<error>;
      }
    } else {
      core_.note_load(now - since, false, in_background);
      brought.value = keep(ticket, key, std::move(*got), now);
    }
    brought.superseded = ticket.superseded();
    co_return brought;
  }
  static cached<Value> keep(typename core::load& ticket, const Key& key, Value value, std::int64_t now) {
    return ticket.brings(key, std::move(value), now);
  }
  static cached<Value> keep(typename core::load& ticket, const Key& key, std::optional<Value> value, std::int64_t now)
    requires(!std::is_same_v<Value, std::optional<Value>>)
  {
    return value ? ticket.brings(key, std::move(*value), now) : ticket.brings_nothing(key, now);
  }

  // --- refreshes ---

  duration sweep_period() const noexcept {
    duration shortest = core_.wanted().ttl < core_.wanted().tti ? core_.wanted().ttl : core_.wanted().tti;
    if (shortest == duration::max()) return 1s;
    shortest /= 20;
    return shortest < 10ms ? duration(10ms) : shortest > 10s ? duration(10s) : shortest;
  }

  task<> sweep_all() {
    std::size_t removed = 0;
    typename core::sweep_place place;
    unsigned shard = 0;
    for (;;) {
      const bool more = core_.sweep(place, now_ns(), removed, [this](reference held) { return offer(std::move(held)); });
      if (!more) co_return;
      if (std::exchange(shard, place.shard) != place.shard) co_await yield();
    }
  }

  template <class Load>
  task<> keep_fresh_kept(Load load) {
    const typename core::refresher here(core_);
    const duration period = sweep_period();
    time_point sweep_at = clock::now() + period;
    for (;;) {
      auto first = co_await with_deadline(sweep_at, due_.receive());
      const bool over = co_await detail::cancel_look{};
      std::vector<reference> batch;
      if (first) batch.emplace_back(*first);
      if (over) {
        for (reference& each : batch) put_off(*each, duration{});
        co_return;
      }
      if (!batch.empty()) {
        const time_point until = clock::now() + gather_max;
        while (batch.size() < batch_max) {
          auto next = co_await with_deadline(until, due_.receive());
          if (!next) break;
          batch.emplace_back(*next);
        }
        co_await refresh(batch, load);
      }
      if (clock::now() >= sweep_at) {
        co_await sweep_all();
        sweep_at = clock::now() + period;
      }
    }
  }

  template <class Load>
  task<> refresh(std::vector<reference>& batch, Load& load) {
    std::erase_if(batch, [this](const reference& each) {  // was replaced, or went, since it was queued
      const std::uint64_t hash = core::hash_of(each->key);
      return core_.shard_of(hash).find(hash, each->key).get() != each.get();
    });
    if (batch.empty()) co_return;
    core_.note_batch();
    if constexpr (std::is_invocable_v<Load&, std::vector<Key>>) {
      co_await refresh_together(batch, load);
    } else {
      scope each{on_failure::report, "refresh"};
      for (reference& due : batch) each.spawn(&cache::refresh_one<Load>, this, due.get(), &load);
      co_await each.join();
    }
  }

  template <class Load>
  static task<> refresh_one(cache* self, entry* due, Load* load) {
    bool failed = false;
    try {
      const news brought = co_await self->load_now(due->key, core::hash_of(due->key), *load, true);
      failed = brought.error != nullptr;
    } catch (const cancelled& why) {
      put_off(*due, retry_pause);
      if (why.reason() != cancel_reason::deadline) throw;
    } catch (...) {
      failed = true;
    }
    if (failed) put_off(*due, retry_pause);
  }

  template <class Load>
  task<> refresh_together(std::vector<reference>& batch, Load& load) {
    const std::int64_t since = now_ns();
    std::vector<Key> keys;
    std::vector<std::unique_ptr<typename core::load>> tickets;
    for (reference& each : batch) {
      keys.push_back(each->key);
      tickets.push_back(std::make_unique<typename core::load>(core_, core::hash_of(each->key), since));
    }
    std::vector<std::optional<Value>> values;
    bool failed = false;
    try {
      auto fetched = co_await load(keys);
      if constexpr (std::is_same_v<decltype(fetched), std::vector<std::optional<Value>>>) {
        values = std::move(fetched);
      } else if (fetched.has_value()) {
        values = std::move(*fetched);
      } else {
        failed = true;
      }
    } catch (const cancelled& why) {
      failed = true;
      if (why.reason() != cancel_reason::deadline) {
        for (reference& each : batch) put_off(*each, retry_pause);
        throw;
      }
    } catch (...) {
      failed = true;
    }
    LEVITY_ASSERT(failed || values.size() == keys.size(), "a loader of several keys returns a value or nullopt for each, in order");
    const std::int64_t now = now_ns();
    for (std::size_t i = 0; i < keys.size(); i++) {
      core_.note_load(now - since, failed, true);
      if (failed) {
        put_off(*batch[i], retry_pause);
      } else {
        try {  // weighing, hashing and comparing are the user's
          static_cast<void>(keep(*tickets[i], keys[i], std::move(values[i]), now));
        } catch (...) {
          put_off(*batch[i], retry_pause);
        }
      }
    }
  }

  core core_;
  single_flight<Key, news, Hash, Equal> flights_;
  channel<entry*> due_;  // with a reference each
};

}  // namespace levity
