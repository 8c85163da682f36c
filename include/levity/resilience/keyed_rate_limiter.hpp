#pragma once

// keyed_rate_limiter: a token bucket for each user, address or tenant, in memory that does not grow.
//
// What is kept of a key is a fingerprint of 60 bits and the one word of its bucket (detail/gcra.hpp): 16 bytes, and no key. So a
// client that sends long keys, or a new one each time, costs no memory; and no code of the user runs under a lock, for nothing is
// compared but numbers. Two keys share a bucket if their fingerprints are equal: among a million keys that happens once in two
// million such limiters.
//
//   shard   a part of the sets with a lock of its own, chosen by the fingerprint
//   set     16 places; a key may stand in the places of one set, which its fingerprint chooses
//
// A bucket that is full again is like one that was never touched, so it is forgotten by being overwritten: no sweep, no timer, no
// list. When all 16 of a set are in use, one of them is forgotten early; it gets at most those tokens for nothing that it was short
// of. That is the one that was refused least often lately, and among those the one that will be full soonest. In a flood of fresh
// keys these are the flood's own: short of one token each, and never refused. With a burst of 1 who is limited is short of one
// token, too, and is kept for its refusals alone; a flood that asks sixteen times a key is as good as it.
//
//   word of a key   fingerprint, 60 bits, below   refusals, 4 bits, above: halved with each token, 15 at most
//
//   places = 2 * keys_max, rounded up to sets and shards: at keys_max keys in use one in some thousand is forgotten early
//
// Rejected: a map of keys (memory by the client's choice, user code under the lock, a sweep); the key beside the fingerprint (an
// allocation for each string); LRU (a flood pushes out whoever is limited, which is what an attacker wants).

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <type_traits>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/base/owner.hpp"
#include "levity/resilience/detail/gcra.hpp"
#include "levity/resilience/policy_mode.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// How a keyed_rate_limiter is made. What is out of bounds is clamped to them.
struct keyed_rate_limiter_options {
  /// Tokens that each key gets a second, evenly: from one in a year to 10^9.
  double per_second = 10;
  /// Tokens that a key has at first, and at most. 0: what comes in a second, at least 1.
  std::uint64_t burst = 0;
  /// Keys that are in use at the same time: those whose bucket is not full, up to 2^26 of them. Two places of 16 bytes are kept for
  /// each, from the start, and their number is rounded up to a power of two: 32 bytes a key where keys_max is one (measured: 32.1
  /// of 65,536), up to 64 just above it (62.9 of 66,666; 42.0 of 100,000), and 128 bytes for each shard.
  std::size_t keys_max = 65'536;
  /// Parts with a lock of their own; rounded up to a power of two, 256 at most.
  unsigned shards = 16;
  /// observe: every call is let through; those that would have been refused take no token and are counted.
  policy_mode mode = policy_mode::enforce;
  /// Where fingerprints begin. 0: lv::random_seed(), so that nobody outside can choose keys which collide.
  std::uint64_t seed = 0;
};

namespace detail {

/// Of bytes: XXH3 by Yann Collet (libxxhash), seeded.
std::uint64_t fingerprint_of(std::string_view bytes, std::uint64_t seed) noexcept;

/// Of a number: a permutation of 64 bits for each seed (the finaliser of MurmurHash3, by Austin Appleby), so two never collide.
constexpr std::uint64_t fingerprint_of(std::uint64_t number, std::uint64_t seed) noexcept {
  number += seed;
  number = (number ^ (number >> 33)) * 0xff51afd7ed558ccd;
  number = (number ^ (number >> 33)) * 0xc4ceb9fe1a85ec53;
  return number ^ (number >> 33);
}

/// Everything that does not depend on what a key is.
class keyed_buckets {
public:
  explicit keyed_buckets(const keyed_rate_limiter_options& options);
  keyed_buckets(const keyed_buckets&) = delete;
  keyed_buckets& operator=(const keyed_buckets&) = delete;
  ~keyed_buckets();

  struct outcome {
    bool passes;
    bool taken;     // not where it passes because the mode is observe
    duration wait;  // until it would be
  };
  outcome take(std::uint64_t fingerprint, std::uint64_t n, time_point now) noexcept;
  /// Tokens that were taken for calls which were not made. Nothing, where their key is forgotten: it is full then.
  void put_back(std::uint64_t fingerprint, std::uint64_t n) noexcept;
  [[nodiscard]] duration time_until(std::uint64_t fingerprint, std::uint64_t n, time_point now) noexcept;

  struct figures {
    std::uint64_t admitted;            ///< calls that were let through
    std::uint64_t refused;             ///< rate_exceeded
    std::uint64_t would_have_refused;  ///< let through because the mode is observe
    std::uint64_t forgotten_early;     ///< keys that made room before their bucket was full: keys_max is too small, or a flood came
    std::size_t places;                ///< for keys, each of 16 bytes
    std::size_t in_use;                ///< keys whose bucket is not full
  };
  [[nodiscard]] figures look(time_point now) noexcept;

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

private:
  struct set;
  struct shard;
  shard& shard_of(std::uint64_t fingerprint) noexcept;
  set& set_of(shard& in, std::uint64_t fingerprint) noexcept;

