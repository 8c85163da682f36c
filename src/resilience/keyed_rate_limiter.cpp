#include "levity/resilience/keyed_rate_limiter.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "base/spin_guard.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/random_seed.hpp"
#include "levity/base/spin_lock.hpp"

namespace levity::inline v0::detail {

std::uint64_t fingerprint_of(std::string_view bytes, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// A place whose full_at has passed is free, whatever its fingerprint: zeroed memory is an empty set.
struct alignas(64) keyed_buckets::set {
  static constexpr unsigned places = 16;
  static constexpr unsigned refusals_shift = 60;
  static constexpr std::uint64_t refusals_max = 15;

  [[nodiscard]] bool holds(unsigned place, std::uint64_t fingerprint) const noexcept {
    return ((fingerprints[place] ^ fingerprint) << (64 - refusals_shift)) == 0;
  }
  /// Its place, or `places`.
  [[nodiscard]] unsigned find(std::uint64_t fingerprint) const noexcept {
    for (unsigned i = 0; i < places; i++) {
      if (holds(i, fingerprint)) return i;
    }
    return places;
  }
  [[nodiscard]] std::uint64_t refusals(unsigned place) const noexcept { return fingerprints[place] >> refusals_shift; }
  void put(unsigned place, std::uint64_t fingerprint, std::uint64_t refused) noexcept {
    fingerprints[place] = (fingerprint & ((std::uint64_t{1} << refusals_shift) - 1)) | refused << refusals_shift;
  }
  /// Whether `one` is to make room rather than `other`: who is full, then who was refused less often, then who will be full sooner.
  [[nodiscard]] bool goes_before(unsigned one, unsigned other, std::uint64_t now) const noexcept {
    const bool one_is_free = full_at[one] <= now;
    const bool other_is_free = full_at[other] <= now;
    if (one_is_free || other_is_free) return one_is_free && !other_is_free;
    if (refusals(one) != refusals(other)) return refusals(one) < refusals(other);
    return full_at[one] < full_at[other];
  }

  std::uint64_t fingerprints[places]{};  // with the refusals above
  std::uint64_t full_at[places]{};
};

struct alignas(cache_line_bytes) keyed_buckets::shard {
  spin_lock lock;
  // Guarded by lock, but for where the sets are.
  std::uint64_t admitted = 0;
  std::uint64_t refused = 0;  // or would have been
  std::uint64_t forgotten_early = 0;
  owner<set[]> sets;
};

keyed_buckets::keyed_buckets(const keyed_rate_limiter_options& options)
    : rule_(gcra::at(options.per_second, options.burst)),
      mode_(options.mode),
      seed_(options.seed != 0 ? options.seed : random_seed()) {
  const std::size_t keys = std::clamp<std::size_t>(options.keys_max, 1, std::size_t{1} << 26);
  shard_bits_ = static_cast<unsigned>(std::bit_width(std::clamp(options.shards, 1U, 256U) - 1));
  const std::size_t sets = (2 * keys + set::places - 1) / set::places;
  const std::size_t sets_a_shard = (sets + (std::size_t{1} << shard_bits_) - 1) >> shard_bits_;
  set_bits_ = static_cast<unsigned>(std::bit_width(sets_a_shard - 1));
  shards_ = owner<shard[]>(new shard[std::size_t{1} << shard_bits_]);
  for (std::size_t i = 0; i < std::size_t{1} << shard_bits_; i++)
    shards_[i].sets = owner<set[]>(new set[std::size_t{1} << set_bits_]);
}

keyed_buckets::~keyed_buckets() = default;

keyed_buckets::shard& keyed_buckets::shard_of(std::uint64_t fingerprint) noexcept {
  return shards_[fingerprint & ((std::uint64_t{1} << shard_bits_) - 1)];
}

keyed_buckets::set& keyed_buckets::set_of(shard& in, std::uint64_t fingerprint) noexcept {
  return in.sets[(fingerprint >> shard_bits_) & ((std::uint64_t{1} << set_bits_) - 1)];
}

keyed_buckets::outcome keyed_buckets::take(std::uint64_t fingerprint, std::uint64_t n, time_point now) noexcept {
  const std::uint64_t at = gcra::units_of(now);
  const bool observes = mode_ == policy_mode::observe;
  shard& in = shard_of(fingerprint);
  set& places = set_of(in, fingerprint);
  const spin_guard locked(in.lock);
  if (!rule_.ever_holds(n)) {
    in.refused++;
    return {observes, false, duration::max()};
  }
  unsigned found = places.find(fingerprint);
  const std::uint64_t full_at = found != set::places ? places.full_at[found] : 0;
  const std::uint64_t after = rule_.after(full_at, n, at);
  if (const std::uint64_t wait = rule_.wait_for(after, at); wait != 0) {
    in.refused++;
    // Who asks for more than it may have at once, with a bucket that is full, has no place.
    if (found != set::places) places.put(found, fingerprint, std::min(places.refusals(found) + 1, set::refusals_max));
    return {observes, false, gcra::span_of(wait)};
  }
  std::uint64_t refusals = 0;
  if (found == set::places) {
    found = 0;
    for (unsigned i = 1; i < set::places; i++) {
      if (places.goes_before(i, found, at)) found = i;
    }
    if (places.full_at[found] > at) in.forgotten_early++;
  } else {
    refusals = places.refusals(found) / 2;
  }
  places.put(found, fingerprint, refusals);
  places.full_at[found] = after;
  in.admitted++;
  return {true, true, duration::zero()};
}

void keyed_buckets::put_back(std::uint64_t fingerprint, std::uint64_t n) noexcept {
  shard& in = shard_of(fingerprint);
  set& places = set_of(in, fingerprint);
  const spin_guard locked(in.lock);
  const unsigned found = places.find(fingerprint);
  if (found == set::places) return;
  places.full_at[found] -= std::min(places.full_at[found], std::min(n, rule_.burst) * rule_.interval);
}

duration keyed_buckets::time_until(std::uint64_t fingerprint, std::uint64_t n, time_point now) noexcept {
  if (!rule_.ever_holds(n)) return duration::max();
  const std::uint64_t at = gcra::units_of(now);
  shard& in = shard_of(fingerprint);
  const set& places = set_of(in, fingerprint);
  std::uint64_t full_at = 0;
  {
    const spin_guard locked(in.lock);
    if (const unsigned found = places.find(fingerprint); found != set::places) full_at = places.full_at[found];
  }
  return gcra::span_of(rule_.wait_for(rule_.after(full_at, n, at), at));
}

keyed_buckets::figures keyed_buckets::look(time_point now) noexcept {
  const std::uint64_t at = gcra::units_of(now);
  figures all{};
  const std::size_t shards = std::size_t{1} << shard_bits_;
  const std::size_t sets = std::size_t{1} << set_bits_;
  std::uint64_t refused = 0;
  for (std::size_t i = 0; i < shards; i++) {
    shard& each = shards_[i];
    {
      const spin_guard locked(each.lock);
      all.admitted += each.admitted;
      all.forgotten_early += each.forgotten_early;
      refused += each.refused;
    }
    for (std::size_t j = 0; j < sets; j++) {  // a set at a time: who takes meanwhile waits for sixteen places
      const spin_guard locked(each.lock);
      for (const std::uint64_t full_at : each.sets[j].full_at) all.in_use += full_at > at ? 1 : 0;
    }
  }
  all.places = shards * sets * set::places;
  const bool observes = mode_ == policy_mode::observe;
  all.admitted += observes ? refused : 0;
  all.refused = observes ? 0 : refused;
  all.would_have_refused = observes ? refused : 0;
  return all;
}

}  // namespace levity::detail