  const gcra rule_;
  const policy_mode mode_;
  const std::uint64_t seed_;
  unsigned shard_bits_ = 0;
  unsigned set_bits_ = 0;  // of each shard
  owner<shard[]> shards_;
};

}  // namespace detail

/// Limits the rate of each key by itself. Any thread. Memory is allocated once, in the constructor (std::bad_alloc); a call
/// allocates nothing and costs about 25 ns and the key's hash.
///
/// Key: a number, an enumerator, what a std::string_view can be made of, or what `Hash` maps to a number, as std::hash does; then
/// it is for Hash to be hard to guess. A string's fingerprint is seeded, and not a cryptographic one.
///
///     lv::keyed_rate_limiter<std::string_view> per_client{{.per_second = 5, .burst = 10, .keys_max = 100'000}};
///     if (!per_client.try_take(client, 1, lv::clock::now())) return too_many();
template <class Key, class Hash = void>
class keyed_rate_limiter {
public:
  /// What a token paid for. It gives nothing back when it goes: the call was made, whatever became of it.
  class permit {
  public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), fingerprint_(other.fingerprint_) {}
    permit& operator=(permit&& other) noexcept {
      of_ = std::exchange(other.of_, nullptr);
      fingerprint_ = other.fingerprint_;
      return *this;
    }
    /// No effect: a rate does not mind what becomes of a call.
    void record(verdict, time_point) noexcept {}
    /// Puts the token back, once: the call was not made, since another policy refused it. A pipeline says so. Any thread.
    void withdraw() noexcept {
      if (detail::keyed_buckets* const of = std::exchange(of_, nullptr)) of->put_back(fingerprint_, 1);
    }

  private:
    friend class keyed_rate_limiter;
    permit(detail::keyed_buckets* of, std::uint64_t fingerprint) noexcept : of_(of), fingerprint_(fingerprint) {}
    detail::keyed_buckets* of_;  // null: no token was taken
    std::uint64_t fingerprint_;
  };

  /// The limit of one key, as an admission_policy of its own. Refers to the limiter, which outlives it.
  class of_key {
  public:
    /// What try_admit() gives.
    using permit = keyed_rate_limiter::permit;
    /// As keyed_rate_limiter::try_admit().
    [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept { return limiter_->admit(fingerprint_, now); }

  private:
    friend class keyed_rate_limiter;
    of_key(keyed_rate_limiter& limiter, std::uint64_t fingerprint) noexcept : limiter_(&limiter), fingerprint_(fingerprint) {}
    keyed_rate_limiter* limiter_;
    std::uint64_t fingerprint_;
  };

  /// What has been asked of it so far, over all keys.
  using figures = detail::keyed_buckets::figures;

  /// Every key has all of its tokens. Allocates, once: std::bad_alloc.
  explicit keyed_rate_limiter(keyed_rate_limiter_options options = {}) : buckets_(options) {}

  /// Takes n tokens of this key, all or none. False: fewer are there, or n is more than a bucket ever holds.
  [[nodiscard]] bool try_take(const Key& key, std::uint64_t n, time_point now) noexcept {
    return buckets_.take(fingerprint_of(key), n, now).passes;
  }

  /// How long from `now` until n tokens of this key are there, if nobody else takes any; zero: they are. duration::max(): never.
  [[nodiscard]] duration time_until(const Key& key, std::uint64_t n, time_point now) noexcept {
    return buckets_.time_until(fingerprint_of(key), n, now);
  }

  /// One token of this key, for one call. Refused: rate_exceeded, with the time until there is one.
  [[nodiscard]] std::expected<permit, rejection> try_admit(const Key& key, time_point now) noexcept {
    return admit(fingerprint_of(key), now);
  }

  /// The limit of this key alone, where a policy is wanted that is asked without a key.
  [[nodiscard]] of_key of(const Key& key) noexcept { return {*this, fingerprint_of(key)}; }

  /// A look from outside. Goes through all places, a shard at a time: some 100 us for the default size.
  [[nodiscard]] figures look(time_point now) noexcept { return buckets_.look(now); }

private:
  [[nodiscard]] std::uint64_t fingerprint_of(const Key& key) const noexcept {
    if constexpr (!std::is_void_v<Hash>) {
      return detail::fingerprint_of(static_cast<std::uint64_t>(Hash{}(key)), buckets_.seed());
    } else if constexpr (std::convertible_to<const Key&, std::string_view>) {
      return detail::fingerprint_of(std::string_view(key), buckets_.seed());
    } else {
      static_assert(std::is_integral_v<Key> || std::is_enum_v<Key>, "name a Hash for keys that are neither numbers nor strings");
      return detail::fingerprint_of(static_cast<std::uint64_t>(key), buckets_.seed());
    }
  }
  std::expected<permit, rejection> admit(std::uint64_t fingerprint, time_point now) noexcept {
    const auto outcome = buckets_.take(fingerprint, 1, now);
    if (outcome.passes) return permit{outcome.taken ? &buckets_ : nullptr, fingerprint};
    return std::unexpected(rejection{rejection_cause::rate_exceeded, outcome.wait});
  }

  detail::keyed_buckets buckets_;
};

}  // namespace levity
